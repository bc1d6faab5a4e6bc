"""Counting the tokens of a request: no inference, so nothing is paid, kept or answered twice.

    a target that speaks the client's dialect    its own answer, as it came
    one that speaks another                      its own count of the translated request
    none that counts                             an estimate, which says so in a header
    none that takes the request                  its refusal, as whoever asks for an answer is told

A count is the target's, and an estimate never passes for one.
"""

from collections.abc import Sequence

from msgspec import Struct

from ingot.catalog import Route
from ingot.dialects import tallies
from ingot.errors import ApiError, ClientError
from ingot.services.accounting import new_response_id
from ingot.services.asking import Asked, ClientDoor, before, seen, standing_lines
from ingot.services.attempts import as_sent, open_reply
from ingot.services.door import Inference, Outcome
from ingot.services.fitting import Unfit, worse
from ingot.services.losses import header_line
from ingot.services.routing import Busy, choose, routes_for
from ingot.services.runtime import Runtime
from ingot.services.tallying import tally

UNKNOWN_THERE = "upstream_not_found"
ESTIMATED = b"x-ingot-estimated: true\r\n"


class Counted(Struct, frozen=True):
    """A count for the client, and the header lines that go with it."""

    body: bytes
    content_type: bytes = b"application/json"
    lines: bytes = b""


async def run(runtime: Runtime, asked: Asked, door: ClientDoor, outcome: Outcome) -> None:
    """Gives the count to `door`; raises ApiError while nothing was given."""
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
        counted = await _counted(runtime, wanted, outcome)
        outcome.status = 200
        door.note(counted.lines)
        door.answer(200, counted.body, content_type=counted.content_type)
    except ApiError as error:
        outcome.error = error.code
        raise
    finally:
        await gate.leave(admission, tokens=0)


async def _counted(runtime: Runtime, wanted: Inference, outcome: Outcome) -> Counted:
    """The count by the nearest way that there is."""
    spoken = wanted.dialect.format
    routes = routes_for(wanted.deployment, spoken, translatable=True)
    foreign = [route for route in routes if spoken not in route.target.dialects]
    told: ClientError | None = None
    taken = False
    if not foreign or len(foreign) < len(routes):
        try:
            return await _relayed(runtime, wanted, outcome)
        except ApiError as error:
            if isinstance(error, ClientError) and isinstance(error.__cause__, Unfit):
                told = error
            # A target that does not know the path is none that counts.
            elif error.code != UNKNOWN_THERE:
                raise
            taken = told is None
    counted = None
    if foreign:
        counted = await _translated(runtime, wanted, foreign, outcome=outcome, told=told, taken=taken)
    elif told is not None:
        raise told
    return counted or _estimated(runtime, wanted, routes[0])


async def _relayed(runtime: Runtime, wanted: Inference, outcome: Outcome) -> Counted:
    """The answer of a target that speaks the client's dialect."""
    opened = await open_reply(runtime, wanted, outcome)
    outcome.losses = opened.losses
    try:
        return Counted(opened.body, opened.content_type, header_line(opened.losses))
    finally:
        opened.link.release(opened.reply)


async def _translated(
    runtime: Runtime,
    wanted: Inference,
    foreign: Sequence[Route],
    *,
    outcome: Outcome,
    told: ClientError | None,
    taken: bool,
) -> Counted | None:
    """The count of a target that speaks another dialect; None where none of them counts, or may be asked now.

    Raises the refusal, `told` or one of theirs, where no target takes the request; `taken`: one of the client's dialect does.
    """
    routes, call = await as_sent(runtime, wanted, foreign)
    while routes:
        choice = choose(
            routes,
            runtime.fleet.links,
            dialect=wanted.dialect.format,
            weighted=False,
            tried=(),
            now=runtime.clock.monotonic(),
            rng=runtime.rng,
        )
        if isinstance(choice, Busy):
            return None
        outcome.target, outcome.fidelity = choice.route.target.name, "translated"
        routes = [route for route in routes if route is not choice.route]
        try:
            tokens, translation = await tally(runtime, wanted, call, choice)
        except Unfit as unfit:
            told = worse(told, unfit.error)
            continue  # another may take all of it
        if tokens is not None:
            outcome.losses = translation.losses
            body = tallies.answer_of(wanted.dialect.format, tokens)
            return Counted(body, lines=header_line(translation.losses))
        taken = True
    if told is not None and not taken:
        raise told
    return None


def _estimated(runtime: Runtime, wanted: Inference, route: Route) -> Counted:
    """What the request comes to by its text, and by what is known of the target."""
    deployment = wanted.deployment
    tokens = runtime.gate.estimates.prompt(
        wanted.call, place=(deployment.name, route.target.name), added=deployment.added
    )
    return Counted(tallies.answer_of(wanted.dialect.format, tokens), lines=ESTIMATED)
