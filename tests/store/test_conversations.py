"""Conversations and their items as OpenAI's client knows them, on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError
from openai.types.conversations import Message
from sqlalchemy import Connection, func, select, update

from databases import Place
from ingot.clock import ManualClock
from ingot.dialects.dialect import Past
from ingot.services.retention import Retention
from ingot.store.conversations import organizations_with_conversations, read_items, take_places
from ingot.store.erasure import deleted_organizations, erase_organization
from ingot.store.schema import DEFAULT_ORG, conversation_items, conversations, ledger, organizations
from ingot.store.settle import Settlement, settle
from ingot.store.turns import Turn, append_turn
from keyhouse import Lines
from ledgerbook import DAY, NOW, add_organization
from pagehouse import CONTENTLESS, Pages, open_pages

HELLO: Any = {"role": "user", "content": "Hello"}
HELLO_1: Any = {**HELLO, "id": "msg_1"}


@pytest.fixture
async def pages(backend: Place) -> AsyncIterator[Pages]:
    """A store of three organizations."""

    def fill(conn: Connection) -> None:
        add_organization(conn, "org_two")
        add_organization(conn, CONTENTLESS)

    async with open_pages(backend) as opened:
        await opened.db.write(fill)
        yield opened


@pytest.fixture
def client(pages: Pages) -> AsyncOpenAI:
    """OpenAI's client of the first organization."""
    return pages.openai(DEFAULT_ORG)


def _numbered(count: int, start: int = 0) -> list[Any]:
    return [{"role": "user", "content": f"number {n}"} for n in range(start, start + count)]


def _text(item: Any) -> str:
    assert isinstance(item, Message)
    [part] = item.content
    return str(getattr(part, "text", ""))


async def test_conversation_is_read_back_when_made(pages: Pages, client: AsyncOpenAI) -> None:
    """As OpenAI tells it: id, instant, metadata; relabelled whole, and deleted for good."""
    made = await client.conversations.create(metadata={"team": "a"})
    assert made.id.startswith("conv_")
    assert (made.object, made.created_at, made.metadata) == ("conversation", int(NOW), {"team": "a"})
    assert await client.conversations.retrieve(made.id) == made
    changed = await client.conversations.update(made.id, metadata={"env": "x"})
    assert changed.metadata == {"env": "x"}
    assert (await client.conversations.update(made.id, metadata=None)).metadata == {}
    gone = await client.conversations.delete(made.id)
    assert gone.model_dump() == {"id": made.id, "object": "conversation.deleted", "deleted": True}
    with pytest.raises(NotFoundError):
        await client.conversations.retrieve(made.id)
    status, body = await pages.call("/v1/conversations", method="POST")
    assert (status, json.loads(body)["metadata"]) == (200, {})


