"""Work that its client does not wait for: taken with a record at once, read until it has ended, cancelled, deleted.

    accept --rates, room, money, job: durable--> queued --worker--> in_progress --> completed | failed | cancelled
                                                   '--------- cancel ---------------------------------^
    from             to
    queued           in_progress, failed, cancelled
    in_progress      completed, failed, cancelled       back in the queue after a crash it stays in_progress
    the last three   nothing; only a deletion follows

The answer that the work was taken is sent after the commit that holds it, so that a client who leaves at any moment leaves
nothing half done. A retry with the same idempotency key gets the record as it is then. Content of an organization that
keeps none, or of `store: false`, can be read for ten minutes.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from functools import partial
from typing import Any, Final

import msgspec

from ingot import windows
from ingot.dialects import background as shapes
from ingot.dialects.dialect import Call, Dialect
from ingot.errors import ApiError, InvalidRequest, NotFound, Overloaded, PlatformError, Unsupported
from ingot.idempotency import REPLAYED, fingerprint
from ingot.ids import ordered_id
from ingot.limits.limiter import Reservation
from ingot.presets import Preset
from ingot.pricing import frozen
from ingot.rawjson import clip, kind_of
from ingot.scheduling.windows import Window
from ingot.services.accounting import CANCELLED, new_response_id, settle_rates, unrun
from ingot.services.admission import most_of
from ingot.services.apart import apart
from ingot.services.asking import (
    Asked,
    ClientDoor,
    before,
    for_target,
    ordered,
    seen,
    stamped,
    standing_lines,
)
from ingot.services.door import Inference, Outcome
from ingot.services.fitting import check
from ingot.services.following import follow
from ingot.services.idempotency import Replay, Scope
from ingot.services.jobs import Lost, Order
from ingot.services.places import own_places
from ingot.services.prefixes import prefix_of
from ingot.services.quoting import admit, load_of
from ingot.services.runtime import Runtime
from ingot.signals.signal import ENDS
from ingot.store.faults import StoreError
from ingot.store.idempotency import Lead
from ingot.store.queue import Job, NewItem
from ingot.store.rendering import render_record
from ingot.store.schema import micros
from ingot.store.waiting import Record

JSON: Final = b"application/json"
SSE: Final = b"text/event-stream; charset=utf-8"
FIELD: Final = "background"
OWNERS: Final = frozenset({"responses"})
"""Dialects of which the field is a part."""

_encode: Final = msgspec.json.Encoder().encode


def wanted(preset: Preset, dialect: Dialect, value: Mapping[str, Any]) -> bool:
    """Whether a request is for the background; raises ApiError where the field says neither, or cannot be honoured."""
    held = value.get(FIELD)
    if dialect.name not in preset.background.surfaces:
        if held and dialect.name in OWNERS:
            raise Unsupported(f"'{FIELD}' is not supported. Leave it out.", param=FIELD)
        return False  # a target may know a field of that name
    if held is None or isinstance(held, bool):
        return held is True
    raise InvalidRequest(
        f"Invalid type for '{FIELD}': expected a boolean, but got {kind_of(held)}.",
        param=FIELD,
        code="invalid_type",
    )


# ---- taken


async def accept(
    runtime: Runtime, asked: Asked, door: ClientDoor, outcome: Outcome, *, key: str | None
) -> None:
    """Takes the request and gives its record to `door`; raises ApiError, after which nothing was taken."""
    if not runtime.recorder.may_try():
        raise _unavailable()
    if not runtime.config.store.records:
        raise Unsupported(
            f"'{FIELD}' needs records of answers, and this server keeps none. Leave it out.", param=FIELD
        )
    now = runtime.clock.now()
    response_id = new_response_id(now)
    lead: Lead | None = None
    if key is not None:
        begun = await _begin(runtime, asked, key, response_id=response_id)
        if isinstance(begun, Replay):
            await _replay(runtime, asked, begun, door=door, outcome=outcome)
            return
        lead, response_id = begun, begun.response_id
    try:
        await _take(runtime, asked, response_id, lead=lead, door=door, outcome=outcome)
    except BaseException:
        if lead is not None:
            await asyncio.shield(runtime.retries.withdraw(lead))
        raise
    if lead is not None:
        runtime.retries.finished(lead, status=outcome.status, content_type=JSON.decode(), answer=b"")
    await _give(runtime, asked, response_id, door=door, outcome=outcome)


async def _give(
    runtime: Runtime, asked: Asked, response_id: str, *, door: ClientDoor, outcome: Outcome
) -> None:
    """The record as it is now, or the stream from its beginning."""
    if not asked.call.stream:
        record = await runtime.jobs.find(asked.principal.org_id, response_id)
        door.answer(outcome.status, _rendered(record, response_id, asked.dialect.name), content_type=JSON)
        return
    outcome.status = 200
    door.start(200, content_type=SSE)

    def tell(error: ApiError) -> bytes:
        return asked.dialect.error_event(error, asked.id)

    org_id = asked.principal.org_id
    async for piece in await follow(runtime.jobs, org_id, response_id, after=None, tell=tell):
        if door.write(piece):
            await door.drain()
    door.finish()


async def _begin(runtime: Runtime, asked: Asked, key: str, *, response_id: str) -> Lead | Replay:
    scope = Scope(asked.principal.org_id, asked.principal.key_id)
    body = fingerprint(asked.call.body.value, method="POST", path=asked.path, digest=runtime.keys.digest)
    try:
        return await runtime.retries.begin(
            scope, key, path=asked.path, fingerprint=body, response_id=response_id
        )
    except StoreError as error:
        raise _unavailable() from error


async def _replay(
    runtime: Runtime, asked: Asked, stored: Replay, *, door: ClientDoor, outcome: Outcome
) -> None:
    admission = await runtime.gate.count(asked.principal)
    if admission.standing is not None:
        door.lines += standing_lines(runtime, admission.standing)
        await runtime.gate.leave(admission, tokens=0)
    record = await runtime.jobs.find(asked.principal.org_id, stored.response_id)
    outcome.status = (
        200 if record is not None and record.ended is not None else runtime.preset.background.status
    )
    outcome.target, outcome.fidelity = "store", "replayed"
    door.lines += REPLAYED
    await _give(runtime, asked, stored.response_id, door=door, outcome=outcome)


async def _take(
    runtime: Runtime, asked: Asked, response_id: str, *, lead: Lead | None, door: ClientDoor, outcome: Outcome
) -> None:
    """Charges rates, asks whether there is room, reserves money and puts the work in: all of it, or nothing."""
    gate, deployment, principal = runtime.gate, asked.deployment, asked.principal
    # What is read with it counts; what is stored is what the client sent.
    call = await before(runtime, asked.dialect, asked.call, principal)
    call = await seen(runtime, asked, call)
    reservation = await gate.enqueue(principal, call, deployment)
    if reservation is not None:
        outcome.standing = reservation.standing
        door.lines += standing_lines(runtime, reservation.standing)
    grant, free = principal.grant, deployment.price.is_free
    most = 0 if free else most_of(call, deployment, window=asked.window, factor=grant.price_factor)
    headers = _encode(dict(call.headers)).decode() if call.headers else None
    item = NewItem(response_id, asked.id, windows.for_store(asked.call.body).data, headers)
    try:
        await _check_routes(runtime, asked, call, response_id=response_id)
        await admit(runtime, load_of(runtime, asked, call))
        order = Order(
            _job(runtime, asked, call, response_id=response_id, reservation=reservation),
            [item],
            payer=grant,
            most=most,
            lead=lead,
            status=runtime.preset.background.status,
            hook=ordered(runtime, asked, response_id=response_id),
        )
        await runtime.jobs.put(order)
    except Exception as error:
        if reservation is not None:
            await gate.limiter.give_back(reservation)
        if isinstance(error, Lost | StoreError):
            raise _unavailable() from error
        raise
    outcome.status = runtime.preset.background.status
    outcome.target = "queue"


async def _check_routes(runtime: Runtime, asked: Asked, call: Call, *, response_id: str) -> None:
    """Raises what the client would be told if it waited, where no target would be asked at all."""
    call = for_target(runtime, asked.dialect, call, window=asked.window)
    call = stamped(runtime, call, asked, response_id=response_id)
    who = asked.principal
    inference = Inference(
        asked.id,
        asked.path,
        asked.dialect,
        call,
        asked.deployment,
        who,
        response_id=response_id,
        created_at=0,
    )
    with own_places(asked.dialect, call):
        if call.files:
            call = await runtime.attachments.put_in(call, who.org_id, asked.deployment, dialect=asked.dialect)
        await apart(len(call.body.data), partial(check, inference, call))


def _job(
    runtime: Runtime, asked: Asked, call: Call, *, response_id: str, reservation: Reservation | None
) -> Job:
    """The job; `call` is all that is read for it."""
    deployment, principal = asked.deployment, asked.principal
    now = runtime.clock.now()
    window: Window = runtime.catalog.windows[asked.window]
    grant = principal.grant
    estimate = runtime.desk.pacing.expected(deployment.name, *runtime.gate.estimates_of(call, deployment))
    runs = runtime.desk.lasts(runtime.catalog, deployment.name, estimate)
    return Job(
        id=ordered_id("job", now),
        batch_id=response_id,
        lo=0,
        hi=0,
        org_id=principal.org_id,
        key_id=principal.key_id,
        surface=asked.dialect.name,
        preset=runtime.preset.name,
        model=deployment.name,
        window=window.name,
        on_miss=window.missed(),
        streamed=int(call.stream),
        price=frozen(deployment.price, window=window.name, factor=grant.price_factor),
        prepaid=int(grant.prepaid),
        holds="[]",
        limits=None if reservation is None else _encode(reservation).decode(),
        weight=grant.weight,
        estimate=estimate,
        created_at=micros(now),
        due_at=micros(window.due(now)),
        lift_at=micros(window.lift_at(now, service=runs)),
        prefix=prefix_of(asked.call.body.value),
    )


# ---- read, cancelled, deleted


class Background:
    """The responses in the background of one surface's clients. Bodies come as JSON bytes."""

    def __init__(self, runtime: Runtime, dialect: Dialect) -> None:
        """`dialect` is the surface's, as its preset dresses it."""
        self._runtime = runtime
        self._dialect = dialect
        self.surface = dialect.name

    async def stream(self, org_id: str, which: str, *, after: int | None) -> AsyncIterator[bytes] | None:
        """Its events behind the number `after`; None where there is no such stream. Raises InvalidRequest."""
        record = await self._find(org_id, which)
        if record is None or not record.streamed:
            return None
        return await follow(self._runtime.jobs, org_id, which, after=after, tell=self._tell)

    def _tell(self, error: ApiError) -> bytes:
        return self._dialect.error_event(error, "")

    async def read(self, org_id: str, which: str) -> bytes | None:
        """The record as it is now; None where there is no such response in the background."""
        record = await self._find(org_id, which)
        return None if record is None else _rendered(record, which, self.surface)

    def missing(self, which: str) -> NotFound:
        """What a client is told who names none."""
        return _missing(which, self.surface)

    async def cancel(self, org_id: str, which: str) -> bytes | None:
        """Ends it where it has not ended; its record, or None where there is no such response in the background."""
        record = await self._find(org_id, which)
        if record is not None and record.ended is None:
            await self._end(which)
        return await self.read(org_id, which)

    async def delete(self, org_id: str, which: str) -> bytes | None:
        """Ends it and removes what is kept of it; None where there is no such response in the background."""
        record = await self._find(org_id, which)
        if record is None:
            return None
        if record.ended is None:
            await self._end(which)
            record = await self._find(org_id, which)
        if record is None or record.ended is None:
            raise Overloaded(
                "The response is being cancelled, and cannot be deleted before that has come to its end. Try again "
                "shortly.",
                retry_after=2.0,
            )
        await self._runtime.jobs.forget(org_id, record)
        return _encode({"id": which, **shapes.DELETED[self.surface]})

    async def _end(self, which: str) -> None:
        taken = await self._runtime.jobs.take_to_end(which)
        if taken is None:
            await self._runtime.jobs.until_ended(which)
            return
        ended = [
            unrun(self._runtime, taken, item, grant=await self._runtime.jobs.grant_of(taken), end=CANCELLED)
            for item in await self._runtime.jobs.items(taken)
        ]
        await asyncio.gather(*(self._runtime.recorder.record(each) for each in ended))
        await settle_rates(self._runtime, taken, tokens=0)
        self._runtime.jobs.signal.send(ENDS)

    async def _find(self, org_id: str, which: str) -> Record | None:
        record = await self._runtime.jobs.find(org_id, which)
        if record is None or record.surface != self.surface:
            return None
        ended, now = record.ended, micros(self._runtime.clock.now())
        if ended is not None and ended.kept and (ended.expires_at is None or ended.expires_at <= now):
            return None
        return record


def _rendered(record: Record | None, which: str, surface: str) -> bytes:
    if record is None:
        raise _missing(which, surface)
    try:
        return render_record(record)
    except ValueError as error:  # a stream that could not be put together
        raise PlatformError("What was stored cannot be read.") from error


def _missing(which: str, surface: str) -> NotFound:
    return NotFound(f"No {shapes.NOUNS[surface]} in the background has the id '{clip(which)}'.")


def _unavailable() -> Overloaded:
    return Overloaded(
        "The request could not be stored, so it was not taken and nothing was charged. Send it again in a moment.",
        code="storage_unavailable",
        retry_after=2.0,
    )
