"""Stored chat completions as OpenAI's client sees them, on both databases."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import BadRequestError, NotFoundError
from openai.types.chat import ChatCompletion
from sqlalchemy import Connection, insert, select

from databases import Place
from ingot.services import answers
from ingot.store.engine import FILE_NAME
from ingot.store.schema import (
    DEFAULT_ORG,
    idempotency,
    ledger,
    response_metadata,
    responses,
)
from ledgerbook import DAY, NOW, Entry, add_organization, book
from pagehouse import Pages, open_pages

ENTRIES = [
    Entry(number=1, at=NOW - 500, metadata={"team": "a", "env": "x"}, content="first"),
    Entry(number=2, at=NOW - 400, metadata={"team": "b"}, model="other"),
    Entry(number=3, at=NOW - 300, org="org_two", metadata={"team": "a"}, content="theirs"),
    Entry(number=4, at=NOW - 200, metadata={"team": "a"}, model="other"),
    Entry(number=5, at=NOW - 100, surface="embeddings"),
    Entry(number=6, at=NOW - 90, state="failed"),
    Entry(number=7, at=NOW - 80, kept=False),
    Entry(number=8, at=NOW - 31 * DAY, content="expired"),
]


@pytest.fixture
async def pages(backend: Place) -> AsyncIterator[Pages]:
    """A store of two organizations."""

    def fill(conn: Connection) -> None:
        add_organization(conn, "org_two")
        book(conn, ENTRIES)

    async with open_pages(backend) as opened:
        await opened.db.write(fill)
        yield opened


def _row(conn: Connection, entry: Entry) -> Any:
    return conn.execute(select(responses).where(responses.c.id == entry.id)).one()


def _ids(found: list[ChatCompletion]) -> list[str]:
    return [each.id for each in found]


async def test_s4_07_completion_is_read_later_when_it_was_answered(pages: Pages) -> None:
    """As it was answered, with its metadata; under the client's id and under ours."""
    client = pages.openai(DEFAULT_ORG)
    answer = await client.chat.completions.retrieve("chatcmpl-1")
    assert (answer.id, answer.object, answer.created) == ("chatcmpl-1", "chat.completion", int(NOW - 500))
    assert answer.choices[0].message.content == "first"
    assert answer.metadata == {"team": "a", "env": "x"}
    ours = await client.chat.completions.retrieve(ENTRIES[0].id)
    assert (ours.id, ours.choices) == (ENTRIES[0].id, answer.choices)


async def test_bytes_are_those_that_were_answered_when_read(pages: Pages) -> None:
    """Only the metadata is added."""
    status, body = await pages.call("/v1/chat/completions/chatcmpl-1")
    assert status == 200
    kept = ENTRIES[0].answer()
    assert kept[kept.index(b'"choices": ') + 11 : -1] in body
    assert json.loads(body) == {**json.loads(kept), "metadata": {"team": "a", "env": "x"}}


@pytest.mark.parametrize(
    ("path", "method"), [("", "GET"), ("/messages", "GET"), ("", "POST"), ("", "DELETE")]
)
async def test_s08_foreign_is_told_as_missing_when_asked_for(pages: Pages, path: str, method: str) -> None:
    """The same bytes for what belongs to another, has expired, failed, is no chat, and never was."""
    body = b'{"metadata":{}}' if method == "POST" else None
    told = set()
    for which in (
        "chatcmpl-3",
        ENTRIES[2].id,
        "chatcmpl-8",
        "chatcmpl-6",
        "chatcmpl-5",
        "chatcmpl-99",
        "%00",
    ):
        status, answer = await pages.call(f"/v1/chat/completions/{which}{path}", method=method, body=body)
        told.add((status, answer.replace(which.encode(), b"ID").replace(b"\\u0000", b"ID")))
    assert len(told) == 1
    status, answer = told.pop()
    assert status == 404
    assert json.loads(answer)["error"] == {
        "message": "No stored chat completion has the id 'ID'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "not_found",
    }


async def test_reason_is_told_when_content_was_not_kept(pages: Pages) -> None:
    """It exists, and there is nothing to see."""
    client = pages.openai(DEFAULT_ORG)
    for call in (client.chat.completions.retrieve, client.chat.completions.messages.list):
        with pytest.raises(NotFoundError, match="was not kept") as caught:
            await call("chatcmpl-7")
        assert caught.value.code == "content_not_kept"
    assert (await client.chat.completions.delete("chatcmpl-7")).deleted


async def test_list_is_paged_when_longer_than_a_page(pages: Pages) -> None:
    """Oldest first unless asked otherwise; only whole chat completions of the organization."""
    client = pages.openai(DEFAULT_ORG)
    oldest = [each async for each in client.chat.completions.list(limit=1)]
    assert _ids(oldest) == ["chatcmpl-1", "chatcmpl-2", "chatcmpl-4"]
    newest = [each async for each in client.chat.completions.list(limit=2, order="desc")]
    assert _ids(newest) == ["chatcmpl-4", "chatcmpl-2", "chatcmpl-1"]
    status, body = await pages.call("/v1/chat/completions?limit=2")
    assert status == 200
    page = json.loads(body)
    assert [page[name] for name in ("object", "first_id", "last_id", "has_more")] == [
        "list",
        "chatcmpl-1",
        "chatcmpl-2",
        True,
    ]
    assert (await client.chat.completions.list(after="chatcmpl-4")).data == []


