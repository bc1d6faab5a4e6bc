"""A client's request, from what was asked to an answer that is given once: its retry key, its admission, its inference.

    run        admit --> inference --> leave
    run_once   begin with the key --lead--> run --> outcome kept
                     '--replay--> the stored outcome; counts as a request, costs nothing

Knows the door and no socket. What a job asks for goes another way, as nobody waits for it.
"""

import asyncio
from functools import lru_cache, partial
from typing import Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ingot import windows
from ingot.catalog import Catalog, Deployment
from ingot.dialects.dialect import Call, Dialect, Stamp
from ingot.dialects.responses_state import conversation_of
from ingot.errors import ApiError, Overloaded, PlatformError
from ingot.idempotency import REPLAYED, fingerprint
from ingot.limits.headers import anthropic_lines, every_line, ietf_lines, openai_lines
from ingot.limits.limiter import Standing
from ingot.pricing import Price, frozen, told_price
from ingot.scheduling.windows import ASAP
from ingot.services import inference
from ingot.services.accounting import new_response_id
from ingot.services.admission import Admission
from ingot.services.conversations import check_storage, keeps_content
from ingot.services.door import Door, Inference, Outcome
from ingot.services.endings import NEVER_RAN, ending_of
from ingot.services.history import MOST_LINKS
from ingot.services.idempotency import Lead, Replay, Scope
from ingot.services.keys import Principal
from ingot.services.losses import Lost, header_line
from ingot.services.places import own_places
from ingot.services.recent import Recent
from ingot.services.runtime import Runtime
from ingot.services.webhooks.orders import order_of
from ingot.store.faults import StoreError
from ingot.store.orders import Hook

_losses = msgspec.json.Decoder(tuple[Lost, ...]).decode

FAMILIES = 3
"""A preset names each once."""


class ClientDoor(Door, Protocol):
    """A door whose answers carry header lines of ours."""

    lines: bytes


class Asked(Struct, frozen=True, gc=False):
    """One request of a client, checked."""

    id: str
    path: str
    dialect: Dialect
    call: Call
    deployment: Deployment
    principal: Principal
    window: str = "asap"
    recent: Recent | None = None
    """What is not stored and can be gone on from all the same, as the client's connection lives on."""
    background: bool = False
    """Nobody waits for the answer."""


async def run(
    runtime: Runtime, asked: Asked, door: ClientDoor, outcome: Outcome, *, lead: Lead | None = None
) -> None:
    """Admits the request and gives its answer to `door`; raises ApiError while nothing was given."""
    gate = runtime.gate
    if not runtime.recorder.may_try():
        # A target would be paid for an answer that nobody may get.
        raise Overloaded(
            "Answers cannot be recorded at the moment, so none is asked for. Try again shortly; if it stays so, the "
            "operator has to look at the disk or the database.",
            code="storage_unavailable",
            retry_after=2.0,
        )
    call = asked.call
    if asked.dialect.own_place is not None:
        call = await before(runtime, asked.dialect, call, asked.principal, recent=asked.recent)
    if call.images or call.files or call.documents:
        call = await seen(runtime, asked, call)
    admission = Admission()
    try:
        await gate.admit(asked.principal, call, asked.deployment, window=asked.window, admission=admission)
    finally:
        outcome.standing = admission.standing
    if outcome.standing is not None:
        door.lines += standing_lines(runtime, outcome.standing)
    now = runtime.clock.now()
    response_id = new_response_id(now) if lead is None else lead.response_id
    sent = for_target(runtime, asked.dialect, call, window=asked.window)
    if sent is not call:  # something was said to this server: how it was understood is told
        door.note(window_line(asked.deployment.price, asked.window))
    call = sent
    call = stamped(runtime, call, asked, response_id=response_id)
    wanted = Inference(
        asked.id,
        asked.path,
        asked.dialect,
        call,
        asked.deployment,
        asked.principal,
        response_id=response_id,
        created_at=int(now * 1_000_000),
        window=asked.window,
        hold=admission.hold,
        lead=lead,
        hook=ordered(runtime, asked, response_id=response_id),
        asked=None if call.body is asked.call.body else asked.call.body,
    )
    try:
        await inference.run(runtime, wanted, door, outcome)
    finally:
        if admission.reservation is not None:
            usage = outcome.usage
            if usage is not None and not usage.estimated:
                size = call.size + asked.deployment.added
                gate.learn(asked.deployment.name, size=size, tokens=usage.input)
            await gate.leave(admission, tokens=0 if usage is None else usage.input + usage.output)


def ordered(runtime: Runtime, asked: Asked, *, response_id: str) -> Hook | None:
    """Whom to call when it is done."""
    if "metadata" not in asked.call.body.value:
        return None
    return order_of(
        runtime.preset,
        asked.call.body.value,
        surface=asked.dialect.name,
        org_id=asked.principal.org_id,
        response_id=response_id,
        reach=runtime.config.webhooks,
        digest=runtime.keys.digest,
    )


async def seen(runtime: Runtime, asked: Asked, call: Call) -> Call:
    """The call with what it shows judged, and what its files add to it; raises ClientError."""
    with own_places(asked.dialect, call):
        if call.files:
            call = await runtime.attachments.find(call, asked.principal.org_id, asked.deployment)
        await runtime.images.check(call, asked.deployment)
    return call


