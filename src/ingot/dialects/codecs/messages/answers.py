"""A whole messages answer, both ways.

Decides what a message says in parts, and how the parts of any dialect's answer become blocks: each its own, in their
order. Targets write what they like: what is not understood stays raw. Knows nothing of streams.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot.canonical import (
    Answer,
    AnyPart,
    Loss,
    Losses,
    Origin,
    Output,
    Refusal,
    ToolCall,
    ToolResult,
    lost_extras,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.messages.block_writer import encode_part, finish_block, lost_of
from ingot.dialects.codecs.messages.blocks import decode_blocks, is_blocks
from ingot.dialects.codecs.messages.counts import decode_usage, encode_usage, lost_of_usage
from ingot.dialects.codecs.messages.ends import (
    DETAILS,
    KNOWN_TOP,
    NO_USAGE,
    TIER,
    decode_end,
    decode_tier,
    encode_end,
    encode_tier,
)
from ingot.dialects.codecs.values import text_of
from ingot.dialects.finishes import REFUSED, lost_finish

Json = dict[str, Any]

UNTOLD_USAGE: Final = Loss("usage", "answer", "the target told no counts: zeros stand for them")

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


# --- decoding ---


def decode_answer(data: bytes, origin: Origin) -> tuple[Answer, Losses]:
    """The answer of a target; raises ValueError where it is none."""
    value = _decode(data)
    if type(value) is not dict or not is_blocks(value.get("content")):
        raise ValueError("The target's answer is no message: it has no list of content blocks.")
    told = value.get("usage")
    usage = decode_usage(told)
    fields = dict(unknown(value, KNOWN_TOP))
    if usage is None:
        # What cannot be believed is kept as it is.
        fields.update(unknown({"usage": told}, ()))
    word = text_of(value.get("stop_reason"))
    reason, other = decode_end(word) if word else (None, None)
    output = Output(
        parts=decode_blocks(value["content"], origin),
        finish=reason,
        told=other,
        stop_sequence=text_of(value.get("stop_sequence")),
        extras=extras_of(dict(unknown({DETAILS: value.get(DETAILS)}, ())), "messages"),
    )
    answer = Answer(
        origin=origin,
        id=text_of(value.get("id")) or "",
        model=text_of(value.get("model")) or "",
        outputs=(output,),
        usage=usage,
        service_tier=decode_tier(told),
        complete=reason is not None,
        extras=extras_of(fields, "messages"),
    )
    return answer, ()


# --- encoding ---


def encode_answer(answer: Answer, reply: Reply) -> tuple[bytes, Losses]:
    """The answer for a client, and what of the target's it does not say."""
    losses: list[Loss] = []
    output = answer.outputs[0] if answer.outputs else Output()
    content = [
        block for part in output.parts if (block := encode_answered(part, losses, path=part.at)) is not None
    ]
    refused = any(isinstance(part, Refusal) for part in output.parts)
    called = any(isinstance(part, ToolCall) for part in output.parts)
    native = answer.origin.dialect == "messages"
    value: Json = {
        "id": reply.id,
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": encode_end(output.finish, output.told, native=native, refused=refused, called=called),
        "stop_sequence": output.stop_sequence,
        "usage": _usage(answer, losses),
    }
    if value["stop_reason"] == "refusal" and (refused or not native):
        value[DETAILS] = REFUSED
    losses += _lost(answer, output)
    restore(output.extras, value, dialect="messages")
    restore(output.message_extras, value, dialect="messages")
    restore(answer.extras, value, dialect="messages")
    if answer.extras is not None and answer.usage is None and answer.extras.dialect == "messages":
        value["usage"] = answer.extras.fields.get("usage", value["usage"])
    return _encode(value), tuple(losses)


def encode_answered(part: AnyPart, losses: list[Loss], *, path: str) -> Json | Raw | None:
    """The block of an answer that says a part; None, and a loss, where none can."""
    if isinstance(part, ToolResult):
        losses.append(
            Loss(path, "answer", "an answer of the messages dialect has no results of a client's tools")
        )
        return None
    block = encode_part(part)
    if isinstance(block, str):
        losses.append(Loss(path, "answer", block))
        return None
    # That a text refuses is said by the end of the answer.
    losses += (
        lost_extras(part.extras, "messages", at=path) if isinstance(part, Refusal) else lost_of(part, path)
    )
    # What the model has just said is no prompt, in which a breakpoint could stand.
    return finish_block(msgspec.structs.replace(part, cache=None), block, losses, path=path)


def _usage(answer: Answer, losses: list[Loss]) -> Json:
    usage = answer.usage
    if usage is None:
        losses.append(UNTOLD_USAGE)
        return dict(NO_USAGE)
    losses += lost_of_usage(usage)
    told = encode_usage(usage)
    tier = encode_tier(answer.service_tier)
    if tier is not None:
        told[TIER] = tier
    return told


def _lost(answer: Answer, output: Output) -> Iterator[Loss]:
    for index in range(1, len(answer.outputs)):
        yield Loss(f"outputs[{index}]", "answer", "the messages dialect gives one answer")
    for extras in (output.extras, output.message_extras, answer.extras):
        yield from lost_extras(extras, "messages")
    yield from lost_around(answer.service_tier, answer.fingerprint)
    yield from lost_finish(output.finish, output.told, of=answer.origin.dialect, to="messages")
    if output.logprobs:
        yield Loss("logprobs", "answer", "the messages dialect has no place for log probabilities")


def lost_around(tier: str | None, fingerprint: str | None) -> Iterator[Loss]:
    """What stands beside a message and has no place here."""
    if tier is not None and encode_tier(tier) is None:
        yield Loss(TIER, "answer", f"the messages dialect knows no tier '{tier}'")
    if fingerprint is not None:
        yield Loss("system_fingerprint", "answer", "the messages dialect has no place for it")