async def test_list_is_filtered_when_asked_for_metadata_or_a_model(pages: Pages) -> None:
    """All given pairs must be there."""
    listing = pages.openai(DEFAULT_ORG).chat.completions.list
    assert _ids((await listing(metadata={"team": "a"})).data) == ["chatcmpl-1", "chatcmpl-4"]
    assert _ids((await listing(metadata={"team": "a", "env": "x"})).data) == ["chatcmpl-1"]
    assert _ids((await listing(metadata={"team": "a"}, model="other")).data) == ["chatcmpl-4"]
    assert _ids((await listing(model="other", order="desc")).data) == ["chatcmpl-4", "chatcmpl-2"]
    assert [each.id async for each in listing(metadata={"team": "a"}, limit=1, order="desc")] == [
        "chatcmpl-4",
        "chatcmpl-1",
    ]
    assert (await listing(metadata={"team": "%"})).data == []
    theirs = pages.openai("org_two").chat.completions.list
    assert _ids((await theirs(metadata={"team": "a"})).data) == ["chatcmpl-3"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("order=up", "order"),
        ("order=asc&order=desc", "order"),
        ("metadata[team]=a&metadata[team]=b", "metadata[team]"),
        ("after=chatcmpl-3", "after"),
        ("after=", "after"),
        ("model=%00", "model"),
        ("metadata=x", "metadata"),
        ("metadata[]=x", "metadata"),
        (f"metadata[a]={'x' * 513}", "metadata"),
    ],
)
async def test_query_is_refused_when_out_of_range(pages: Pages, query: str, param: str) -> None:
    """400 that names the parameter; another's completion is no place to go on from."""
    status, body = await pages.call(f"/v1/chat/completions?{query}")
    assert (status, json.loads(body)["error"]["param"]) == (400, param)


async def test_list_goes_on_when_ids_are_the_same(pages: Pages) -> None:
    """Upstreams that count from zero: the newest has the id, the others are shown under ours, and none is lost."""
    twins = [
        Entry(number=20 + n, at=NOW - 50 + n, public="chatcmpl-0", content=f"twin {n}") for n in range(3)
    ]
    await pages.db.write(lambda conn: book(conn, twins))
    client = pages.openai(DEFAULT_ORG)
    found = [each async for each in client.chat.completions.list(limit=1, order="desc")]
    assert _ids(found)[:3] == ["chatcmpl-0", twins[1].id, twins[0].id]
    for each in found:
        again = await client.chat.completions.retrieve(each.id)
        assert (again.id, again.choices) == (each.id, each.choices)


async def test_page_ends_early_when_answers_are_heavy(pages: Pages) -> None:
    """A page holds so many bytes; the rest follows."""
    heavy = "x" * (answers.PAGE_BYTES - 10_000)
    entries = [Entry(number=30 + n, at=NOW - 600 + n, content=heavy) for n in range(2)]
    await pages.db.write(lambda conn: book(conn, entries))
    listing = pages.openai(DEFAULT_ORG).chat.completions.list
    page = await listing()
    assert (_ids(page.data), page.has_more) == (["chatcmpl-30"], True)
    assert len([each async for each in listing()]) == 5


async def test_messages_are_listed_when_asked_for(pages: Pages) -> None:
    """What was asked with: texts as content, arrays as parts, other fields as they were."""
    asked = {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "name": "eve", "content": [{"type": "text", "text": "see"}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
            {"role": "tool", "content": "42", "tool_call_id": "c"},
        ]
    }
    own = responses.c.id == ENTRIES[0].id
    request = json.dumps(asked).encode()
    await pages.db.write(lambda conn: conn.execute(responses.update().where(own).values(request=request)))
    listing = pages.openai(DEFAULT_ORG).chat.completions.messages.list
    found = [each async for each in listing("chatcmpl-1", limit=2)]
    assert [each.id for each in found] == [f"chatcmpl-1-{n}" for n in range(4)]
    assert [(each.role, each.content) for each in found] == [
        ("system", "be brief"),
        ("user", None),
        ("assistant", None),
        ("tool", "42"),
    ]
    assert found[1].content_parts is not None
    assert found[1].content_parts[0].type == "text"
    assert found[2].tool_calls
    last = await listing("chatcmpl-1", order="desc", limit=1)
    assert [each.id for each in last.data] == ["chatcmpl-1-3"]
    with pytest.raises(BadRequestError):
        await listing("chatcmpl-1", after="chatcmpl-1-9")


