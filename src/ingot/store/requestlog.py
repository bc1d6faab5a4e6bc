"""The statements about single requests without their content: pages of them, newest first, by key, model and time.

They are read from an index in the order of time, which holds what is filtered by. A page looks at no more than
`EXAMINED` requests, so that a rare key costs no long read; it may then be short, and still have a next one.

Plain functions over a connection.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, and_, or_, select, tuple_

from ingot.deliveries import COMPLETION
from ingot.store.responses import EXAMINED, Mark, Step, beyond
from ingot.store.schema import (
    api_keys,
    ledger,
    response_losses,
    response_waits,
    responses,
    webhook_deliveries,
    webhook_events,
    webhook_orders,
)

_r = responses.c


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request; instants in microseconds, the amount in 1e-12 USD."""

    id: str
    public_id: str
    key_id: str
    surface: str
    model: str
    window: str
    status: int
    state: str
    error: str | None
    streamed: int
    created_at: int
    finished_at: int
    first_token_us: int | None
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    amount: int
    request_id: str | None
    fidelity: str
    losses: str | None = None
    """What its translation left out, as a JSON array."""
    achieved: str | None = None
    queued_us: int | None = None
    """The window that it kept, and for how long it waited; None where it did not go through the queue."""
    price: str | None = None
    """The price that it was reckoned with, as its ledger row keeps it."""
    rejected: str | None = None
    """Why the webhook that it ordered is not called."""
    delivery: str | None = None
    delivered_at: int | None = None
    undelivered: str | None = None
    """The delivery of the webhook that it ordered, when that ended, and what went wrong the last time."""


@dataclass(frozen=True, slots=True)
class RequestFilter:
    """Which requests: of one key, of one model, from `since` up to `until` (microseconds)."""

    key_id: str | None = None
    model: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class RequestPage:
    """Some requests, and the mark from which more may follow; None: that was all."""

    rows: list[RequestRow]
    next: Mark | None


_COLUMNS = (
    *(_r[name] for name in RequestRow.__dataclass_fields__ if name in _r),
    response_losses.c.losses,
    response_waits.c.achieved,
    response_waits.c.queued_us,
    ledger.c.price,
    webhook_orders.c.rejected,
    webhook_deliveries.c.id.label("delivery"),
    webhook_deliveries.c.done_at.label("delivered_at"),
    webhook_deliveries.c.error.label("undelivered"),
)
_LOGGED = (
    # Losses of a response without content are there for its retries alone.
    responses.outerjoin(
        response_losses, and_(response_losses.c.response_id == _r.id, _r.expires_at.is_not(None))
    )
    .outerjoin(response_waits, response_waits.c.response_id == _r.id)
    .outerjoin(ledger, ledger.c.billable_id == _r.id)
    .outerjoin(webhook_orders, webhook_orders.c.response_id == _r.id)
    .outerjoin(
        webhook_events,
        and_(
            webhook_events.c.object_id == _r.id,
            webhook_events.c.org_id == _r.org_id,
            webhook_events.c.kind == COMPLETION,
        ),
    )
    .outerjoin(webhook_deliveries, webhook_deliveries.c.id == webhook_events.c.id)
)


def list_requests(
    conn: Connection, org_id: str, which: RequestFilter, *, after: Mark | None, limit: int
) -> RequestPage:
    """The next requests before `after`, newest first, at most `limit`."""
    within = [_r.org_id == org_id, *beyond(_r.created_at, _r.id, Step(after, limit, descending=True))]
    if which.since is not None:
        within.append(_r.created_at >= which.since)
    if which.until is not None:
        within.append(_r.created_at < which.until)
    order = (_r.created_at.desc(), _r.id.desc())
    edge = None
    if which.key_id is not None or which.model is not None:
        last = select(_r.created_at, _r.id).where(*within).order_by(*order).offset(EXAMINED - 1).limit(1)
        found = conn.execute(last).first()
        if found is not None:
            edge = Mark(*found)
            within.append(tuple_(_r.created_at, _r.id) >= tuple_(edge.at, edge.id))
    if which.key_id is not None:
        within.append(_r.key_id == which.key_id)
    if which.model is not None:
        within.append(_r.model == which.model)
    query = select(*_COLUMNS).select_from(_LOGGED).where(*within).order_by(*order).limit(limit + 1)
    rows = [RequestRow(*row) for row in conn.execute(query)]
    if len(rows) > limit:
        return RequestPage(rows[:limit], Mark(rows[limit - 1].created_at, rows[limit - 1].id))
    return RequestPage(rows, edge)


def find_key(conn: Connection, org_id: str, which: str) -> str | None:
    """The id of the organization's key with this id or kid, revoked or not."""
    own = select(api_keys.c.id).where(api_keys.c.org_id == org_id)
    return conn.execute(own.where(or_(api_keys.c.id == which, api_keys.c.kid == which))).scalar()
