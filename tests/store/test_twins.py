"""Chat completions whose upstream gave them the same id, on both databases: one id leads to one of them, and to no other in its place."""

import json
from collections.abc import AsyncIterator

import pytest
from openai import NotFoundError

from databases import Place
from ingot.store.schema import DEFAULT_ORG
from ledgerbook import NOW, Entry, add_organization, book
from pagehouse import Pages, open_pages

SAME = "chatcmpl-0"
OLD, NEW = [Entry(number=n, at=NOW - 100 + n, public=SAME, content=f"twin {n}") for n in (1, 2)]
THEIRS = Entry(number=3, at=NOW - 50, public=SAME, content="theirs", org="org_two")


@pytest.fixture
async def pages(backend: Place) -> AsyncIterator[Pages]:
    """Two completions of an organization, and one of another, under one id."""
    async with open_pages(backend) as opened:
        await opened.db.write(lambda conn: add_organization(conn, "org_two"))
        await opened.db.write(lambda conn: book(conn, (OLD, NEW, THEIRS)))
        yield opened


async def listed(pages: Pages, org: str = DEFAULT_ORG) -> list[tuple[str, str | None]]:
    """What the list has, oldest first, page by page: ids and texts."""
    return [
        (each.id, each.choices[0].message.content)
        async for each in pages.openai(org).chat.completions.list(limit=1)
    ]


async def text(pages: Pages, which: str, org: str = DEFAULT_ORG) -> str | None:
    """What is read under an id; None: a 404."""
    status, body = await pages.call(f"/v1/chat/completions/{which}", org=org)
    assert status in {200, 404}
    return json.loads(body)["choices"][0]["message"]["content"] if status == 200 else None


async def test_newest_is_meant_when_two_have_one_id(pages: Pages) -> None:
    """The other is listed under ours and reached by it; nobody else's is in the way."""
    assert await listed(pages) == [(OLD.id, "twin 1"), (SAME, "twin 2")]
    assert [await text(pages, which) for which in (SAME, OLD.id, NEW.id)] == ["twin 2", "twin 1", "twin 2"]
    assert await text(pages, SAME, org="org_two") == "theirs"
    changed = await pages.openai(DEFAULT_ORG).chat.completions.update(SAME, metadata={"n": "2"})
    assert changed.choices[0].message.content == "twin 2"
    assert (await pages.openai(DEFAULT_ORG).chat.completions.retrieve(OLD.id)).metadata == {}


@pytest.mark.parametrize("by", [SAME, NEW.id])
async def test_id_leads_nowhere_when_the_newest_was_deleted(pages: Pages, by: str) -> None:
    """The older one does not come up in its place, and is not deleted by a second try; it keeps its own id."""
    client = pages.openai(DEFAULT_ORG).chat.completions
    assert (await client.delete(by)).deleted
    assert [await text(pages, which) for which in (SAME, NEW.id, OLD.id)] == [None, None, "twin 1"]
    assert await listed(pages) == [(OLD.id, "twin 1")]
    for call in (client.delete, client.messages.list):
        with pytest.raises(NotFoundError):
            await call(SAME)
    assert await listed(pages) == [(OLD.id, "twin 1")]
    assert await text(pages, SAME, org="org_two") == "theirs"
    await client.delete(OLD.id)
    assert await listed(pages) == []


async def test_newest_keeps_the_id_when_an_older_one_was_deleted(pages: Pages) -> None:
    """By the id that the list shows it under."""
    await pages.openai(DEFAULT_ORG).chat.completions.delete(OLD.id)
    assert await listed(pages) == [(SAME, "twin 2")]
    assert await text(pages, SAME) == "twin 2"


async def test_id_is_the_next_ones_when_it_comes_again(pages: Pages) -> None:
    """After a deletion too: it is a completion of its own."""
    await pages.openai(DEFAULT_ORG).chat.completions.delete(SAME)
    again = Entry(number=4, at=NOW - 10, public=SAME, content="again")
    await pages.db.write(lambda conn: book(conn, [again]))
    assert await text(pages, SAME) == "again"
    assert await listed(pages) == [(OLD.id, "twin 1"), (SAME, "again")]


@pytest.mark.parametrize(
    "later",
    [
        Entry(number=4, at=NOW - 10, public=SAME, state="failed"),
        Entry(number=4, at=NOW - 10, public=SAME, state="cancelled"),
        Entry(number=4, at=NOW - 10, public=SAME, surface="completions"),
    ],
    ids=["failed", "cancelled", "other surface"],
)
async def test_id_stays_with_the_completion_when_what_has_it_later_is_none(
    pages: Pages, later: Entry
) -> None:
    """What was never a chat completion hides none: it can be read, gone on from in the list, and deleted."""
    await pages.db.write(lambda conn: book(conn, [later, Entry(number=5, at=NOW - 20, content="between")]))
    assert await text(pages, SAME) == "twin 2"
    assert await listed(pages) == [(OLD.id, "twin 1"), (SAME, "twin 2"), ("chatcmpl-5", "between")]
    await pages.openai(DEFAULT_ORG).chat.completions.delete(SAME)
    assert await text(pages, SAME) is None
    assert await listed(pages) == [(OLD.id, "twin 1"), ("chatcmpl-5", "between")]


async def test_reason_is_told_when_the_newest_was_not_kept(pages: Pages) -> None:
    """It is meant all the same: the older one is not told in its place, nor deleted."""
    later = Entry(number=4, at=NOW - 10, public=SAME, kept=False, days=None)
    await pages.db.write(lambda conn: book(conn, [later]))
    client = pages.openai(DEFAULT_ORG).chat.completions
    with pytest.raises(NotFoundError, match="was not kept"):
        await client.retrieve(SAME)
    assert (await client.delete(SAME)).deleted
    assert await text(pages, SAME) is None
    assert await listed(pages) == [(OLD.id, "twin 1"), (NEW.id, "twin 2")]
