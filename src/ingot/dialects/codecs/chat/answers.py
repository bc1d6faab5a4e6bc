"""A whole chat answer, both ways.

Decides what a message says in parts, and how parts of any dialect become one message: texts and thoughts joined, calls
in their list. Targets write what they like: what is not understood stays raw. Knows nothing of streams.
"""

from typing import Any, Final

import msgspec

from ingot.canonical import (
    Answer,
    AnyPart,
    DialectName,
    Extras,
    Logprobs,
    Loss,
    Losses,
    NativePart,
    Origin,
    Output,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    lost_extras,
)
from ingot.dialects.codec import Reply
from ingot.dialects.codecs.chat.choices import (
    STOPPED_BY,
    decode_citations,
    decode_end,
    encode_citations,
    encode_end,
    known_fields,
    raw_tokens,
    take_met,
)
from ingot.dialects.codecs.chat.counts import decode_usage, encode_usage, lost_of_usage
from ingot.dialects.codecs.chat.messages import encode_call
from ingot.dialects.codecs.chat.parts import decode_content
from ingot.dialects.codecs.chat.turns import THOUGHTS, decode_call, decode_thoughts
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.values import text_of
from ingot.dialects.finishes import lost_finish

Json = dict[str, Any]

KNOWN_TOP: Final = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "service_tier", "system_fingerprint"}
)
_KNOWN_MESSAGE: Final = frozenset({"role", "content", "refusal", "tool_calls"})
PARAGRAPHS: Final = "\n\n"
SEAL: Final = "its seal: the chat dialect has no place for it"
SUMMARY: Final = "its summary: the chat dialect has one place for thoughts"

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


# --- decoding ---


def decode_answer(data: bytes, origin: Origin) -> tuple[Answer, Losses]:
    """The answer of a target; raises ValueError where it is none."""
    value = _decode(data)
    choices = value.get("choices") if type(value) is dict else None
    if type(choices) is not list or any(type(choice) is not dict for choice in choices):
        raise ValueError("The target's answer is no chat completion: it has no list of choices.")
    met = take_met(value)
    if met and len(choices) == 1:
        choices[0].setdefault(STOPPED_BY, met)
    outputs = [_decode_choice(choice, index, origin=origin) for index, choice in enumerate(choices)]
    created = value.get("created")
    usage = decode_usage(value.get("usage"))
    fields = dict(unknown(value, KNOWN_TOP))
    if usage is None:
        # What cannot be believed is kept as it is.
        fields.update(unknown({"usage": value.get("usage")}, ()))
    answer = Answer(
        origin=origin,
        id=text_of(value.get("id")) or "",
        model=text_of(value.get("model")) or "",
        outputs=tuple(sorted(outputs, key=_index)),
        created=created if type(created) in (int, float) else None,
        usage=usage,
        service_tier=text_of(value.get("service_tier")),
        fingerprint=text_of(value.get("system_fingerprint")),
        complete=all(output.finish is not None for output in outputs),
        extras=extras_of(fields, "chat"),
    )
    return answer, ()


def _index(output: Output) -> int:
    return output.index


def _decode_choice(choice: Json, place: int, *, origin: Origin) -> Output:
    index = choice.get("index")
    message = choice.get("message")
    if type(message) is not dict:
        raise ValueError("The target's answer is no chat completion: a choice has no message.")
    parts, said = _decode_message(message, origin, at=f"choices[{place}].message.")
    finish, told, met = decode_end(choice) if text_of(choice.get("finish_reason")) else (None, None, None)
    logprobs = choice.get("logprobs")
    texts = Logprobs(tokens=raw_tokens(logprobs, "content"))
    refusals = Logprobs(tokens=raw_tokens(logprobs, "refusal"), kind="refusal")
    return Output(
        index=index if type(index) is int else place,
        parts=parts,
        finish=finish,
        told=told,
        stop_sequence=met,
        logprobs=tuple([run for run in (texts, refusals) if run.tokens]),
        extras=extras_of(dict(unknown(choice, known_fields(finish))), "chat"),
        message_extras=extras_of(dict(unknown(message, said)), "chat"),
    )


def _decode_message(message: Json, origin: Origin, *, at: str) -> tuple[tuple[AnyPart, ...], frozenset[str]]:
    """The parts of an answer's message, and the fields that they are read from."""
    thoughts, said = decode_thoughts(message, origin, at=at)
    parts: list[AnyPart] = [*thoughts]
    citations = decode_citations(message.get("annotations"))
    known = _KNOWN_MESSAGE | said
    if message.get("content"):
        content = [_placed(part, at) for part in decode_content(message["content"])]
        if citations and isinstance(content[0], Text):
            content[0] = msgspec.structs.replace(content[0], citations=citations)
            citations = ()
        parts += content
    if not citations:
        known |= {"annotations"}
    if message.get("refusal"):
        parts.append(Refusal(str(message["refusal"]), at=f"{at}refusal"))
    calls = message.get("tool_calls")
    for index, call in enumerate(calls if type(calls) is list else ()):
        parts.append(decode_call(call, f"{at}tool_calls[{index}]"))
    return tuple(parts), known


def _placed(part: AnyPart, at: str) -> AnyPart:
    return msgspec.structs.replace(part, at=at + part.at)


