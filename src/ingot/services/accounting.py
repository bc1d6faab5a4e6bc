"""What an inference costs and what is kept of it: from its outcome to the settlement that the recorder makes durable.

Decides amounts, and what is kept and for how long; which endings are billed and kept at all is said in `services.endings`.
Refuses to know when it is written and who waits for it.
"""

from typing import Any

import msgspec

from ingot.dialects.dialect import Usage
from ingot.ids import ordered_id
from ingot.pricing import frozen
from ingot.services.door import Inference, Outcome
from ingot.services.endings import ending_of
from ingot.services.runtime import Runtime
from ingot.store.schema import micros
from ingot.store.settle import Settlement
from ingot.windows import for_store

DAY = 86_400_000_000
NOTHING = Usage()

_encode = msgspec.json.Encoder().encode


def account(runtime: Runtime, inference: Inference, outcome: Outcome) -> Settlement:
    """The settlement of an inference that has ended, however it did."""
    now = micros(runtime.clock.now())
    grant = inference.principal.grant
    usage = outcome.usage or NOTHING
    ending = ending_of(outcome)
    billable = ending.billed
    lead = inference.lead if ending.final else None
    price = inference.deployment.price
    store = runtime.config.store
    body = inference.call.body if inference.asked is None else for_store(inference.asked)
    asked = body.value
    wanted = asked.get("store")
    kept = (
        store.content
        and grant.keep_content
        and (runtime.preset.stores if wanted is None else wanted is not False)
    )
    days = store.retention_days if grant.retention_days is None else grant.retention_days
    return Settlement(
        id=inference.response_id,
        public_id=_plain(outcome.answer_id) if outcome.answer_id else inference.response_id,
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
        billable=billable,
        error=outcome.error,
        streamed=inference.call.stream,
        first_token_us=None if outcome.first_token is None else micros(outcome.first_token),
        input_tokens=usage.input,
        cached_tokens=usage.cached_input,
        cache_write_tokens=usage.cache_write,
        output_tokens=usage.output,
        reasoning_tokens=usage.reasoning,
        estimated=usage.estimated,
        amount=price.cost(usage, window=inference.window, factor=grant.price_factor) if billable else 0,
        price=frozen(price, window=inference.window, factor=grant.price_factor) if billable else None,
        request=body.data if kept else None,
        answer=outcome.answer if kept and ending.kept else None,
        metadata=_metadata(asked) if kept and "metadata" in asked else None,
        losses=_encode(outcome.losses).decode() if kept and outcome.losses else None,
        expires_at=now + days * DAY if kept else None,
        prepaid=grant.prepaid,
        reserved=0 if inference.hold is None else inference.hold.amount,
        parts=() if inference.hold is None else inference.hold.parts,
        lead=lead,
        content_type=outcome.content_type.decode("ascii", "replace"),
        given=None if lead is None else outcome.answer,
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
