"""Counting the tokens of a request, which a target does: no inference, so nothing is paid, kept or answered twice.

    count as a request --> open_reply --> the target's answer

Where no target counts, that is said: an estimate of ours would be taken for a count.
"""

from ingot.errors import ApiError, NotFound
from ingot.services.accounting import new_response_id
from ingot.services.asking import Asked, ClientDoor, before, seen, standing_lines
from ingot.services.attempts import open_reply
from ingot.services.door import Inference, Outcome
from ingot.services.runtime import Runtime

UNKNOWN_THERE = "upstream_not_found"


async def run(runtime: Runtime, asked: Asked, door: ClientDoor, outcome: Outcome) -> None:
    """Gives the target's count to `door`; raises ApiError while nothing was given."""
    gate = runtime.gate
    call = await before(runtime, asked.dialect, asked.call, asked.principal)
    call = await seen(runtime, asked, call)
    admission = await gate.count(asked.principal)
    outcome.standing = admission.standing
    if outcome.standing is not None:
        door.lines += standing_lines(runtime, outcome.standing)
    now = runtime.clock.now()
    wanted = Inference(
        asked.id,
        asked.path,
        asked.dialect,
        call,
        asked.deployment,
        asked.principal,
        response_id=new_response_id(now),
        created_at=int(now * 1_000_000),
        window=asked.window,
    )
    try:
        opened = await open_reply(runtime, wanted, outcome)
        try:
            outcome.status = 200
            door.answer(200, opened.body, content_type=opened.content_type)
        finally:
            opened.link.release(opened.reply)
    except ApiError as error:
        outcome.error = error.code
        raise _uncounted(asked, error) from error
    finally:
        await gate.leave(admission, tokens=0)


def _uncounted(asked: Asked, error: ApiError) -> ApiError:
    """A target that does not know the path is none that counts: the client can do without, and should not try again."""
    if error.code != UNKNOWN_THERE:
        return error
    return NotFound(
        f"The target of the model '{asked.deployment.name}' does not count tokens. Read 'usage' of an answer in its "
        "place, or choose another model.",
        code="unsupported_endpoint",
        headers=(("x-should-retry", "false"),),
    )
