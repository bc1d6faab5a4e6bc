"""What results leave for webhooks, in their own transaction: orders of requests, events with their bodies, deliveries.

    request --order--> waits in the queue --settle--.
    request --its client waits------------settle----+--> event, its body as GET tells the object --> one delivery
    result, or whatever calls post_events ----------'--> event for every endpoint that subscribed --> a delivery each

An event's id is made of what it tells, so that nobody posts it twice. Who has no webhook costs no statement, unless the
result comes from the queue. Knows no way of delivering and no secret: a token comes sealed.
"""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct
from sqlalchemy import BindParameter, Connection, bindparam, insert, select

from ingot.deliveries import COMPLETION, LAST_SECONDS, STANDARD, TYPES, encode_event, encode_policy
from ingot.dialects.responses_state import status_of
from ingot.store import waiting
from ingot.store.bulk import insert_rows
from ingot.store.orders import Hook, insert_order, take_orders
from ingot.store.queue import Claim
from ingot.store.rendering import render_answer, render_record
from ingot.store.schema import (
    micros,
    seconds,
    webhook_deliveries,
    webhook_endpoints,
    webhook_events,
)
from ingot.store.waiting import READABLE

KEPT: Final = micros(30 * 86400)
"""How long events and the log of their tries stay."""
LAST: Final = micros(LAST_SECONDS)
RESPONSES: Final = "responses"

_IDS: BindParameter[Any] = bindparam("ids", expanding=True)
_e, _v = webhook_endpoints.c, webhook_events.c
_EVENT = ("id", "org_id", "kind", "object_id", "body", "fleeting", "created_at", "expires_at")
_DELIVERY = (
    "id", "event_id", "org_id", "endpoint_id", "url", "place", "token", "policy", "created_at", "due_at", "ends_at",
    "attempts",
)  # fmt: skip
_ENDPOINTS = (
    select(_e.id, _e.org_id, _e.url, _e.place, _e.event_types)
    .where(_e.org_id.in_(_IDS), _e.disabled_at.is_(None))
    .order_by(_e.created_at, _e.id)
)
_KNOWN = select(_v.id).where(_v.id.in_(_IDS))
_types = msgspec.json.Decoder(tuple[str, ...]).decode


class Event(Struct, frozen=True, gc=False):
    """Something that endpoints can subscribe to; `at` in microseconds."""

    org_id: str
    kind: str
    object_id: str
    at: int