def place(catalog: Catalog, call: Call, deployment: Deployment, *, background: bool) -> str:
    """The completion window of a request; raises ApiError that names the field."""
    window = windows.choose(
        call.body.value, deployment.windows, windows=catalog.windows, background=background
    )
    if not background:
        windows.refuse_foreground(catalog.windows[window])
    return window


async def before(
    runtime: Runtime, dialect: Dialect, call: Call, who: Principal, *, recent: Recent | None = None
) -> Call:
    """The call with all that earlier responses put before it; raises ClientError."""
    if dialect.own_place is None:
        return call
    if conversation_of(call.body.value) is not None:
        check_storage(who, content=keeps_content(runtime.config.store), param="conversation")
    most = runtime.config.limits.image_body_bytes
    # What advises to compact a long chain must not be the answer to that, too.
    links = MOST_LINKS if dialect.recast is None else None
    call = await runtime.history.before(
        call, who.org_id, most=most, recent=recent, links=links, paired=dialect.recast is None
    )
    return call if dialect.recast is None else dialect.recast(call)


def for_target(runtime: Runtime, dialect: Dialect, call: Call, *, window: str) -> Call:
    """The call without what is said to this server alone; itself where there is nothing of that kind."""
    ours = dialect.name in runtime.preset.background.surfaces
    body = windows.for_target(call.body, window, background=ours)
    return call if body is call.body else replace(call, body=body)


@lru_cache(256)  # a server has few windows and prices
def window_line(price: Price, window: str) -> bytes:
    """The header line that tells the window asked for and achieved, the time in the queue, and the price in USD per 1M tokens,
    for a client that waited: it was begun at once.
    """
    own = told_price(frozen(price, window=window))
    told = ", ".join(f"{kind}={amount}" for kind, amount in own.items())
    return f"x-ingot-window: asked={window}, achieved={ASAP.name}, queue_ms=0, {told}\r\n".encode()


def stamped(runtime: Runtime, call: Call, asked: Asked, *, response_id: str) -> Call:
    """The call with what is ours to say in its answer, where the dialect has such."""
    if asked.dialect.stamp_answer is None:
        return call
    stamp = Stamp(
        id=response_id,
        asked=windows.for_store(asked.call.body),
        now=runtime.clock.now,
        principled=asked.deployment.constitution is not None,
        seal=partial(runtime.history.seal, org_id=asked.principal.org_id),
        seal_thoughts=partial(runtime.history.seal, org_id=asked.principal.org_id, of="reasoning"),
        open_thoughts=partial(runtime.history.unseal, org_id=asked.principal.org_id, of="reasoning"),
    )
    return replace(call, stamp=stamp)


async def run_once(runtime: Runtime, asked: Asked, key: str, *, door: ClientDoor, outcome: Outcome) -> None:
    """`run` for a request with an idempotency key: of all with this key one runs, and all get its answer."""
    principal = asked.principal
    try:
        begun = await runtime.retries.begin(
            Scope(principal.org_id, principal.key_id),
            key,
            # By another host's preset the same bytes may ask for something else.
            path=f"{asked.path}@{runtime.preset.name}",
            fingerprint=fingerprint(
                asked.call.body.value, method="POST", path=asked.path, digest=runtime.keys.digest
            ),
            response_id=new_response_id(runtime.clock.now()),
        )
    except StoreError as error:
        raise Overloaded(
            "The idempotency key could not be looked up, so nothing was run. Send the request again in a moment.",
            code="storage_unavailable",
            retry_after=2.0,
        ) from error
    if isinstance(begun, Replay):
        await _replay(runtime, asked, begun, door=door, outcome=outcome)
        return
    try:
        await run(runtime, asked, door, outcome, lead=begun)
    except ApiError as error:
        if error.status < PlatformError.status and ending_of(outcome) is NEVER_RAN:
            # Refused, and nothing was done for it: a mended request may have the same key.
            await asyncio.shield(runtime.retries.withdraw(begun))
        raise
    finally:
        # Nothing happens where the outcome was kept; a cancelled caller must not leave the key in use.
        await asyncio.shield(runtime.retries.release(begun))


async def _replay(
    runtime: Runtime, asked: Asked, stored: Replay, *, door: ClientDoor, outcome: Outcome
) -> None:
    admission = await runtime.gate.count(asked.principal)
    if admission.reservation is not None:
        door.lines += standing_lines(runtime, admission.reservation.standing)
        await runtime.gate.leave(admission, tokens=0)
    outcome.status = stored.status
    outcome.target = "store"
    outcome.fidelity = "replayed"
    door.lines += REPLAYED
    if stored.losses is not None:
        door.note(header_line(_losses(stored.losses)))
    content_type = stored.content_type.encode("ascii", "replace")
    if asked.call.stream and stored.status == 200:
        door.start(200, content_type=content_type)
        if door.write(stored.answer):
            await door.drain()
        door.finish()
    else:
        door.answer(stored.status, stored.answer, content_type=content_type)


def standing_lines(runtime: Runtime, standing: Standing, *, wait: int | None = None) -> bytes:
    """How the limits stand, in the families of header lines that the preset sends; `wait` is a refusal's, in us."""
    families = runtime.preset.limit_headers
    if len(families) == FAMILIES:
        return every_line(standing, runtime.clock.now(), wait)
    lines = openai_lines(standing) if "openai" in families else b""
    if "anthropic" in families:
        lines += anthropic_lines(standing, runtime.clock.now())
    return lines + ietf_lines(standing, wait) if "ietf" in families else lines