# --- encoding ---


def encode_answer(answer: Answer, reply: Reply) -> tuple[bytes, Losses]:
    """The answer for a client, and what of the target's it does not say."""
    losses: list[Loss] = []
    value: Json = {
        "id": reply.id,
        "object": "chat.completion",
        "created": reply.created,
        "model": reply.model,
        "choices": [_encode_choice(output, losses, of=answer.origin.dialect) for output in answer.outputs],
    }
    if answer.usage is not None:
        value["usage"] = encode_usage(answer.usage)
        losses += lost_of_usage(answer.usage)
    if answer.service_tier is not None:
        value["service_tier"] = answer.service_tier
    if answer.fingerprint is not None:
        value["system_fingerprint"] = answer.fingerprint
    _take_extras(answer.extras, value, losses)
    return _encode(value), tuple(losses)


def _take_extras(extras: Extras | None, value: Json, losses: list[Loss]) -> None:
    if extras is not None:
        restore(extras, value, dialect="chat")
        losses += lost_extras(extras, "chat")


def _encode_choice(output: Output, losses: list[Loss], *, of: DialectName) -> Json:
    message = _Message(losses)
    for part in output.parts:
        message.take(part)
    fields = message.fields()
    choice: Json = {
        "index": output.index,
        "message": fields,
        "logprobs": encode_logprobs(output.logprobs),
        "finish_reason": encode_end(output.finish, output.told, native=of == "chat"),
    }
    losses += lost_finish(output.finish, output.told, of=of, to="chat")
    if output.stop_sequence is not None:
        choice[STOPPED_BY] = output.stop_sequence
    _take_extras(output.message_extras, fields, losses)
    _take_extras(output.extras, choice, losses)
    return choice


def encode_logprobs(runs: tuple[Logprobs, ...]) -> Json | None:
    """Log probabilities of a choice: those of all its texts, and those of its refusals."""
    if not runs:
        return None
    told: dict[str, list[Any]] = {"text": [], "refusal": []}
    for run in runs:
        told[run.kind] += run.tokens
    return {"content": told["text"] or None, "refusal": told["refusal"] or None}


class _Message:
    """The message of a choice, part by part."""

    __slots__ = ("_annotations", "_calls", "_losses", "_natives", "_refusals", "_texts", "_thoughts")

    def __init__(self, losses: list[Loss]) -> None:
        self._losses = losses
        self._texts: list[str] = []
        self._natives: list[Any] = []
        self._refusals: list[str] = []
        self._thoughts: dict[str, list[str]] = {}
        self._calls: list[Any] = []
        self._annotations: list[Any] = []

    def take(self, part: AnyPart) -> None:
        losses = self._losses
        losses += lost_extras(part.extras, "chat", at=part.at)
        match part:
            case Text():
                start = sum(map(len, self._texts))
                self._annotations += encode_citations(
                    part.citations, losses, path=part.at, start=start, length=len(part.text)
                )
                self._texts.append(part.text)
                self._natives.append(_text_part(part))
            case Refusal():
                self._refusals.append(part.text)
            case ToolCall():
                self._calls.append(encode_call(part))
            case Reasoning():
                self._take_thoughts(part)
            case NativePart(dialect="chat", kind="tool_call"):
                self._calls.append(part.raw)
            case NativePart(dialect="chat"):
                self._natives.append(part.raw)
            case NativePart():
                losses.append(
                    Loss(
                        part.at,
                        "answer",
                        f"only the {part.dialect} dialect knows a part of type '{part.kind}'",
                    )
                )
            case _:
                losses.append(
                    Loss(part.at, "answer", "an answer of the chat dialect has no place for such a part")
                )

    def _take_thoughts(self, part: Reasoning) -> None:
        if part.seal is not None:
            self._losses.append(Loss(part.at, "answer", SEAL))
        if part.content and part.summary:
            self._losses.append(Loss(part.at, "answer", SUMMARY))
        shown = part.content or part.summary
        if shown:
            name = thoughts_name(part)
            self._thoughts.setdefault(name, []).extend(shown)

    def fields(self) -> Json:
        """The message; `content` is null where nothing is said in it, and something elsewhere."""
        elsewhere = self._refusals or self._calls
        content: Any = "".join(self._texts) if self._texts or not elsewhere else None
        if len(self._natives) > len(self._texts) or any(len(each) > 2 for each in self._natives):
            content = [*self._natives]
        message: Json = {
            "role": "assistant",
            "content": content,
            "refusal": "".join(self._refusals) if self._refusals else None,
        }
        for name, paragraphs in self._thoughts.items():
            message[name] = PARAGRAPHS.join(paragraphs)
        if self._annotations:
            message["annotations"] = self._annotations
        if self._calls:
            message["tool_calls"] = self._calls
        return message


def _text_part(part: Text) -> Json:
    encoded: Json = {"type": "text", "text": part.text}
    restore(part.extras, encoded, dialect="chat")
    return encoded


def thoughts_name(part: Reasoning) -> str:
    """The field for thoughts: the one that they came in, else the one that most clients read."""
    name = part.at.rpartition(".")[2]
    return name if name in THOUGHTS else THOUGHTS[0]