async def test_metadata_is_replaced_when_updated(pages: Pages) -> None:
    """In the row and for the filters, both or neither."""
    client = pages.openai(DEFAULT_ORG)
    answer = await client.chat.completions.update("chatcmpl-1", metadata={"team": "c"})
    assert (answer.id, answer.metadata) == ("chatcmpl-1", {"team": "c"})
    assert (await client.chat.completions.retrieve("chatcmpl-1")).metadata == {"team": "c"}
    listing = client.chat.completions.list
    assert _ids((await listing(metadata={"team": "c"})).data) == ["chatcmpl-1"]
    assert _ids((await listing(metadata={"env": "x"})).data) == []
    assert (await client.chat.completions.update("chatcmpl-1", metadata=None)).metadata == {}
    assert _ids((await listing(metadata={"team": "c"})).data) == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "metadata"),
        (b'{"metadata":{"a":1}}', "metadata"),
        (json.dumps({"metadata": {"a": "x" * 513}}).encode(), "metadata"),
        (json.dumps({"metadata": {"k" * 65: "x"}}).encode(), "metadata"),
        (json.dumps({"metadata": {str(n): "x" for n in range(17)}}).encode(), "metadata"),
        (json.dumps({"metadata": {"a": "\0"}}).encode(), "metadata"),
        (b"[]", None),
    ],
)
async def test_update_is_refused_when_it_breaks_the_contract(pages: Pages, body: bytes, param: str) -> None:
    """16 pairs, keys of 64, values of 512 characters; what was there stays."""
    status, answer = await pages.call("/v1/chat/completions/chatcmpl-1", method="POST", body=body)
    assert (status, json.loads(answer)["error"]["param"]) == (400, param)
    largest = {f"{n:064}": "ä" * 512 for n in range(16)}
    client = pages.openai(DEFAULT_ORG)
    assert (await client.chat.completions.update("chatcmpl-1", metadata=largest)).metadata == largest
    assert (await pages.call("/v1/chat/completions/chatcmpl-1", method="POST", body=b" " * 300_000))[0] == 413


async def test_s16_nothing_is_left_when_deleted(pages: Pages) -> None:
    """Content, metadata and the answer to retries are gone; the ledger and its row are not."""
    entry = ENTRIES[0]

    def retry(conn: Connection) -> None:
        common = {"org_id": DEFAULT_ORG, "key_id": "key_one", "fingerprint": b"f", "path": "p"}
        lease = {"owner": "o", "lease_until": 0, "created_at": 0, "answer": b"first"}
        for key, state, which in (("mine", "done", entry.id), ("other", "done", "resp_other")):
            row = {"key": key, "response_id": which, "state": state, **common, **lease}
            conn.execute(insert(idempotency), row)

    await pages.db.write(retry)
    client = pages.openai(DEFAULT_ORG)
    gone = await client.chat.completions.delete("chatcmpl-1")
    assert (gone.id, gone.object, gone.deleted) == ("chatcmpl-1", "chat.completion.deleted", True)
    for call in (client.chat.completions.retrieve, client.chat.completions.delete):
        with pytest.raises(NotFoundError):
            await call("chatcmpl-1")
    assert _ids((await client.chat.completions.list()).data) == ["chatcmpl-2", "chatcmpl-4"]
    after = await client.chat.completions.list(after="chatcmpl-1")
    assert _ids(after.data) == ["chatcmpl-2", "chatcmpl-4"]

    def look(conn: Connection) -> None:
        row = _row(conn, entry)
        assert (row.request, row.answer, row.metadata, row.expires_at) == (None, None, None, None)
        assert (row.state, row.amount) == ("deleted", entry.cost)
        labels = response_metadata.c.response_id == entry.id
        assert conn.execute(select(response_metadata).where(labels)).all() == []
        assert conn.execute(select(idempotency.c.key)).scalars().all() == ["other"]
        assert conn.execute(select(ledger.c.amount).where(ledger.c.billable_id == entry.id)).scalar()

    await pages.db.read(look)


async def test_s16_bytes_are_overwritten_when_deleted(tmp_path: Path) -> None:
    """In the file of SQLite too: what is free there holds nothing that was deleted."""
    secrets = [b"a-secret-of-few-letters", b"a-secret-of-many-" + b"x" * 9_000, b"a-secret-label"]
    contents = [secret.decode() for secret in secrets[:2]]
    entries = [Entry(number=n, content=content) for n, content in enumerate(contents)]
    entries.append(Entry(number=2, metadata={"n": secrets[2].decode()}))
    place = Place("sqlite", tmp_path, "")

    def stored() -> bytes:
        return (tmp_path / FILE_NAME).read_bytes()

    async with open_pages(place) as pages:
        await pages.db.write(lambda conn: book(conn, entries))
    assert [secret[:17] in stored() for secret in secrets] == [True] * 3
    async with open_pages(place) as pages:
        for entry in entries:
            await pages.openai(DEFAULT_ORG).chat.completions.delete(entry.shown)
    assert [secret[:17] in stored() for secret in secrets] == [False] * 3
