"""What results leave for webhooks, on both databases: in their commit, once, and gone when their object is."""

from functools import partial
from typing import Any

import msgspec
import pytest
from sqlalchemy import Connection, event, select, update

from databases import Place
from ingot.deliveries import STANDARD, encode_policy
from ingot.pricing import Tokens
from ingot.store import erasure
from ingot.store.endpoints import EndpointRow, insert_endpoint
from ingot.store.orders import Hook, insert_order
from ingot.store.rendering import render_answer, render_record
from ingot.store.responses import delete_response
from ingot.store.schema import (
    micros,
    organizations,
    responses,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
    webhook_orders,
)
from ingot.store.settle import Settlement, settle
from ingot.store.waiting import find_ended
from ingot.store.webhooks import event_id, post_event
from queuehouse import MODEL, PRICE, QueueHouse, open_queue, take

DAY = micros(86_400)
HOOK = Hook(url="https://a.example/", place="https://a.example:443", policy=encode_policy(STANDARD))
ANSWER = b'{"id":"chatcmpl-1","object":"chat.completion","choices":[]}'
KINDS = ("response.completed", "response.failed", "response.cancelled", "response.incomplete")


def settlement(house: QueueHouse, name: str = "resp_1", **fields: Any) -> Settlement:
    """A chat completion whose client waited."""
    now = micros(house.clock.now())
    values: dict[str, Any] = {
        "id": name,
        "public_id": "chatcmpl-1",
        "org_id": "org_a",
        "key_id": "key_a",
        "surface": "chat",
        "model": MODEL,
        "target": "up",
        "status": 200,
        "state": "completed",
        "window": "asap",
        "fidelity": "verbatim",
        "created_at": now,
        "finished_at": now,
        "request_id": "req_1",
        "amount": PRICE.cost(Tokens(input=5), window="asap"),
        "request": b'{"model":"m"}',
        "answer": ANSWER,
        "metadata": {"team": "blue"},
        "expires_at": now + 30 * DAY,
        "hook": HOOK,
    }
    return Settlement(**values | fields)


async def subscribe(house: QueueHouse, *kinds: str, org_id: str = "org_a", name: str = "we_1") -> None:
    """An endpoint of an organization."""
    row = EndpointRow(
        name, org_id, "key_a", name, "https://b.example/", "https://b.example:443", kinds or KINDS, 1, 1
    )
    await house.db.write(partial(insert_endpoint, row=row))


async def table(house: QueueHouse, which: Any) -> list[Any]:
    """All rows."""
    return await house.db.read(lambda conn: list(conn.execute(select(which)).mappings()))


async def test_event_is_written_when_a_client_waited(backend: Place) -> None:
    """W01, W02: in the commit of the result, with the bytes that are read of the completion from then on."""
    async with open_queue(backend) as house:
        await house.recorder.record(settlement(house))
        [found] = await table(house, webhook_events)
        assert bytes(found["body"]) == render_answer(
            "chat", ANSWER, shown="chatcmpl-1", metadata={"team": "blue"}
        )
        assert (found["object_id"], found["fleeting"]) == ("resp_1", 0)
        assert found["id"] == event_id("completion", "resp_1")
        [sent] = await table(house, webhook_deliveries)
        assert (sent["event_id"], sent["url"], sent["attempts"]) == (found["id"], HOOK.url, 0)


async def test_result_and_event_are_one_when_the_commit_fails(backend: Place) -> None:
    """W01: no event without its result."""
    async with open_queue(backend) as house:

        def write(conn: Connection) -> None:
            settle(conn, [settlement(house)])
            raise RuntimeError("the disk is gone")

        with pytest.raises(RuntimeError):
            await house.db.write(write)
        assert await table(house, webhook_events) == await table(house, responses) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"state": "failed", "answer": None}, 0),
        ({"state": "cancelled"}, 0),
        ({"surface": "responses", "state": "cancelled", "answer": b'{"id":"r","status":"incomplete"}'}, 1),
        ({"answer": b"no json"}, 0),
        ({"surface": "messages", "answer": b'{"id":"msg_1"}'}, 1),
    ],
)
async def test_event_is_left_out_when_nothing_can_be_read(
    backend: Place, fields: dict[str, Any], expected: int
) -> None:
    """What failed told its client so; a part of a response is a response."""
    async with open_queue(backend) as house:
        await house.recorder.record(settlement(house, **fields))
        assert len(await table(house, webhook_events)) == expected


