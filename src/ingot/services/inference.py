"""One inference, from a decoded call to the last byte of its answer: the central module.

    decide a route -> send -> first byte ------------> relay to the door --record--> last byte -> outcome
        ^                |  408, 409, 429, 5xx, lost        |             durable
        +----- retry ----+  (nothing sent yet)              +-- fault: an error event, never a clean end

Reached by two doors, a socket or a leased job; it knows neither. Retries happen before the first byte only. The last
byte of an answer waits until its response and its ledger row are durable; every other byte leaves at once.
The dialect decides what bytes mean; this module decides what happens to them.
"""

import asyncio

from ingot.dialects.dialect import Dialect
from ingot.errors import ApiError, Overloaded, PlatformError, UpstreamRejected
from ingot.services.accounting import account
from ingot.services.attempts import Opened, open_reply
from ingot.services.door import Door, Inference, Outcome
from ingot.services.endings import ending_of
from ingot.services.losses import header_line
from ingot.services.measures import DeploymentMeasures
from ingot.services.relay import linger, relay_stream, usage_of
from ingot.services.runtime import Runtime
from ingot.store.faults import StoreError


async def run(runtime: Runtime, inference: Inference, door: Door, outcome: Outcome) -> None:
    """Runs `inference`, gives its answer to `door` and fills `outcome`, also when it fails or is cancelled.

    Raises ApiError only while nothing was given to the door.
    """
    series = runtime.measures.of(inference.surface, inference.deployment.name)
    series.in_flight += 1
    began = runtime.clock.monotonic()
    try:
        opened = await open_reply(runtime, inference, outcome)
        outcome.fidelity = opened.fidelity
        try:
            if inference.call.stream:
                await _give_stream(
                    runtime, inference, opened, door=door, outcome=outcome, series=series, began=began
                )
            else:
                await _give_answer(runtime, inference, opened, door=door, outcome=outcome)
        finally:
            opened.link.release(opened.reply)
    except ApiError as error:
        outcome.ours = error.status >= 500
        outcome.status, body = inference.dialect.encode_error(error, inference.id)
        outcome.error = error.code
        outcome.refused = isinstance(error, UpstreamRejected)
        if inference.claim is not None or (outcome.refused and inference.lead is not None):
            # A retry with the same key, or whoever reads the record, gets the same words.
            outcome.answer = body
        raise
    except asyncio.CancelledError:
        outcome.departed = True
        outcome.status = outcome.status or 499
        runtime.measures.departures[inference.surface] += 1
        raise
    except Exception:
        # A fault of ours is never taken for an answer; of a stream that has begun the client has a part.
        outcome.status = (inference.call.stream and outcome.status) or PlatformError.status
        outcome.error = PlatformError.code
        outcome.ours = True
        raise
    finally:
        series.in_flight -= 1
        outcome.seconds = runtime.clock.monotonic() - began
        runtime.measures.end(series, outcome)
        if not outcome.recorded and inference.claim is None:
            _conclude(runtime, inference, outcome)


def _conclude(runtime: Runtime, inference: Inference, outcome: Outcome) -> None:
    """Records what ended without a whole answer, if its ending leaves a record; nobody waits for it."""
    recorded = ending_of(outcome).recorded
    if recorded == "always" or (recorded == "keyed" and inference.lead is not None):
        if (
            inference.lead is not None
            and outcome.answer
            and outcome.status == 200
            and outcome.tap is not None
        ):
            # A retry gets what came, and must not take it for a whole answer either.
            outcome.tap.fail(_cut_short(), inference.id)
            outcome.answer = outcome.tap.given
        outcome.recorded = True
        if _keeps(runtime, inference):
            runtime.recorder.record(account(runtime, inference, outcome), inference.hold)
    elif inference.hold is not None:
        runtime.gate.purse.release(inference.hold)


def end_stream(dialect: Dialect, outcome: Outcome, error: ApiError, *, request_id: str) -> bytes:
    """The events that end a stream which has begun with an error."""
    if outcome.tap is None:
        return dialect.error_event(error, request_id)
    return outcome.tap.fail(error, request_id)


def _cut_short() -> Overloaded:
    return Overloaded(
        "The answer was cut short on our side. Send the request again, with another idempotency key."
    )


async def _give_answer(
    runtime: Runtime, inference: Inference, opened: Opened, *, door: Door, outcome: Outcome
) -> None:
    body = opened.body
    outcome.usage = usage_of(runtime, inference, opened)
    if opened.translation is not None and opened.usage is None:
        body = opened.translation.counted(body, outcome.usage)
    outcome.losses = opened.losses if opened.translation is None else opened.translation.losses
    door.note(header_line(outcome.losses))
    if opened.translation is None and opened.route.model != inference.deployment.name:
        body = inference.dialect.patch_answer(body, inference.deployment.name)
    if inference.dialect.stamp_answer is not None:
        body = inference.dialect.stamp_answer(body, inference.call, inference.deployment.name)
    if inference.dialect.reshape is not None:
        body = inference.dialect.reshape.whole(body)
    outcome.status = 200
    outcome.answer = body
    outcome.content_type = opened.content_type
    outcome.answer_id = inference.dialect.read_id(body)
    await _make_durable(runtime, inference, outcome)
    door.answer(200, body, content_type=opened.content_type)


async def _give_stream(
    runtime: Runtime,
    inference: Inference,
    opened: Opened,
    *,
    door: Door,
    outcome: Outcome,
    series: DeploymentMeasures,
    began: float,
) -> None:
    closing = await relay_stream(
        runtime, inference, opened, door=door, outcome=outcome, series=series, began=began
    )
    try:
        await _make_durable(runtime, inference, outcome)
    except ApiError as error:
        outcome.error = error.code
        closing = end_stream(inference.dialect, outcome, error, request_id=inference.id)
    door.write(closing)
    door.finish()
    await linger(opened)


def _keeps(runtime: Runtime, inference: Inference) -> bool:
    """Whether there is a record; a pure relay, where all is free, keeps only what a retry or a webhook asks for."""
    return (
        runtime.config.store.records
        or inference.lead is not None
        or inference.claim is not None
        or inference.hook is not None
    )


async def _make_durable(runtime: Runtime, inference: Inference, outcome: Outcome) -> None:
    """Returns when the record of the answer is on disk; raises Overloaded where it cannot be written."""
    outcome.recorded = True
    if not _keeps(runtime, inference):
        return
    written = runtime.recorder.record(account(runtime, inference, outcome), inference.hold)
    if runtime.config.store.durability == "async" and inference.claim is None:
        return
    try:
        await written
    except StoreError as error:
        raise Overloaded(
            "The answer could not be recorded, so it does not count and nothing was charged. Send the request again; "
            "if it stays so, the operator has to look at the disk or the database.",
            code="storage_unavailable",
            retry_after=5.0,
        ) from error
