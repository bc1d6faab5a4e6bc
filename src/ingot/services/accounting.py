"""What an inference costs and what is kept of it: from its outcome to the settlement that the recorder makes durable.

Decides amounts, and what is kept and for how long; which endings are billed and kept at all is said in `services.endings`.
Refuses to know when it is written and who waits for it.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from ingot.dialects.dialect import Usage
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_makers import sealed_out
from ingot.dialects.responses_state import conversation_of, own_items
from ingot.ids import ordered_id
from ingot.limits.limiter import Reservation
from ingot.pricing import frozen
from ingot.services.door import Inference, Outcome
from ingot.services.endings import ending_of
from ingot.services.grants import Grant
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime
from ingot.store.orders import Hook
from ingot.store.queue import Claim, Item, Leased
from ingot.store.schema import MICROSECOND, micros
from ingot.store.settle import Settlement
from ingot.store.turns import Turn
from ingot.store.waiting import READABLE
from ingot.windows import achieved, for_store

DAY = 86_400_000_000
NOTHING = Usage()

_encode = msgspec.json.Encoder().encode
_reservation = msgspec.json.Decoder(Reservation)


class Unrun(Struct, frozen=True):
    """How work ends that no target is asked for any more; `answer` is the body of an error."""

    state: Literal["cancelled", "failed", "expired"]
    status: int
    code: str | None = None
    answer: bytes | None = None


CANCELLED = Unrun("cancelled", 499)
EXPIRED = Unrun("expired", 504, code="batch_expired")
"""Of a batch alone: any other work is late, or fails."""


def account(runtime: Runtime, inference: Inference, outcome: Outcome) -> Settlement:
    """The settlement of an inference that has ended, however it did."""
    now = micros(runtime.clock.now())
    grant = inference.principal.grant
    usage = outcome.usage or NOTHING
    ending = ending_of(outcome)
    lead = inference.lead if ending.final else None
    price = inference.deployment.price
    body = inference.call.body if inference.asked is None else for_store(inference.asked)
    asked = body.value
    expires_at = _content_until(runtime, inference, asked, now)
    kept, factor = expires_at is not None, _factor(inference, now)
    return Settlement(
        id=inference.response_id,
        # Who does not wait for an answer knows it by our id alone.
        public_id=_plain(outcome.answer_id)
        if outcome.answer_id and inference.claim is None
        else inference.response_id,
        org_id=inference.principal.org_id,
        key_id=inference.principal.key_id,
        surface=inference.dialect.name,
        model=inference.deployment.name,
        target=outcome.target,
        status=outcome.status,
        state=ending.state,
        window=inference.window,
        fidelity=outcome.fidelity,
        created_at=inference.created_at,
        finished_at=now,
        request_id=inference.id,
        billable=ending.billed,
        error=outcome.error,
        streamed=inference.call.stream,
        first_token_us=None if outcome.first_token is None else micros(outcome.first_token),
        input_tokens=usage.input,
        cached_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        estimated=usage.estimated,
        amount=price.cost(usage, window=inference.window, factor=factor) if ending.billed else 0,
        price=frozen(price, window=inference.window, factor=factor) if ending.billed else None,
        request=body.data if kept else None,
        answer=outcome.answer if kept and (ending.kept or inference.claim is not None) else None,
        metadata=_metadata(asked) if kept and "metadata" in asked else None,
        losses=_encode(outcome.losses).decode() if outcome.losses and (kept or lead is not None) else None,
        expires_at=expires_at,
        prepaid=grant.prepaid,
        reserved=0 if inference.hold is None else inference.hold.amount,
        parts=() if inference.hold is None else inference.hold.parts,
        lead=lead,
        content_type=outcome.content_type.decode("ascii", "replace"),
        given=None if lead is None else outcome.answer,
        claim=inference.claim,
        achieved=_achieved(runtime, inference, now) if ending.state == "completed" else None,
        queued_us=0 if inference.claim is None else inference.begun_at - inference.created_at,
        turn=_turn(inference, outcome) if inference.call.stamp and ending.state == "completed" else None,
        marks=_marks(runtime, inference, outcome) if inference.dialect.name == RESPONSES.name else (),
        hook=None if inference.hook is None else _hook(inference.hook, outcome, kept=kept),
    )


def _marks(runtime: Runtime, inference: Inference, outcome: Outcome) -> tuple[str, ...]:
    """The marks of what the target sealed; what we sealed tells its maker itself."""
    if outcome.answer is None or outcome.fidelity == "translated":
        return ()
    org_id = inference.principal.org_id
    sealed = sealed_out(outcome.answer, streamed=inference.call.stream)
    return tuple([runtime.history.mark(content, org_id=org_id) for content in sealed])


def keeps_answer(runtime: Runtime, who: Principal, asked: Mapping[str, Any]) -> bool:
    """Whether a request's content is kept; `asked` is the client's body."""
    return _keeps(runtime, who.grant, asked.get("store"))


def _hook(hook: Hook, outcome: Outcome, *, kept: bool) -> Hook:
    """What was ordered, with the answer where nothing else keeps it until it is delivered."""
    return hook if kept else replace(hook, answer=outcome.answer)


def _turn(inference: Inference, outcome: Outcome) -> Turn | None:
    """What the answer adds to its conversation, whether the response itself is stored or not, as OpenAI does it."""
    call = inference.call
    if call.stamp is None or outcome.answer is None or inference.dialect.name != RESPONSES.name:
        return None  # a compaction reads the conversation, and is no part of it
    conversation = conversation_of(call.stamp.asked.value)
    if conversation is None:
        return None
    return Turn(
        conversation=conversation,
        own=own_items(call, inference.response_id),
        answer=outcome.answer,
        streamed=call.stream,
    )


def unrun(
    runtime: Runtime, job: Leased, item: Item, *, grant: Grant | None, end: Unrun, spent: int = 0
) -> Settlement:
    """The settlement of work that ends without an inference: it was cancelled, or cannot run. `grant` None keeps nothing;
    `spent` is the service of tries that failed.
    """
    now = micros(runtime.clock.now())
    asked = msgspec.json.decode(item.request)
    claim = claim_of(job, item, spent=spent)
    expires_at = None
    if grant is not None:
        until = _readable(claim, item.id, now)
        expires_at = _kept_until(runtime, grant, asked.get("store"), now=now, readable=until)
    kept = expires_at is not None
    return Settlement(
        id=item.id,
        public_id=item.id,
        org_id=job.org_id,
        key_id=job.key_id,
        surface=job.surface,
        model=job.model,
        target="queue",
        status=end.status,
        state=end.state,
        window=job.window,
        fidelity="verbatim",
        created_at=job.created_at,
        finished_at=now,
        request_id=item.request_id,
        billable=False,
        error=end.code,
        streamed=bool(job.streamed),
        prepaid=bool(job.prepaid),
        request=item.request if kept else None,
        answer=end.answer if kept else None,
        metadata=_metadata(asked) if kept and "metadata" in asked else None,
        expires_at=expires_at,
        claim=claim,
        queued_us=now - job.created_at,
    )


def claim_of(job: Leased, item: Item, *, spent: int = 0) -> Claim:
    """What proves that a result of the item may be written, after tries that failed of so much service."""
    return Claim(
        job.id,
        job.epoch,
        job.batch_id,
        item.seq,
        org_id=job.org_id,
        weight=job.weight,
        estimate=job.estimate,
        due_at=job.due_at,
        spent=spent,
    )


async def settle_rates(runtime: Runtime, job: Leased, *, tokens: int) -> None:
    """Puts what was really used in place of the estimate that the rates were charged with."""
    if job.limits is not None:
        await runtime.gate.limiter.settle(_reservation.decode(job.limits), tokens)


def _content_until(runtime: Runtime, inference: Inference, asked: Mapping[str, Any], now: int) -> int | None:
    readable = _readable(inference.claim, inference.response_id, now)
    return _kept_until(runtime, inference.principal.grant, asked.get("store"), now=now, readable=readable)


def _readable(claim: Claim | None, which: str, now: int) -> int | None:
    """Until when an answer can be read in any case, whoever did not wait for it: a batch is read when all of it is there."""
    if claim is None:
        return None
    return now + READABLE if claim.batch_id == which else max(now, claim.due_at) + DAY


def _kept_until(runtime: Runtime, grant: Grant, wanted: Any, *, now: int, readable: int | None) -> int | None:
    """Until when content is kept; None: it is not. `readable` is when it goes that is not to be kept."""
    if not _keeps(runtime, grant, wanted):
        return readable
    store = runtime.config.store
    days = store.retention_days if grant.retention_days is None else grant.retention_days
    return now + days * DAY


def _keeps(runtime: Runtime, grant: Grant, wanted: Any) -> bool:
    return (
        runtime.config.store.content
        and grant.keep_content
        and (runtime.preset.stores if wanted is None else wanted is not False)
    )


def _factor(inference: Inference, now: int) -> int:
    """The plan's factor of the price; nothing is charged for what is late in a window that says so."""
    late = inference.claim is not None and inference.on_miss == "refund" and now > inference.claim.due_at
    return 0 if late else inference.principal.grant.price_factor


def _achieved(runtime: Runtime, inference: Inference, now: int) -> str | None:
    if inference.claim is None:
        return None
    return achieved(
        runtime.catalog.windows,
        queued=(inference.begun_at - inference.created_at) / MICROSECOND,
        turn=(now - inference.created_at) / MICROSECOND,
    )


def _metadata(asked: dict[str, Any]) -> dict[str, str] | None:
    """The pairs that the answer can be found by; dialects that do not check the field may bring anything."""
    held = asked["metadata"]
    if not isinstance(held, dict) or not all(isinstance(value, str) for value in held.values()):
        return None
    # PostgreSQL keeps no U+0000 in text.
    return {_plain(name): _plain(value) for name, value in held.items()} or None


def _plain(text: str) -> str:
    return text.replace("\0", "\ufffd") if "\0" in text else text


def new_response_id(now: float) -> str:
    """The id under which an answer is stored and billed; they sort by time."""
    return ordered_id("resp", now)