async def test_body_is_fleeting_when_nothing_else_keeps_it(backend: Place) -> None:
    """Where content is not kept, the answer lies there until it is delivered, and no longer."""
    async with open_queue(backend) as house:
        hook = msgspec.structs.replace(HOOK, answer=ANSWER)
        await house.recorder.record(
            settlement(house, hook=hook, request=None, answer=None, metadata=None, expires_at=None)
        )
        [found] = await table(house, webhook_events)
        assert found["fleeting"] == 1
        assert b'"metadata":{}' in bytes(found["body"])
        assert found["expires_at"] < found["created_at"] + 4 * DAY


async def test_refused_order_stays_with_its_record(backend: Place) -> None:
    """W08: no event, and the reason is there."""
    async with open_queue(backend) as house:
        await house.recorder.record(settlement(house, hook=Hook(url="", rejected="The URL is odd.")))
        assert await table(house, webhook_events) == []
        [order] = await table(house, webhook_orders)
        assert (order["response_id"], order["rejected"]) == ("resp_1", "The URL is odd.")


async def put(house: QueueHouse, *, surface: str = "responses", hook: Hook | None = HOOK) -> Any:
    """Work in the background, leased, with its item."""
    job = await house.put(surface=surface, most=1000)
    if hook is not None:
        await house.db.write(partial(insert_order, org_id="org_a", response_id=job.batch_id, hook=hook, at=1))
    queue = house.process()
    [leased] = await take(queue)
    [item] = await queue.items(leased)
    return leased, item


@pytest.mark.parametrize("surface", ["chat", "messages", "responses"])
async def test_event_is_written_when_work_was_queued(backend: Place, surface: str) -> None:
    """The body is what the record shows, byte for byte; the order is taken; on responses endpoints are told too."""
    async with open_queue(backend) as house:
        await subscribe(house)
        job, item = await put(house, surface=surface)
        answer = b'{"id":"x","status":"completed","output":[]}'
        expires = micros(house.clock.now()) + 30 * DAY
        assert await house.settle(job, item, request=b'{"model":"m"}', answer=answer, expires_at=expires)
        record = await house.db.read(partial(find_ended, org_id="org_a", which=item.id))
        assert record is not None
        events = {row["kind"]: row for row in await table(house, webhook_events)}
        assert bytes(events["completion"]["body"]) == render_record(record)
        assert set(events) == {"completion"} | ({"response.completed"} if surface == "responses" else set())
        assert await table(house, webhook_orders) == []


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"answer": b'{"status":"completed","output":[]}'}, "response.completed"),
        ({"answer": b'{"status":"incomplete","output":[]}'}, "response.incomplete"),
        ({"answer": b"no response at all"}, "response.completed"),
        ({"state": "failed", "billable": False}, "response.failed"),
        ({"state": "cancelled", "billable": False}, "response.cancelled"),
    ],
)
async def test_endpoints_are_told_when_a_response_ends(
    backend: Place, fields: dict[str, Any], kind: str
) -> None:
    """One event of the kind that says how it ended, one delivery for each endpoint that wants it, in its organization."""
    async with open_queue(backend) as house:
        await subscribe(house, kind)
        await subscribe(house, name="we_2")
        await subscribe(house, "batch.completed", name="we_3")
        await subscribe(house, org_id="org_b", name="we_4")
        job, item = await put(house, hook=None)
        assert await house.settle(job, item, **fields)
        [found] = await table(house, webhook_events)
        assert found["kind"] == kind
        assert msgspec.json.decode(bytes(found["body"]))["data"] == {"id": item.id}
        assert {row["endpoint_id"] for row in await table(house, webhook_deliveries)} == {"we_1", "we_2"}