class Result(Protocol):
    """Of a settlement, what concerns webhooks."""

    @property
    def id(self) -> str: ...
    @property
    def public_id(self) -> str: ...
    @property
    def org_id(self) -> str: ...
    @property
    def surface(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def finished_at(self) -> int: ...
    @property
    def expires_at(self) -> int | None: ...
    @property
    def metadata(self) -> dict[str, str] | None: ...
    @property
    def claim(self) -> Claim | None: ...
    @property
    def hook(self) -> Hook | None: ...


def event_id(kind: str, object_id: str) -> str:
    """The id of the one event of a kind about an object."""
    return f"evt_{hashlib.sha256(f'{kind} {object_id}'.encode()).hexdigest()[:32]}"


def post_event(conn: Connection, org_id: str, *, kind: str, object_id: str, at: int) -> None:
    """Leaves an event for the organization's endpoints that subscribed to its kind; nothing where there are none."""
    post_events(conn, [Event(org_id, kind, object_id, at)])


def post_events(conn: Connection, events: Sequence[Event]) -> None:
    """The same for many, of any organizations."""
    by_org = _endpoints(conn, {each.org_id for each in events})
    if not by_org:
        return
    wanted = {
        event_id(each.kind, each.object_id): each
        for each in events
        if any(each.kind in kinds for _, kinds in by_org.get(each.org_id, ()))
    }
    known = set(conn.execute(_KNOWN, {"ids": sorted(wanted)}).scalars()) if wanted else set()
    rows, deliveries = [], []
    for name, each in wanted.items():
        if name in known:
            continue
        body = encode_event(name, each.kind, object_id=each.object_id, at=seconds(each.at))
        rows.append((name, each.org_id, each.kind, each.object_id, body, 0, each.at, each.at + KEPT))
        deliveries += [
            _delivery(name, each, endpoint) for endpoint, kinds in by_org[each.org_id] if each.kind in kinds
        ]
    insert_rows(conn, webhook_events, _EVENT, rows)
    insert_rows(conn, webhook_deliveries, _DELIVERY, deliveries)


def post_results(
    conn: Connection,
    results: Iterable[Result],
    answers: Sequence[bytes | None],
    *,
    but: Collection[str] = (),
) -> None:
    """Leaves what has to be told of results, whose rows are written; `answers` are those of the rows.

    `but` are organizations that are told nothing.
    """
    hooked = [
        (each, answer)
        for each, answer in zip(results, answers, strict=True)
        if (each.hook is not None or each.claim is not None) and each.org_id not in but
    ]
    if not hooked:
        return
    for each, _ in hooked:
        if each.hook is not None and each.hook.rejected is not None:
            insert_order(conn, each.org_id, each.id, hook=each.hook, at=each.finished_at)
    orders = take_orders(conn, [each.id for each, _ in hooked if each.claim is not None])
    for each, answer in hooked:
        hook = each.hook or orders.get(each.id)
        if hook is not None and hook.rejected is None:
            _complete(conn, each, hook, answer)
    post_events(
        conn,
        [
            Event(each.org_id, f"response.{_status(each, answer)}", each.id, each.finished_at)
            for each, answer in hooked
            if _waited(each) and each.surface == RESPONSES
        ],
    )


def _waited(each: Result) -> bool:
    """Whether it was work in the background; what belongs to a batch is told by the batch."""
    return each.claim is not None and each.claim.batch_id == each.id


def _complete(conn: Connection, each: Result, hook: Hook, answer: bytes | None) -> None:
    """The event that a request ordered, its body as its object is read from now on; none where nothing can be read."""
    body = _body(conn, each, answer if hook.answer is None else hook.answer)
    if body is None:
        return
    name, at = event_id(COMPLETION, each.id), each.finished_at
    fleeting = hook.answer is not None or each.expires_at is None or each.expires_at <= at + READABLE
    ends = at + LAST if fleeting else min(at + KEPT, each.expires_at or 0)
    conn.execute(
        insert(webhook_events),
        dict(
            zip(_EVENT, (name, each.org_id, COMPLETION, each.id, body, int(fleeting), at, ends), strict=True)
        ),
    )
    values = (
        name,
        name,
        each.org_id,
        None,
        hook.url,
        hook.place,
        hook.token,
        hook.policy,
        at,
        at,
        at + LAST,
        0,
    )
    insert_rows(conn, webhook_deliveries, _DELIVERY, [values])


def _body(conn: Connection, each: Result, answer: bytes | None) -> bytes | None:
    try:
        if each.claim is not None:
            record = waiting.find_ended(conn, each.org_id, each.id)
            return None if record is None else render_record(record)
        # What failed has told its client so, and leaves no object; of a response a part can be read.
        if answer is None or (each.state != "completed" and each.surface != RESPONSES):
            return None
        return render_answer(each.surface, answer, shown=each.public_id, metadata=each.metadata or {})
    except ValueError:
        return None


def _status(each: Result, answer: bytes | None) -> str:
    """How a response ended, as its event says it."""
    if each.state != "completed" or answer is None:
        return each.state
    try:
        told = status_of(answer)
    except ValueError:
        return each.state  # a target may answer anything, and a result is never lost for that
    return told if told is not None and f"response.{told}" in TYPES else each.state


def _endpoints(conn: Connection, org_ids: Collection[str]) -> dict[str, list[tuple[Any, tuple[str, ...]]]]:
    """The endpoints of organizations, each with its types."""
    found: dict[str, list[tuple[Any, tuple[str, ...]]]] = defaultdict(list)
    for row in conn.execute(_ENDPOINTS, {"ids": sorted(org_ids)}) if org_ids else ():
        found[row.org_id].append((row, _types(row.event_types)))
    return found


def _delivery(name: str, event: Event, endpoint: Any) -> tuple[Any, ...]:
    return (
        f"{name}.{endpoint.id}",
        name,
        event.org_id,
        endpoint.id,
        endpoint.url,
        endpoint.place,
        None,
        encode_policy(STANDARD),
        event.at,
        event.at,
        event.at + LAST,
        0,
    )