async def test_items_are_completed_when_kept(pages: Pages, client: AsyncOpenAI) -> None:
    """Each gets an id by its type, a status, and its text as the content part that it is."""
    items: list[Any] = [
        HELLO,
        {"role": "assistant", "content": "Hi"},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "12"},
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"},
        {
            "id": "msg_mine",
            "type": "message",
            "role": "developer",
            "content": [{"type": "input_text", "text": "x"}],
        },
    ]
    made = await client.conversations.create(items=items)
    status, body = await pages.call(f"/v1/conversations/{made.id}/items?order=asc")
    page = json.loads(body)
    prefixes = [item["id"].partition("_")[0] for item in page["data"]]
    assert (status, prefixes) == (200, ["msg", "msg", "fc", "fco", "rs", "msg"])
    assert (page["object"], page["has_more"]) == ("list", False)
    assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], "msg_mine")
    bare = [{name: value for name, value in item.items() if name != "id"} for item in page["data"]]
    assert bare == [
        {
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_text", "text": "Hello"}],
        },
        {
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        },
        {"type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "status": "completed", "call_id": "call_1", "output": "12"},
        {"type": "reasoning", "summary": []},
        {
            "type": "message",
            "status": "completed",
            "role": "developer",
            "content": [{"type": "input_text", "text": "x"}],
        },
    ]
    sealed = await client.conversations.items.retrieve(
        page["data"][4]["id"], conversation_id=made.id, include=["reasoning.encrypted_content"]
    )
    assert sealed.model_dump()["encrypted_content"] == "sealed"


async def test_items_are_paged_when_listed(client: AsyncOpenAI) -> None:
    """Newest first unless asked otherwise, each once, whatever the size of a page."""
    made = await client.conversations.create(items=_numbered(20))
    added = await client.conversations.items.create(made.id, items=_numbered(3, 20))
    assert [_text(item) for item in added.data] == ["number 20", "number 21", "number 22"]
    newest = await client.conversations.items.list(made.id)
    assert [_text(item) for item in newest.data] == [f"number {n}" for n in range(22, 2, -1)]
    assert newest.has_more
    listed = [item async for item in client.conversations.items.list(made.id, order="asc", limit=4)]
    assert [_text(item) for item in listed] == [f"number {n}" for n in range(23)]
    removed = await client.conversations.items.delete(listed[5].id or "", conversation_id=made.id)
    assert removed == made
    left = [_text(item) async for item in client.conversations.items.list(made.id, order="asc", limit=100)]
    assert left == [f"number {n}" for n in range(23) if n != 5]
    with pytest.raises(NotFoundError):
        await client.conversations.items.retrieve(listed[5].id or "", conversation_id=made.id)
    with pytest.raises(BadRequestError, match="'after'"):
        await client.conversations.items.list(made.id, after=listed[5].id or "")


async def test_page_ends_early_when_its_items_are_large(client: AsyncOpenAI) -> None:
    """A page weighs no more than a few megabytes, says that more follow, and none is left out."""
    large = [{"role": "user", "content": str(n) * 1_500_000} for n in range(5)]
    made = await client.conversations.create()
    for each in large:
        await client.conversations.items.create(made.id, items=[each])  # type: ignore[list-item]  # a plain dict
    page = await client.conversations.items.list(made.id, order="asc")
    assert (len(page.data), page.has_more) == (2, True)
    listed = [_text(item)[0] async for item in client.conversations.items.list(made.id, order="asc")]
    assert listed == ["0", "1", "2", "3", "4"]


async def test_all_items_have_one_order_when_appended_at_once(client: AsyncOpenAI) -> None:
    """Calls may come in any order, but what each appends stays together, and nothing is lost."""
    made = await client.conversations.create()

    async def add(call: int) -> list[str]:
        added = await client.conversations.items.create(made.id, items=_numbered(3, 10 * call))
        return [item.id or "" for item in added.data]

    calls = await asyncio.gather(*(add(call) for call in range(8)))
    listed = [item.id async for item in client.conversations.items.list(made.id, order="asc", limit=100)]
    assert len(listed) == 24
    assert sorted(tuple(listed[at : at + 3]) for at in range(0, 24, 3)) == sorted(map(tuple, calls))


CALLS: tuple[tuple[str, str, Any], ...] = (
    ("", "GET", None),
    ("", "POST", {"metadata": {}}),
    ("", "DELETE", None),
    ("/items", "GET", None),
    ("/items", "POST", {"items": [HELLO]}),
    ("/items/msg_1", "GET", None),
    ("/items/msg_1", "DELETE", None),
)


async def test_foreign_is_told_as_missing_when_asked_for(pages: Pages) -> None:
    """The same bytes for what belongs to another, was deleted, and never was; nothing of theirs changes."""
    theirs = (await pages.openai("org_two").conversations.create(items=[HELLO_1])).id
    gone = (await pages.openai(DEFAULT_ORG).conversations.create()).id
    await pages.openai(DEFAULT_ORG).conversations.delete(gone)
    told = set()
    for path, method, asked in CALLS:
        body = None if asked is None else json.dumps(asked).encode()
        for which in (theirs, gone, "conv_99", "%00"):
            status, answer = await pages.call(f"/v1/conversations/{which}{path}", method=method, body=body)
            told.add((status, answer.replace(which.encode(), b"ID").replace(b"\\u0000", b"ID")))
    [(status, answer)] = told
    assert status == 404
    assert json.loads(answer)["error"] == {
        "message": "No conversation has the id 'ID'.",
        "type": "invalid_request_error",
        "param": None,
        "code": "not_found",
    }
    assert len((await pages.openai("org_two").conversations.items.list(theirs)).data) == 1


async def test_nothing_is_made_when_a_body_is_wrong(pages: Pages) -> None:
    """The error names the field."""
    body = json.dumps({"items": [HELLO, {"role": "user", "content": [{"text": "x"}]}]}).encode()
    status, answer = await pages.call("/v1/conversations", method="POST", body=body)
    assert (status, json.loads(answer)["error"]["param"]) == (400, "items[1].content[0].type")
    assert await pages.db.read(_left) == (0, 0)


async def test_nothing_is_appended_when_an_id_is_taken(client: AsyncOpenAI) -> None:
    """All of a call's items or none, and places are not lost."""
    made = await client.conversations.create(items=[HELLO_1])
    with pytest.raises(BadRequestError, match=r"items\[1\]\.id"):
        await client.conversations.items.create(made.id, items=[HELLO, HELLO_1])
    assert [item.id for item in (await client.conversations.items.list(made.id)).data] == ["msg_1"]


async def test_query_is_refused_when_it_is_wrong(pages: Pages) -> None:
    """A parameter that could not be meant is never ignored."""
    made = await pages.openai(DEFAULT_ORG).conversations.create()
    for query in ("limit=0", "limit=101", "order=up", "include[]=all", "before=x", "limit=1&limit=2"):
        status, answer = await pages.call(f"/v1/conversations/{made.id}/items?{query}")
        param = query.partition("=")[0].removesuffix("[]")
        assert (status, json.loads(answer)["error"]["param"]) == (400, param)


async def test_one_is_made_when_a_call_is_retried_with_its_key(pages: Pages, client: AsyncOpenAI) -> None:
    """The same answer again; another body under the key is refused."""
    body = json.dumps({"items": [HELLO]}).encode()
    first = await pages.call("/v1/conversations", method="POST", body=body, key="k1")
    assert await pages.call("/v1/conversations", method="POST", body=body, key="k1") == first
    which = json.loads(first[1])["id"]
    path = f"/v1/conversations/{which}/items"
    added = await pages.call(path, method="POST", body=body, key="k2")
    assert await pages.call(path, method="POST", body=body, key="k2") == added
    assert len((await client.conversations.items.list(which)).data) == 2
    status, refused = await pages.call("/v1/conversations", method="POST", body=b"{}", key="k1")
    assert (status, json.loads(refused)["error"]["code"]) == (400, "idempotency_key_reused")


async def test_nothing_is_kept_when_the_organization_keeps_no_content(pages: Pages) -> None:
    """It is told so, and what to do instead."""
    with pytest.raises(BadRequestError, match="'input'") as caught:
        await pages.openai(CONTENTLESS).conversations.create()
    assert caught.value.code == "storage_off"


async def test_conversation_stays_when_stored_responses_expire(pages: Pages, client: AsyncOpenAI) -> None:
    """However old it is."""
    made = await client.conversations.create(items=[HELLO])
    pages.clock.advance(4000 * DAY)
    await Retention(pages.db, clock=pages.clock, log=Lines(), pause=0).turn()
    assert len((await client.conversations.items.list(made.id)).data) == 1


def _left(conn: Connection) -> tuple[int, int]:
    tables = (conversations, conversation_items)
    found = [int(conn.execute(select(func.count()).select_from(table)).scalar_one()) for table in tables]
    return found[0], found[1]


async def test_all_rows_go_when_a_conversation_or_its_organization_is_deleted(pages: Pages) -> None:
    """Those of others stay; a deletion that was cut short goes on, piece by piece."""
    mine, theirs = pages.openai(DEFAULT_ORG), pages.openai("org_two")
    await theirs.conversations.create(items=[HELLO])
    made = [await mine.conversations.create(items=_numbered(5)) for _ in range(3)]
    await mine.conversations.delete(made[0].id)
    assert await pages.db.read(_left) == (3, 11)

    def end(conn: Connection) -> None:
        conn.execute(update(organizations).where(organizations.c.id == DEFAULT_ORG).values(deleted_at=1))

    await pages.db.write(end)
    assert await pages.db.read(organizations_with_conversations) == [DEFAULT_ORG]
    assert await pages.db.read(deleted_organizations) == [DEFAULT_ORG]
    pieces = []
    while piece := await pages.db.write(partial(erase_organization, org_id=DEFAULT_ORG, most=4)):
        pieces.append(piece)
    assert (sum(pieces), max(pieces)) == (12, 4)
    assert await pages.db.read(_left) == (1, 1)
    assert await pages.db.read(deleted_organizations) == []


def _turn(conversation: str, *, status: str = "completed", output: list[Any] | None = None) -> Turn:
    answer = {"id": "resp_1", "status": status, "output": output or [{"type": "message", "id": "msg_a"}]}
    content = [{"type": "input_text", "text": "q"}]
    own = Past({"type": "message", "id": "msg_q", "role": "user", "content": content})
    return Turn(conversation=conversation, own=[own], answer=json.dumps(answer).encode(), streamed=False)


def _said(text: str, name: str) -> Any:
    content = [{"type": "output_text", "text": text, "annotations": []}]
    return {"type": "message", "id": name, "role": "assistant", "status": "completed", "content": content}


async def test_turn_is_appended_when_its_ids_are_taken(pages: Pages, client: AsyncOpenAI) -> None:
    """Upstreams that count from zero repeat themselves: such an item gets an id of its own, and none is lost.

    What the request referred to keeps its maker.
    """
    made = await client.conversations.create(items=[HELLO_1])
    output = [_said("one", "msg_1"), _said("two", "msg_q"), _said("three", "msg_new")]
    turn = _turn(made.id, output=output)
    turn.own.append(Past(_said("zero", "msg_0"), "down"))
    await pages.db.write(lambda conn: append_turn(conn, DEFAULT_ORG, turn, maker="up"))
    listed = [item async for item in client.conversations.items.list(made.id, order="asc")]
    assert [_text(item) for item in listed] == ["Hello", "q", "zero", "one", "two", "three"]
    ids = [item.id or "" for item in listed]
    assert (ids[0], ids[1], ids[2], ids[5], len(set(ids))) == ("msg_1", "msg_q", "msg_0", "msg_new", 6)
    rows = await pages.db.read(lambda conn: read_items(conn, made.id))
    assert [row.maker for row in rows] == [None, None, "down", "up", "up", "up"]


async def test_conversation_is_as_it_was_when_a_turn_leads_nowhere(pages: Pages, client: AsyncOpenAI) -> None:
    """An answer that failed, one that nobody can read, one for a conversation that was deleted, or for another's."""
    made = await client.conversations.create(items=[HELLO_1])
    foreign = await pages.openai("org_two").conversations.create()
    broken = Turn(conversation=made.id, own=[], answer=b"event: x\ndata: {", streamed=True)
    for turn in (_turn(made.id, status="failed"), broken, _turn("conv_gone"), _turn(foreign.id)):
        await pages.db.write(partial(append_turn, org_id=DEFAULT_ORG, turn=turn, maker="up"))
    assert await pages.db.read(_left) == (2, 1)
    incomplete = _turn(made.id, status="incomplete", output=[_said("so f", "msg_2")])
    await pages.db.write(partial(append_turn, org_id=DEFAULT_ORG, turn=incomplete, maker="up"))
    assert await pages.db.read(_left) == (2, 3)


async def test_turn_is_kept_with_its_ledger_row_when_it_is_settled(pages: Pages, client: AsyncOpenAI) -> None:
    """In one commit; an organization that was deleted meanwhile pays, and keeps nothing."""
    made = await client.conversations.create()
    await pages.db.write(lambda conn: settle(conn, [_settlement(1, _turn(made.id))]))
    assert await pages.db.read(_left) == (1, 2)

    def end(conn: Connection) -> None:
        conn.execute(update(organizations).where(organizations.c.id == DEFAULT_ORG).values(deleted_at=1))

    await pages.db.write(end)
    await pages.db.write(lambda conn: settle(conn, [_settlement(2, _turn(made.id))]))
    assert await pages.db.read(_left) == (1, 2)
    assert (
        await pages.db.read(lambda conn: conn.execute(select(func.count()).select_from(ledger)).scalar()) == 2
    )


def _settlement(number: int, turn: Turn) -> Settlement:
    return Settlement(
        id=f"resp_{number}",
        public_id=f"resp_{number}",
        org_id=DEFAULT_ORG,
        key_id="key_one",
        surface="responses",
        model="gpt",
        target="up",
        status=200,
        state="completed",
        window="asap",
        fidelity="translated",
        created_at=1,
        finished_at=2,
        request_id="req_1",
        turn=turn,
    )


async def test_nothing_is_made_when_the_organization_was_just_deleted(pages: Pages) -> None:
    """A request that was on its way keeps nothing, and what it left a moment before goes with the next sweep."""
    mine = pages.openai(DEFAULT_ORG)
    made = await mine.conversations.create(items=[HELLO])

    def end(conn: Connection) -> None:
        conn.execute(update(organizations).where(organizations.c.id == DEFAULT_ORG).values(deleted_at=1))

    await pages.db.write(end)
    for path in ("", f"/{made.id}/items"):
        body = json.dumps({"items": [HELLO]}).encode()
        status, _ = await pages.call(f"/v1/conversations{path}", method="POST", body=body)
        assert status == 401
    await Retention(pages.db, clock=ManualClock(NOW), log=Lines(), pause=0).turn()
    assert await pages.db.read(_left) == (0, 0)
    assert await pages.db.write(lambda conn: take_places(conn, DEFAULT_ORG, made.id, count=1)) is None