async def test_nothing_is_told_when_a_lease_was_lost(backend: Place) -> None:
    """A fenced result leaves no event; the one that counts leaves one."""
    async with open_queue(backend) as house:
        await subscribe(house)
        job, item = await put(house)
        await house.lapse()
        queue = house.process()
        await queue.reclaim()
        [again] = await take(queue)
        assert not await house.settle(job, item, answer=b"{}")
        assert await table(house, webhook_events) == []
        assert await house.settle(again, item, answer=b"{}")
        assert len(await table(house, webhook_events)) == 2


async def test_items_of_a_batch_tell_no_endpoint(backend: Place) -> None:
    """The batch tells of itself."""
    async with open_queue(backend) as house:
        await subscribe(house)
        await house.put(count=2, surface="responses", most=1000)
        queue = house.process()
        [leased] = await take(queue, 2)
        for item in await queue.items(leased):
            assert await house.settle(leased, item, answer=b"{}")
        assert await table(house, webhook_events) == []


async def test_event_is_posted_once_when_another_module_posts_it(backend: Place) -> None:
    """In the caller's transaction, by an id that is made of what it tells; nothing where nobody subscribed."""
    async with open_queue(backend) as house:
        await house.db.write(partial(post_event, org_id="org_a", kind="batch.completed", object_id="b", at=1))
        assert await table(house, webhook_events) == []
        await subscribe(house, "batch.completed")
        for _ in range(2):
            await house.db.write(
                partial(post_event, org_id="org_a", kind="batch.completed", object_id="b", at=1)
            )
        assert len(await table(house, webhook_deliveries)) == 1


async def test_disabled_endpoint_gets_nothing(backend: Place) -> None:
    """Until a person says otherwise."""
    async with open_queue(backend) as house:
        await subscribe(house, "batch.failed")
        await house.db.write(lambda conn: conn.execute(update(webhook_endpoints).values(disabled_at=1)))
        await house.db.write(partial(post_event, org_id="org_a", kind="batch.failed", object_id="b", at=1))
        assert await table(house, webhook_events) == []


async def test_no_statement_is_run_when_nobody_ordered_anything(backend: Place) -> None:
    """A request without a webhook that went through no queue touches none of its tables."""
    async with open_queue(backend) as house:
        seen: list[str] = []

        def write(conn: Connection) -> None:
            def note(*told: Any) -> None:
                seen.append(str(told[2]))

            event.listen(conn, "before_cursor_execute", note)
            try:
                settle(conn, [settlement(house, hook=None)])
            finally:
                event.remove(conn, "before_cursor_execute", note)

        await house.db.write(write)
        assert [statement for statement in seen if "webhook" in statement] == []
        assert len(await table(house, responses)) == 1


async def test_body_goes_when_the_object_is_deleted(backend: Place) -> None:
    """Whoever deletes a response deletes it here too."""
    async with open_queue(backend) as house:
        await house.recorder.record(settlement(house))
        await house.db.write(partial(delete_response, org_id="org_a", response_id="resp_1"))
        [found] = await table(house, webhook_events)
        assert found["body"] is None


async def test_all_goes_when_the_organization_is_deleted(backend: Place) -> None:
    """Its endpoints, events and deliveries, and what was still on its way leaves nothing."""
    async with open_queue(backend) as house:
        await subscribe(house)
        await house.recorder.record(settlement(house))
        gone = update(organizations).where(organizations.c.id == "org_a").values(deleted_at=1)
        await house.db.write(lambda conn: conn.execute(gone))
        await house.recorder.record(settlement(house, "resp_2"))
        assert await house.db.read(erasure.deleted_organizations) == ["org_a"]
        while await house.db.write(partial(erasure.erase_organization, org_id="org_a", most=1)):
            pass
        for each in (webhook_endpoints, webhook_events, webhook_deliveries, webhook_orders):
            assert await table(house, each) == []
        assert await house.db.read(erasure.deleted_organizations) == []
