"""Passes a stream on, event by event, while a tap reads usage: the path that every token takes.

Bytes stay the upstream's own unless the tap says otherwise. A stream that was cut, or is no text, gets an error event and
never a clean end. Knows nothing of sockets: the door waits while its reader is slow, and so does the upstream then.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from functools import partial

from ingot.dialects.cuts import TextCheck
from ingot.dialects.dialect import StreamTap, Usage
from ingot.errors import ApiError, UpstreamError
from ingot.services.attempts import Opened
from ingot.services.door import Door, Inference, Outcome
from ingot.services.losses import header_line
from ingot.services.measures import DeploymentMeasures
from ingot.services.outages import explain
from ingot.services.runtime import Runtime
from ingot.services.translation import TranslatedTap
from ingot.sse import EventTooLarge, SseSplitter, event_data
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
) -> bytes:
    """Gives the opened stream to `door` but for its last bytes, which it returns: they wait for the record.

    The answer that the door gets is whole with them, or they are an error event.
    """
    tap = outcome.tap = _tap(runtime, inference, opened, door=door)
    tap.request_id = inference.id
    outcome.status = 200
    told = b""
    pourer = _Pourer(runtime, tap, door=door, outcome=outcome, series=series, began=began)
    give = pourer.give
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
            told = _end(inference, opened, tap, outcome=outcome)
        elif tap.failed:
            outcome.error = "upstream_error"
    except (UpstreamFault, EventTooLarge, NoText) as fault:
        opened.fail()
        told = _break_off(runtime, inference, opened, tap, fault=fault, outcome=outcome)
    finally:
        outcome.usage = usage_of(runtime, inference, opened, tap)
        outcome.answer_id = tap.id
        # What a retry with the same key gets must not look like a whole answer either.
        # An end that we put where the target left it out is part of the answer.
        outcome.answer = tap.given + told if told is inference.dialect.end_event else tap.given
        outcome.content_type = opened.content_type
        outcome.losses = tap.losses if isinstance(tap, TranslatedTap) else opened.losses
    return told or pourer.held


def _tap(runtime: Runtime, inference: Inference, opened: Opened, *, door: Door) -> StreamTap:
    """What the stream goes through."""
    if opened.translation is not None:
        door.note(header_line(opened.translation.losses))
        tap = opened.translation.tap(inference)
        tap.estimate = partial(usage_of, runtime, inference, opened)
        return tap
    door.note(header_line(opened.losses))
    return inference.dialect.tap(
        inference.call,
        model=opened.route.model,
        public=inference.deployment.name,
        usage=opened.route.target.quirks.usage,
        turn=opened.turn,
    )


def usage_of(runtime: Runtime, inference: Inference, opened: Opened, tap: StreamTap | None = None) -> Usage:
    """What the answer used, as far as it has come: as its target counted, else by an estimate that says that it is one."""
    name = inference.deployment.name
    place = (name, opened.route.target.name)
    gate = runtime.gate
    added = inference.deployment.added
    if tap is not None:
        return gate.estimates.stream(inference.call, tap, place=place, added=added)
    return gate.estimates.answer(inference.call, opened.usage, opened.body, place=place, added=added)


async def linger(opened: Opened) -> None:
    """Waits a moment for the end of the transfer, so that the connection can be kept."""
    if not opened.reply.complete:
        with contextlib.suppress(TimeoutError, UpstreamFault):
            async with asyncio.timeout(LINGER_SECONDS):
                await opened.reply.chunk()


class _Pourer:
    """Takes each piece of the upstream's bytes, in the turn in which it is read."""

    __slots__ = (
        "_before",
        "_began",
        "_monotonic",
        "_observe",
        "_outcome",
        "_splitter",
        "_tap",
        "_text",
        "_write",
        "held",
    )

    def __init__(
        self,
        runtime: Runtime,
        tap: StreamTap,
        *,
        door: Door,
        outcome: Outcome,
        series: DeploymentMeasures,
        began: float,
    ) -> None:
        self.held = b""
        self._splitter = SseSplitter()
        self._text = TextCheck()
        self._tap = tap
        self._monotonic = runtime.clock.monotonic
        self._observe = series.gap.observe
        self._write = door.write
        self._outcome = outcome
        self._began = began
        self._before = 0.0

    def give(self, piece: bytes) -> bool:
        """Passes a piece on, but holds the one in which the stream ends; False to be left alone: slow reader, or the end.

        Raises EventTooLarge, NoText.
        """
        tap = self._tap
        try:
            given = pass_on(self._splitter, tap, piece, text=self._text)
        except NoText as fault:
            if fault.given:
                self._write(fault.given)
            raise
        now = self._monotonic()
        if self._before:
            self._observe(now - self._before)
            self._before = now
        elif tap.deltas:
            self._outcome.first_token = now - self._began
            self._before = now
        if tap.done:
            self.held = given
            return False
        return not (given and self._write(given))


