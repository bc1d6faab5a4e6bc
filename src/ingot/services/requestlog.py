"""The request log: what each request used and cost, without its content, as pages and as CSV.

Newest first. A page goes on after the id of its last request, or of the last one that was looked at: with a filter
that fits few, a page may be short or empty and still say `has_more`. The CSV is read page by page, so that a
million rows need no more memory than five hundred, and no snapshot outlives a page.
"""

import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import msgspec
from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import InvalidRequest
from ingot.pricing import reasoning_price, told_price, usd
from ingot.scheduling.windows import ASAP
from ingot.services.losses import Lost
from ingot.services.spans import DEFAULT_RANGE, RANGES, Span, check_date, check_range
from ingot.services.usage import cents, locate
from ingot.store import requestlog as store
from ingot.store.database import Database
from ingot.store.requestlog import RequestFilter, RequestPage, RequestRow
from ingot.store.responses import Mark, find_response, is_plain
from ingot.store.schema import MICROSECOND, seconds
from ingot.store.usage import HOUR

EXPORT_ROWS = 500

COLUMNS = (
    "id",
    "response_id",
    "created_at",
    "key_id",
    "surface",
    "model",
    "window",
    "status",
    "state",
    "error",
    "streamed",
    "input_tokens",
    "cached_tokens",
    "output_tokens",
    "reasoning_tokens",
    "cost_usd",
    "first_token_ms",
    "duration_ms",
    "request_id",
    "fidelity",
    "achieved_window",
    "queue_ms",
    "price_input",
    "price_cached_input",
    "price_output",
    "price_reasoning",
)
"""The head of the CSV; it may grow at its end."""


NO_PRICE = dict.fromkeys(("input", "cached_input", "output"))
"""Of what was not billed."""


class WebhookOfRequest(msgspec.Struct, frozen=True):
    """What became of the webhook that a request ordered: rejected, pending, delivered or failed, and why."""

    status: str
    reason: str | None = None


class RequestRecord(msgspec.Struct, frozen=True):
    """One request: `id` is ours, `response_id` as the client saw it; `cost` in cents, `cost_usd` exact.

    `window` is the completion window that it was in, `achieved_window` the fastest one that its answer kept: asap for
    what was answered while its client waited. `price` is in USD per 1M tokens, the plan's factor apart.

    `losses` are kept as long as its content is.
    """

    id: str
    response_id: str
    created_at: int
    key_id: str
    surface: str
    model: str
    window: str
    status: int
    state: str
    error: str | None
    streamed: bool
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost: float
    cost_usd: str
    first_token_ms: float | None
    duration_ms: float
    request_id: str | None
    fidelity: str
    achieved_window: str | None = None
    queue_ms: float = 0.0
    price: dict[str, str] | None = None
    losses: tuple[Lost, ...] = ()
    webhook: WebhookOfRequest | None = None
    object: str = "usage.request"


_losses = msgspec.json.Decoder(tuple[Lost, ...])


