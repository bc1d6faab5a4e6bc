"""Passes a stream on, event by event, while a tap reads usage: the path that every token takes.

Bytes stay the upstream's own unless the tap says otherwise. A stream that was cut gets an error event and never
a clean end. Knows nothing of sockets: the door waits while its reader is slow, and so does the upstream then.
"""

import asyncio
import contextlib
from collections.abc import Callable

from ingot.dialects.dialect import StreamTap, Usage
from ingot.errors import ApiError, UpstreamError
from ingot.services.attempts import Opened, explain
from ingot.services.door import Door, Inference, Outcome
from ingot.services.measures import DeploymentMeasures
from ingot.services.runtime import Runtime
from ingot.sse import EventTooLarge, SseSplitter, encode_event, event_data
from ingot.upstream.client import UpstreamFault

LINGER_SECONDS = 1.0
"""How long the end of the transfer is awaited after the stream's own end, so that the connection can be kept."""


async def relay_stream(
    runtime: Runtime,
    inference: Inference,
    opened: Opened,
    *,
    door: Door,
    outcome: Outcome,
    series: DeploymentMeasures,
    began: float,
) -> None:
    """Gives the opened stream to `door`, to its end or to an error event."""
    tap = inference.dialect.tap(
        inference.call,
        model=opened.route.model,
        public=inference.deployment.name,
        usage=opened.route.target.quirks.usage,
    )
    outcome.status = 200
    if opened.route.model != inference.deployment.name:
        outcome.fidelity = "patched"
    give = _giver(runtime, tap, door=door, outcome=outcome, series=series, began=began)
    try:
        door.start(200, content_type=opened.content_type)
        ended = False
        go_on = give(opened.piece)
        while not tap.done and not ended:
            if not go_on:
                await door.drain()
            ended = await opened.reply.pour(give)
            go_on = ended
        if not tap.done:
            _end(inference, opened, tap, door=door, outcome=outcome)
    except (UpstreamFault, EventTooLarge) as fault:
        opened.link.fail(opened.began)
        _break_off(runtime, inference, opened, fault=fault, door=door, outcome=outcome)
    finally:
        outcome.usage = tap.usage or estimate(inference, tap)
    door.finish()
    if tap.done and not opened.reply.complete:
        with contextlib.suppress(TimeoutError, UpstreamFault):
            async with asyncio.timeout(LINGER_SECONDS):
                await opened.reply.chunk()


def _giver(
    runtime: Runtime,
    tap: StreamTap,
    *,
    door: Door,
    outcome: Outcome,
    series: DeploymentMeasures,
    began: float,
) -> Callable[[bytes], bool]:
    """What takes each piece of the upstream's bytes; it returns False to be left alone: slow reader, or the end."""
    splitter = SseSplitter()
    monotonic = runtime.clock.monotonic
    observe_gap = series.gap.observe
    write = door.write
    before = 0.0

    def give(piece: bytes) -> bool:
        nonlocal before
        given = pass_on(splitter, tap, piece)
        now = monotonic()
        if before:
            observe_gap(now - before)
            before = now
        elif tap.deltas:
            outcome.first_token = now - began
            before = now
        return not (given and write(given)) and not tap.done

    return give


def pass_on(splitter: SseSplitter, tap: StreamTap, piece: bytes) -> bytes:
    """What of `piece`, and of what was held before it, goes to the client."""
    data = splitter.lone_data(piece)
    if data is None:
        return b"".join([_through(tap, event) for event in splitter.feed(piece)])
    kept = tap.feed(data)
    if kept is data:
        return piece
    return b"" if kept is None else encode_event(kept)


def _through(tap: StreamTap, event: bytes) -> bytes:
    data = event_data(event)
    if data is None:
        return event
    kept = tap.feed(data)
    if kept is data:
        return event
    return b"" if kept is None else encode_event(kept)


def _end(inference: Inference, opened: Opened, tap: StreamTap, *, door: Door, outcome: Outcome) -> None:
    """The transfer ended without the dialect's own end: complete it where the answer is whole, else say so."""
    if tap.failed:
        outcome.error = "upstream_error"
    elif tap.finished:
        door.write(inference.dialect.end_event)
    else:
        opened.link.fail(opened.began)
        error = UpstreamError(
            f"The target '{opened.route.target.name}' ended its stream before the answer was complete."
        )
        _tell(inference, error, door=door, outcome=outcome)


def _break_off(
    runtime: Runtime,
    inference: Inference,
    opened: Opened,
    *,
    fault: UpstreamFault | EventTooLarge,
    door: Door,
    outcome: Outcome,
) -> None:
    name = opened.route.target.name
    kind = type(fault).__name__
    runtime.measures.upstream_errors[name, kind] += 1
    runtime.log.warning(
        "stream broken off", request_id=inference.id, target=name, cause=kind, detail=str(fault)
    )
    if isinstance(fault, UpstreamFault):
        error = explain(fault, opened.route)
    else:
        error = UpstreamError(f"The target '{name}' sent an event beyond the size limit.")
    _tell(inference, error, door=door, outcome=outcome)


def _tell(inference: Inference, error: ApiError, *, door: Door, outcome: Outcome) -> None:
    outcome.error = error.code
    door.write(inference.dialect.error_event(error, inference.id))


def estimate(inference: Inference, tap: StreamTap) -> Usage:
    """Usage by rule of thumb where the upstream told none: three bytes a token in, one delta a token out."""
    return Usage(input=len(inference.call.body.data) // 3, output=tap.deltas, estimated=True)
