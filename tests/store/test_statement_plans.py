"""What the databases do for each read: an index leads to the rows, and nothing is scanned or sorted at length."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from sqlalchemy import Connection, event, insert

from databases import Place, open_store, postgres_server
from ingot.store import (
    conversations,
    deliveries,
    delivery_log,
    ledger,
    names,
    requestlog,
    responses,
    schema,
    usage,
)
from ingot.store import idempotency as idempotency_rows
from ingot.store.ledger import Span
from ingot.store.requestlog import RequestFilter
from ingot.store.responses import Filter, Mark, Step
from ingot.store.schema import idempotency, job_events, micros, response_losses, response_waits
from ledgerbook import DAY, NOW, Entry, add_organization, book

ROWS = 20_000
RETRIES = 20_000
ORG = "org_large"

Work = Callable[[Connection], object]


def _entry(number: int) -> Entry:
    return Entry(
        number=number,
        at=NOW - 20 * DAY + number * 80,
        org=ORG if number % 4 else "org_small",
        key=f"key_{number % 5}",
        model=f"model-{number % 3}",
        window=("asap", "standard")[number % 2],
        metadata={"run": str(number % 50), "all": "yes"},
    )


def _fill(conn: Connection) -> None:
    for org_id in (ORG, "org_small"):
        add_organization(conn, org_id)
    book(conn, map(_entry, range(ROWS)))
    lossy = [
        {"response_id": each.id, "org_id": each.org, "losses": '[{"path":"seed","reason":"unknown"}]'}
        for each in map(_entry, range(0, ROWS, 2))
    ]
    conn.execute(insert(response_losses), lossy)
    for begin in range(0, RETRIES, 4_000):
        conn.execute(insert(idempotency), [_retry(number) for number in range(begin, begin + 4_000)])
    held = [
        {"id": f"conv_{number:04}", "org_id": ORG if number % 4 else "org_small", "created_at": number}
        for number in range(4_000)
    ]
    conn.execute(insert(schema.conversations), held)
    items = [
        {
            "conversation_id": each["id"],
            "org_id": each["org_id"],
            "place": place,
            "id": f"msg_{place}",
            "item": b'{"type":"message"}',
        }
        for each in held[:100]
        for place in range(100)
    ]
    conn.execute(insert(schema.conversation_items), items)
    waited = [{"response_id": each["response_id"], "org_id": each["org_id"], "due_at": 1} for each in lossy]
    conn.execute(insert(response_waits), waited)
    said = [{"response_id": each["response_id"], "seq": 0, "epoch": 1, "data": b"x"} for each in lossy]
    conn.execute(insert(job_events), said)
    named = [
        {"org_id": each.org, "item_id": f"msg_{number % 50}", "response_id": each.id}
        for number, each in ((number, _entry(number)) for number in range(ROWS))
    ]
    conn.execute(insert(schema.response_items), named)
    _fill_webhooks(conn)


def _fill_webhooks(conn: Connection) -> None:
    """An event for each response, most of them delivered long ago, and what few requests ordered."""
    entries = [(number, _entry(number)) for number in range(ROWS)]
    events = [
        {
            "id": f"evt_{number}", "org_id": each.org, "kind": "completion", "object_id": each.id, "body": b"{}",
            "created_at": micros(each.at), "expires_at": micros(NOW + number),
        }
        for number, each in entries
    ]  # fmt: skip
    conn.execute(insert(schema.webhook_events), events)
    sent = [
        {
            "id": f"evt_{number}", "event_id": f"evt_{number}", "org_id": each.org, "url": "https://a.example/",
            "place": f"https://host-{number % 7}:443", "policy": "{}", "created_at": micros(each.at),
            "due_at": micros(NOW), "ends_at": micros(NOW + DAY), "done_at": None if number % 50 == 0 else 1,
        }
        for number, each in entries
    ]  # fmt: skip
    conn.execute(insert(schema.webhook_deliveries), sent)
    tries = [{"delivery_id": f"evt_{n}", "org_id": e.org, "at": micros(e.at), "ms": 1} for n, e in entries]
    conn.execute(insert(schema.webhook_tries), tries)
    orders = [
        {
            "response_id": each.id, "org_id": each.org, "url": "", "place": "", "policy": "", "rejected": "no",
            "created_at": micros(each.at),
        }
        for _, each in entries
    ]  # fmt: skip
    conn.execute(insert(schema.webhook_orders), orders)


def _retry(number: int) -> dict[str, Any]:
    """Retry keys of many requests; a few of them are due at NOW."""
    return {
        "org_id": ORG if number % 100 else "org_small",
        "key_id": f"key_{number % 5}",
        "key": f"k{number}",
        "fingerprint": b"f",
        "path": "/v1/chat/completions",
        "response_id": _entry(number).id,
        "state": "done",
        "owner": "own_1",
        "lease_until": 0,
        "created_at": 0,
        "expires_at": micros(NOW + number - 500),
        "status": 200,
        "content_type": "application/json",
        "answer": b"{}",
    }


_AT = ROWS // 2 + 1
MIDDLE = Mark(micros(_entry(_AT).at), _entry(_AT).id)
HOUR = int(NOW) // 3600
ALL = Filter("chat", micros(NOW))
ONE_MODEL = Filter("chat", micros(NOW), model="model-1")
LABELS = {"run": "7", "all": "yes"}
NEWEST, OLDEST = Step(None, 20, descending=True), Step(None, 20, descending=False)
LATER, EARLIER = Step(MIDDLE, 20, descending=False), Step(MIDDLE, 20, descending=True)
WEEK = (micros(NOW - 7 * DAY), micros(NOW))

OWN = Span(ORG)
ENTRY = ledger.Entry(_entry(_AT).id, ORG, "inference", 0, micros(_entry(_AT).at), seq=_AT)

READS: dict[str, Work] = {
    "one": lambda conn: responses.find_response(conn, ORG, "chatcmpl-unknown"),
    "content": lambda conn: responses.read_part(conn, ORG, "resp_unknown", part="answer"),
    "an answer": lambda conn: responses.read_answered(conn, ORG, MIDDLE.id),
    "a named item": lambda conn: names.find_holder(conn, ORG, "msg_7", now=micros(NOW)),
    "a named item that is not there": lambda conn: names.find_holder(conn, ORG, "msg_no", now=micros(NOW)),
    "newest": lambda conn: responses.list_responses(conn, ORG, ALL, step=NEWEST),
    "oldest": lambda conn: responses.list_responses(conn, ORG, ALL, step=OLDEST),
    "later of a model": lambda conn: responses.list_responses(conn, ORG, ONE_MODEL, step=LATER),
    "labelled": lambda conn: responses.list_responses(
        conn, ORG, Filter("chat", micros(NOW), metadata=LABELS), step=NEWEST
    ),
    "labelled, earlier, of a model": lambda conn: responses.list_responses(
        conn, ORG, Filter("chat", micros(NOW), model="model-1", metadata=LABELS), step=EARLIER
    ),
    "requests": lambda conn: requestlog.list_requests(conn, ORG, RequestFilter(), after=MIDDLE, limit=100),
    "requests of a key": lambda conn: requestlog.list_requests(
        conn, ORG, RequestFilter(key_id="key_1"), after=None, limit=100
    ),
    "requests of a model in a week": lambda conn: requestlog.list_requests(
        conn, ORG, RequestFilter(model="model-1", since=WEEK[0], until=WEEK[1]), after=MIDDLE, limit=100
    ),
    "days": lambda conn: usage.read_shares(conn, ORG, since=HOUR - 119, until=HOUR + 1, width=24),
    "hours": lambda conn: usage.read_shares(conn, ORG, since=HOUR - 23, until=HOUR + 1, width=1),
    "a summary": lambda conn: usage.read_shares(conn, ORG, since=HOUR - 23, until=HOUR + 1, width=0),
    "totals": lambda conn: usage.read_totals(conn, ORG, since=HOUR - 119, until=HOUR + 1),
    "ledger, oldest first": lambda conn: ledger.page(conn, OWN, after=ENTRY, limit=100),
    "ledger, newest first": lambda conn: ledger.latest(conn, OWN, limit=100, before=ENTRY),
    "ledger of a kind in a week": lambda conn: ledger.page(
        conn, Span(ORG, *WEEK, kind="inference"), after=ENTRY, limit=100
    ),
    "account": lambda conn: usage.read_account(conn, ORG),
    "period": lambda conn: usage.period_start(conn, ORG),
    "a conversation": lambda conn: conversations.find_conversation(conn, ORG, "conv_0001"),
    "an item": lambda conn: conversations.find_item(conn, "conv_0001", "msg_50"),
    "an item of any conversation": lambda conn: conversations.find_item_anywhere(conn, ORG, "msg_50"),
    "items": lambda conn: conversations.list_items(
        conn, "conv_0001", after=50, limit=20, descending=True, room=10_000
    ),
    "deliveries": lambda conn: delivery_log.list_deliveries(conn, ORG, delivery_log.Which(), step=NEWEST),
    "deliveries of an event": lambda conn: delivery_log.list_deliveries(
        conn, ORG, delivery_log.Which(event_id="evt_7"), step=NEWEST
    ),
    "all items": lambda conn: (
        conversations.weigh(conn, "conv_0001"),
        conversations.read_items(conn, "conv_0001"),
    ),
}
WRITES: dict[str, Work] = {
    "relabel": lambda conn: responses.relabel_response(conn, ORG, MIDDLE.id, metadata={}),
    "delete": lambda conn: responses.delete_response(conn, ORG, MIDDLE.id),
    "sweep": lambda conn: responses.sweep(conn, micros(NOW + 11 * DAY), most=100),
    "erase": lambda conn: responses.erase_responses(conn, "org_small", most=100),
    "sweep of retries": lambda conn: idempotency_rows.sweep(conn, micros(NOW), most=1_000),
    "end of retries": lambda conn: idempotency_rows.renew(
        conn, "own_1", response_ids=[_entry(_AT).id], now=micros(NOW)
    ),
    "append": lambda conn: (
        conversations.take_places(conn, ORG, "conv_0001", count=2),
        conversations.taken_ids(conn, "conv_0001", {"msg_1", "msg_none"}),
    ),
    "delete an item": lambda conn: conversations.delete_item(conn, "conv_0001", "msg_60"),
    "delete a conversation": lambda conn: conversations.delete_conversation(conn, ORG, "conv_0002"),
    "erase conversations": lambda conn: conversations.erase_conversations(conn, "org_small", most=100),
    "webhooks to deliver": lambda conn: deliveries.lease(
        conn, deliveries.Ask("own_1", micros(NOW), micros(NOW + 60), room=64, per_place=4, busy={})
    ),
    "webhooks to give up": lambda conn: deliveries.give_up(conn, micros(NOW + 2 * DAY)),
    "webhooks to forget": lambda conn: deliveries.prune(conn, micros(NOW + 60)),
    "rederive an hour": lambda conn: usage.rederive(conn, ORG, since=HOUR - 24, until=HOUR - 23),
}

# Tables of a few rows for each organization, or at all, may be read whole and sorted; and so may sums (`by_hour`).
_SMALL = r"(by_hour|organizations|plans|balances|subscriptions|webhook_(places|secrets|endpoints))\b"


def _explained(conn: Connection, work: Work, *, prefix: str) -> list[tuple[str, str]]:
    """The statements that `work` runs, each with its plan."""
    plans: list[tuple[str, str]] = []

    def explain(_conn: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not statement.startswith("INSERT INTO response_metadata"):
            cursor.execute(f"{prefix} {statement}", parameters)
            plans.append((statement, "\n".join(str(row[-1]) for row in cursor.fetchall())))

    event.listen(conn, "before_cursor_execute", explain)
    try:
        work(conn)
    finally:
        event.remove(conn, "before_cursor_execute", explain)
    assert plans
    return plans


def _objections(statement: str, plan: str) -> Iterator[str]:
    """What a plan must not do."""
    for line in plan.splitlines():
        whole = re.search(r"\bSCAN (\w+)|Seq Scan on (\w+)", line)
        if whole and not re.match(_SMALL, whole[1] or whole[2]):
            yield line
        sorted_whole = "TEMP B-TREE FOR ORDER BY" in line and not re.search(f"FROM {_SMALL}", statement)
        if sorted_whole or "AUTOMATIC" in line:
            yield line
        if re.search(r"SEARCH other|on responses other", line) and "responses_by_public_id" not in line:
            yield line


async def test_nothing_is_scanned_when_history_is_read_or_changed(backend: Place) -> None:
    """Each statement goes by an index, also where the organization has most of the rows."""
    prefix = "EXPLAIN" if backend.postgres else "EXPLAIN QUERY PLAN"
    async with open_store(backend) as db:
        await db.write(_fill)
        if backend.postgres:
            postgres_server().run("VACUUM ANALYZE", url=backend.url)
        wrong = []
        for run, works in ((db.read, READS), (db.write, WRITES)):
            for name, work in works.items():
                for statement, plan in await run(partial(_explained, work=work, prefix=prefix)):
                    told = f"{statement[:2_000]}\n{plan[:2_000]}"
                    wrong += [f"{name}: {line}\n{told}" for line in _objections(statement, plan)]
    assert not wrong, "\n\n".join(wrong)