class NoText(Exception):
    """An event holds bytes that are no UTF-8; `given` is what goes to the client of those before it in its piece."""

    def __init__(self, given: bytes) -> None:
        super().__init__("an event holds bytes that are no UTF-8")
        self.given = given


def pass_on(splitter: SseSplitter, tap: StreamTap, piece: bytes, *, text: TextCheck) -> bytes:
    """What of `piece`, and of what was held before it, goes to the client; raises EventTooLarge, NoText."""
    data = splitter.lone_data(piece)
    if data is None:
        return _each(splitter.feed(piece), tap, text=text)
    if not data.isascii() and not text.takes(data):  # 0.03 us where it is, 0.2 us where it is not
        raise NoText(b"")
    kept = tap.feed(data)
    if kept is data:
        return piece
    return b"" if kept is None else tap.frame(kept)


def _each(events: Sequence[bytes], tap: StreamTap, *, text: TextCheck) -> bytes:
    given: list[bytes] = []
    for event in events:
        # Behind its end a stream says nothing.
        if not event.isascii() and not tap.done and not text.takes(event):
            raise NoText(b"".join(given))
        given.append(_through(tap, event))
    return b"".join(given)


def _through(tap: StreamTap, event: bytes) -> bytes:
    data = event_data(event)
    if data is None:
        return event
    kept = tap.feed(data)
    if kept is data:
        return event
    return b"" if kept is None else tap.frame(kept)


def _end(inference: Inference, opened: Opened, tap: StreamTap, *, outcome: Outcome) -> bytes:
    """The transfer ended without the dialect's own end: complete it where the answer is whole, else say so."""
    if tap.failed:
        outcome.error = "upstream_error"
        return b""
    if isinstance(tap, TranslatedTap):
        closing = tap.close()
        if tap.done:
            return closing
    elif tap.finished:
        return inference.dialect.end_event
    opened.fail()
    error = UpstreamError(
        f"The target '{opened.route.target.name}' ended its stream before the answer was complete."
    )
    return _tell(inference, tap, error, outcome=outcome)


def _break_off(
    runtime: Runtime,
    inference: Inference,
    opened: Opened,
    tap: StreamTap,
    *,
    fault: UpstreamFault | EventTooLarge | NoText,
    outcome: Outcome,
) -> bytes:
    name = opened.route.target.name
    kind = type(fault).__name__
    runtime.measures.upstream_errors[name, kind] += 1
    runtime.log.warning(
        "stream broken off", request_id=inference.id, target=name, cause=kind, detail=str(fault)
    )
    if isinstance(fault, UpstreamFault):
        error = explain(fault, opened.route)
    elif isinstance(fault, NoText):
        error = UpstreamError(f"The target '{name}' sent bytes that are no UTF-8 text.")
    else:
        error = UpstreamError(f"The target '{name}' sent an event beyond the size limit.")
    return _tell(inference, tap, error, outcome=outcome)


def _tell(inference: Inference, tap: StreamTap, error: ApiError, *, outcome: Outcome) -> bytes:
    outcome.error = error.code
    return tap.fail(error, inference.id)
