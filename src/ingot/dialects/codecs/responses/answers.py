"""A whole response, both ways.

Decides what a response says around its output: its end, its counts, its failure. What it echoes of its request is not
read, and told to a client from that client's own. Knows nothing of streams.
"""

from typing import Any, Final

import msgspec

from ingot.canonical import (
    Answer,
    AnyPart,
    Logprobs,
    Loss,
    Losses,
    NativePart,
    Origin,
    Output,
    Reasoning,
    Text,
    ToolCall,
    lost_extras,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.responses.counts import decode_usage, encode_usage, lost_of_usage
from ingot.dialects.codecs.responses.echo import ECHOED, Envelope
from ingot.dialects.codecs.responses.failures import (
    UNFINISHED,
    decode_end,
    decode_failure,
    encode_end,
    error_of,
)
from ingot.dialects.codecs.responses.output import (
    NO_LOGPROBS,
    call_item,
    content_part,
    decode_output,
    is_in_message,
    item_id,
    lost_seal,
    message_item,
    prefix_of,
    says_nothing,
    thoughts_item,
    token_list,
)
from ingot.dialects.codecs.values import text_of
from ingot.dialects.finishes import lost_finish

Json = dict[str, Any]

KNOWN_TOP: Final = ECHOED | {
    "id",
    "created_at",
    "model",
    "status",
    "error",
    "incomplete_details",
    "output",
    "usage",
    "service_tier",
}
ONE_ANSWER: Final = "the responses dialect gives one answer"
NO_FINGERPRINT: Final = Loss("system_fingerprint", "answer", "the responses dialect has no place for it")
NO_STOP: Final = "the responses dialect does not tell which stop sequence was met"
NO_PART: Final = "an answer of the responses dialect has no place for such a part"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


# --- decoding ---


def decode_answer(data: bytes, origin: Origin) -> tuple[Answer, Losses]:
    """The answer of a target; raises ValueError where it is none, or none yet."""
    value = _decode(data)
    items = value.get("output") if type(value) is dict else None
    status = value.get("status") if type(value) is dict else None
    if type(items) is not list:
        raise ValueError("The target's answer is no response: it has no list of output items.")
    if status in UNFINISHED:
        raise ValueError(f"The target's answer is not finished: its status is '{status}'.")
    parts, runs = decode_output(items, origin)
    called = any(isinstance(part, ToolCall) for part in parts)
    finish, told = decode_end(status, value.get("incomplete_details"), called=called)
    created = value.get("created_at")
    failed = value.get("error") if status == "failed" else None
    answer = Answer(
        origin=origin,
        id=text_of(value.get("id")) or "",
        model=text_of(value.get("model")) or "",
        # Of what failed at once there is nothing.
        outputs=(Output(parts=parts, finish=finish, told=told, logprobs=runs),) if parts or finish else (),
        created=created if type(created) in (int, float) else None,
        usage=decode_usage(value.get("usage")),
        service_tier=text_of(value.get("service_tier")),
        complete=finish is not None,
        failure=None if failed is None else decode_failure(failed),
        extras=extras_of(top_fields(value), "responses"),
    )
    return answer, ()


def top_fields(value: Json) -> dict[str, msgspec.Raw]:
    """What a response holds that nobody here knows; counts that cannot be believed are kept as they are."""
    fields = dict(unknown(value, KNOWN_TOP))
    if decode_usage(value.get("usage")) is None:
        fields.update(unknown({"usage": value.get("usage")}, ()))
    return fields


# --- encoding ---


def encode_answer(answer: Answer, reply: Reply) -> tuple[bytes, Losses]:
    """The answer for a client, and what of the target's it does not say."""
    losses: list[Loss] = [
        Loss(f"outputs[{output.index}]", "answer", ONE_ANSWER) for output in answer.outputs[1:]
    ]
    native = answer.origin.dialect == "responses"
    output = answer.outputs[0] if answer.outputs else Output()
    status, reason = encode_end(output.finish, output.told, native=native)
    if answer.failure is not None:
        status, reason = "failed", None
    items = _ItemList(reply.id, output, losses, native=native, status=status)
    usage = answer.usage
    value = Envelope(reply).write(
        status,
        output=items.write(output.parts),
        tier=answer.service_tier,
        usage=None if usage is None else encode_usage(usage),
        reason=reason,
        error=None if answer.failure is None else error_of(answer.failure),
    )
    if usage is not None:
        losses += lost_of_usage(usage)
    if answer.fingerprint is not None:
        losses.append(NO_FINGERPRINT)
    if output.stop_sequence is not None:
        losses.append(Loss("stop_sequence", "answer", NO_STOP))
    losses += lost_finish(output.finish, output.told, of=answer.origin.dialect, to="responses")
    for extras in (answer.extras, output.extras, output.message_extras):
        losses += lost_extras(extras, "responses")
    if answer.extras is not None:
        if native and "usage" in answer.extras.fields and usage is None:
            del value["usage"]
        restore(answer.extras, value, dialect="responses")
    return _encode(value), tuple(losses)


class _ItemList:
    """The output of one answer on its way."""

    __slots__ = ("_id", "_items", "_losses", "_native", "_status", "_tokens")

    def __init__(
        self, reply_id: str, output: Output, losses: list[Loss], *, native: bool, status: str
    ) -> None:
        self._id = reply_id
        self._items: list[Any] = []
        self._losses = losses
        self._native = native
        self._status = status
        self._tokens = self._tokens_by_part(output)

    def _tokens_by_part(self, output: Output) -> dict[int, list[Any]]:
        """Log probabilities by the part whose they are; of the first text where nobody says whose."""
        told: dict[int, list[Any]] = {}
        texts = [index for index, part in enumerate(output.parts) if isinstance(part, Text)]
        for run in output.logprobs:
            part = run.part if run.part is not None else next(iter(texts), None)
            if run.kind == "refusal" or part not in texts:
                self._losses.append(_lost_logprobs(run))
            else:
                told.setdefault(part, []).extend(token_list(run.tokens, native=self._native))
        return told

    def write(self, parts: tuple[AnyPart, ...]) -> list[Any]:
        """The items that these parts are."""
        shown = [(index, part) for index, part in enumerate(parts) if self._has_place(part)]
        while shown:
            part = shown[0][1]
            count = 1
            if is_in_message(part):
                count = _length_of_message([each for _, each in shown])
                self._write_message(shown[:count], last=count == len(shown))
            else:
                self._write_item(part, last=len(shown) == 1)
            shown = shown[count:]
        return self._items

    def _has_place(self, part: AnyPart) -> bool:
        if isinstance(part, Reasoning):
            self._losses += lost_seal(part)
            return not says_nothing(part)
        if is_in_message(part) or isinstance(part, ToolCall):
            return True
        if isinstance(part, NativePart):
            if part.dialect == "responses":
                return True
            reason = f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
        else:
            reason = NO_PART
        self._losses.append(Loss(part.at, "answer", reason))
        return False

    def _name(self, part: AnyPart) -> str:
        return part.item or item_id(self._id, prefix_of(part), len(self._items))

    def _state(self, *, last: bool) -> str:
        """The status of an item: the last one of an answer that broke off did so too."""
        return "completed" if not last or self._status == "completed" else "incomplete"

    def _write_message(self, parts: list[tuple[int, AnyPart]], *, last: bool) -> None:
        content = [
            encoded
            for index, part in parts
            if (encoded := content_part(part, self._tokens.get(index, []), self._losses)) is not None
        ]
        first = parts[0][1]
        item = message_item(self._name(first), content, self._state(last=last), first.extras)
        self._items.append(item)

    def _write_item(self, part: AnyPart, *, last: bool) -> None:
        if isinstance(part, NativePart):
            self._items.append(part.raw)
            return
        self._losses += lost_extras(part.extras, "responses", at=part.at)
        if isinstance(part, ToolCall):
            self._items.append(call_item(part, self._name(part), self._state(last=last)))
        elif isinstance(part, Reasoning):
            self._items.append(thoughts_item(part, self._name(part)))


def _length_of_message(parts: list[AnyPart]) -> int:
    """How many parts from the first on are of one message."""
    item = parts[0].item
    others = (index for index, part in enumerate(parts) if not is_in_message(part) or part.item != item)
    return next(others, len(parts))


def _lost_logprobs(run: Logprobs) -> Loss:
    return Loss(
        "logprobs", "answer", NO_LOGPROBS if run.kind == "refusal" else "they belong to no text of the answer"
    )