class RequestList(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/usage/requests`; where `has_more` says so, go on with `after=` the `last_id`."""

    data: list[RequestRecord]
    first_id: str | None
    last_id: str | None
    has_more: bool
    object: str = "list"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose requests: those with one key (its id or kid), or for one model; None: all."""

    key: str | None = None
    model: str | None = None


class RequestLog:
    """The requests of one database's organizations."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def page(
        self, org_id: str, *, wanted: Wanted = Wanted(), after: str | None = None, limit: int
    ) -> RequestList:
        """The next `limit` requests after the one named; raises InvalidRequest where there is no such."""

        def read(conn: Connection) -> RequestPage:
            mark = None if after is None else _mark(conn, org_id, after)
            return store.list_requests(conn, org_id, _filter(conn, org_id, wanted), after=mark, limit=limit)

        found = await self._db.read(read)
        records = [_record(row) for row in found.rows]
        return RequestList(
            data=records,
            first_id=records[0].id if records else None,
            last_id=found.next.id if found.next else records[-1].id if records else None,
            has_more=found.next is not None,
        )

    async def export(
        self,
        org_id: str,
        *,
        wanted: Wanted = Wanted(),
        range_name: str = DEFAULT_RANGE,
        day: str | None = None,
    ) -> AsyncIterator[bytes]:
        """The requests of a range as CSV, in pieces; raises InvalidRequest before the first."""
        name = check_range(range_name, RANGES)
        chosen = check_date(name, day)
        now = self._clock.now()

        def prepare(conn: Connection) -> RequestFilter:
            span = locate(conn, org_id, name=name, day=chosen, now=now)
            return _within(_filter(conn, org_id, wanted), span)

        return self._pieces(org_id, await self._db.read(prepare))

    async def _pieces(self, org_id: str, which: RequestFilter) -> AsyncIterator[bytes]:
        yield _csv([COLUMNS])
        after: Mark | None = None
        while True:
            look = partial(store.list_requests, org_id=org_id, which=which, after=after, limit=EXPORT_ROWS)
            page = await self._db.read(look)
            if page.rows:
                yield _csv([_cells(row) for row in page.rows])
            if page.next is None:
                return
            after = page.next


def _mark(conn: Connection, org_id: str, after: str) -> Mark:
    head = find_response(conn, org_id, after)
    if head is None:
        raise InvalidRequest("'after' names no request; take it from the page before.", param="after")
    return head.mark


def _filter(conn: Connection, org_id: str, wanted: Wanted) -> RequestFilter:
    for param, text in (("key", wanted.key), ("model", wanted.model)):
        if text is not None and not is_plain(text):
            raise InvalidRequest(f"'{param}' is empty, too long or no text.", param=param)
    # A key that was never stored has an id all the same, and no requests.
    key_id = wanted.key and (store.find_key(conn, org_id, wanted.key) or wanted.key)
    return RequestFilter(key_id=key_id, model=wanted.model)


def _within(which: RequestFilter, span: Span) -> RequestFilter:
    return RequestFilter(which.key_id, which.model, since=span.since * HOUR, until=span.until * HOUR)


def _record(row: RequestRow) -> RequestRecord:
    return RequestRecord(
        id=row.id,
        response_id=row.public_id,
        created_at=seconds(row.created_at),
        key_id=row.key_id,
        surface=row.surface,
        model=row.model,
        window=row.window,
        status=row.status,
        state=row.state,
        error=row.error,
        streamed=bool(row.streamed),
        input_tokens=row.input_tokens,
        cached_tokens=row.cached_tokens,
        output_tokens=row.output_tokens,
        reasoning_tokens=row.reasoning_tokens,
        cost=cents(row.amount),
        cost_usd=usd(row.amount),
        first_token_ms=None if row.first_token_us is None else row.first_token_us / 1000,
        duration_ms=(row.finished_at - row.created_at) / 1000,
        request_id=row.request_id,
        fidelity=row.fidelity,
        achieved_window=row.achieved if row.queued_us is not None else ASAP.name,
        queue_ms=(row.queued_us or 0) / 1000,
        price=None if row.price is None else told_price(row.price),
        losses=() if row.losses is None else _losses.decode(row.losses),
        webhook=_webhook(row),
    )


def _webhook(row: RequestRow) -> WebhookOfRequest | None:
    if row.rejected is not None:
        return WebhookOfRequest("rejected", row.rejected)
    if row.delivery is None:
        return None
    if row.delivered_at is None:
        return WebhookOfRequest("pending", row.undelivered)
    return WebhookOfRequest("delivered" if row.undelivered is None else "failed", row.undelivered)


def _cells(row: RequestRow) -> tuple[object, ...]:
    record = _record(row)
    moment = datetime.fromtimestamp(row.created_at / MICROSECOND, UTC).isoformat(timespec="milliseconds")
    shown: dict[str, object] = {
        "created_at": moment.replace("+00:00", "Z"),
        "streamed": int(record.streamed),
        **{f"price_{kind}": told for kind, told in (record.price or NO_PRICE).items()},
        "price_reasoning": None if row.price is None else reasoning_price(row.price),
    }
    return tuple(shown[name] if name in shown else getattr(record, name) for name in COLUMNS)


def _csv(rows: list[tuple[object, ...]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
