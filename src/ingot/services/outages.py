"""What a client is told where no target answered: a transport's fault, or all of them busy or shut.

Decides on words and on when to come back; knows no tries and sends nothing.
"""

import math

from ingot.catalog import Route
from ingot.errors import ApiError, RateLimited, UpstreamError, UpstreamTimeout, UpstreamUnavailable
from ingot.services.door import Inference
from ingot.services.runtime import Runtime
from ingot.upstream.client import (
    ConnectTimeout,
    FirstByteTimeout,
    IdleTimeout,
    ReplyTooLarge,
    UpstreamFault,
)

LONGEST_TURN = 60.0
"""Seconds after which a client is to come back at the latest where all places are taken."""


def explain(fault: UpstreamFault, route: Route) -> ApiError:
    """What a client is told of a transport fault: the target's name, never its address or credential."""
    name = route.target.name
    timeouts = route.target.timeouts
    if isinstance(fault, ConnectTimeout):
        return UpstreamTimeout(
            f"The target '{name}' did not accept a connection within {timeouts.connect:g} s."
        )
    if isinstance(fault, FirstByteTimeout):
        return UpstreamTimeout(f"The target '{name}' sent nothing within {timeouts.first_byte:g} s.")
    if isinstance(fault, IdleTimeout):
        return UpstreamTimeout(f"The target '{name}' fell silent for {timeouts.idle:g} s within its answer.")
    if isinstance(fault, ReplyTooLarge):
        return UpstreamError(f"The target '{name}' sent an answer beyond the size limit.")
    if not fault.sent:
        return UpstreamUnavailable(
            f"The target '{name}' cannot be reached. Try again shortly.", retry_after=1.0
        )
    return UpstreamError(f"The target '{name}' broke off its answer. Send the request again.")


def unavailable(runtime: Runtime, inference: Inference, seconds: float, last: ApiError | None) -> ApiError:
    """What a client is told that no target may be asked for: how long it should wait; `last` is what the last one said."""
    name = inference.deployment.name
    if math.isinf(seconds):
        wait = math.ceil(_turn(runtime, inference))
        return RateLimited(
            f"Every target of '{name}' is at its capacity. Send it again in {wait} s, or send it in the background, in a "
            "completion window that can wait.",
            code="capacity",
            retry_after=float(wait),
        )
    if last is not None:
        last.retry_after = last.retry_after or seconds
        return last
    return UpstreamUnavailable(
        f"No target of '{name}' is available now; the next try is due in {math.ceil(seconds)} s.",
        retry_after=seconds,
    )


def _turn(runtime: Runtime, inference: Inference) -> float:
    """Seconds until a place will probably be free: with all of them taken, one of them is after its part of a usual call."""
    found = runtime.measures.of(inference.surface, inference.deployment.name).duration
    calls = sum(found.counts)
    usual = found.total / calls if calls else 1.0
    places = sum(route.target.capacity or 1 for route in inference.deployment.routes)
    return min(max(usual / places, 1.0), LONGEST_TURN)
