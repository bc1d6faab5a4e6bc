"""One inference, from a decoded call to the last byte of its answer: the central module.

    decide a route -> send -> first byte ------------> relay to the door -> outcome
        ^                |  408, 409, 429, 5xx, lost        |
        +----- retry ----+  (nothing sent yet)              +-- fault: an error event, never a clean end

Reached by two doors, a socket or a leased job; it knows neither. Retries happen before the first byte only.
The dialect decides what bytes mean; this module decides what happens to them.
"""

import asyncio

from ingot.errors import ApiError
from ingot.services.attempts import Opened, open_reply
from ingot.services.door import Door, Inference, Outcome
from ingot.services.relay import relay_stream
from ingot.services.runtime import Runtime


async def run(runtime: Runtime, inference: Inference, door: Door, outcome: Outcome) -> None:
    """Runs `inference`, gives its answer to `door` and fills `outcome`, also when it fails or is cancelled.

    Raises ApiError only while nothing was given to the door.
    """
    series = runtime.measures.of(inference.surface, inference.deployment.name)
    series.in_flight += 1
    began = runtime.clock.monotonic()
    try:
        opened = await open_reply(runtime, inference, outcome)
        try:
            if inference.call.stream:
                await relay_stream(
                    runtime, inference, opened, door=door, outcome=outcome, series=series, began=began
                )
            else:
                _give_answer(inference, opened, door, outcome=outcome)
        finally:
            opened.link.release(opened.reply)
    except ApiError as error:
        outcome.status = error.status
        outcome.error = error.code
        raise
    except asyncio.CancelledError:
        outcome.departed = True
        outcome.status = outcome.status or 499
        runtime.measures.departures[inference.surface] += 1
        raise
    finally:
        series.in_flight -= 1
        outcome.seconds = runtime.clock.monotonic() - began
        runtime.measures.end(series, outcome)


def _give_answer(inference: Inference, opened: Opened, door: Door, *, outcome: Outcome) -> None:
    body = opened.body
    outcome.usage = opened.usage
    if opened.route.model != inference.deployment.name:
        body = inference.dialect.patch_answer(body, inference.deployment.name)
        outcome.fidelity = "patched"
    outcome.status = 200
    door.answer(200, body, content_type=opened.content_type)
