"""Output items of a response, both ways.

    message         its content parts, which share the item's id; what else it holds goes with the first of them
    function_call, custom_tool_call, reasoning      a part each
    anything else   native, whole

The status of an item says no more than the response's, and is written anew. Targets write what they like: an item that
lacks what it needs stays raw. Ids are the target's, or made of the answer's id and the item's place: the same whether
streamed or not. Knows nothing of streams and of the response around its items.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    Extras,
    Logprobs,
    Loss,
    NativePart,
    Origin,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    lost_extras,
    where,
)
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.responses.citations import encode_citations
from ingot.dialects.codecs.responses.items import (
    KNOWN_CALL,
    KNOWN_MESSAGE,
    KNOWN_REASONING,
    reasoning_of,
)
from ingot.dialects.codecs.responses.parts import CONTENT, decode_part, encode_part
from ingot.dialects.codecs.responses.writer import is_sealed, reasoning_item
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import dump

Json = dict[str, Any]

# What a message holds beside its content is kept under this name with its first part.
ITEM: Final = "item"
CALLS: Final = {"function_call": "arguments", "custom_tool_call": "input"}
SEAL: Final = "its seal: the responses dialect passes on only its own"
NO_LOGPROBS: Final = "log probabilities of a refusal: the responses dialect has no place for them"
_PREFIXES: Final = {"function": "fc", "custom": "ctc"}


# --- decoding ---


def decode_output(items: list[Any], origin: Origin) -> tuple[tuple[AnyPart, ...], tuple[Logprobs, ...]]:
    """The parts that the items are, and the log probabilities of their texts."""
    parts: list[AnyPart] = []
    runs: list[Logprobs] = []
    for index, item in enumerate(items):
        at = f"output[{index}]"
        if is_message(item):
            for part, tokens in decode_message(item, at):
                if tokens:
                    runs.append(Logprobs(tokens=tokens, part=len(parts)))
                parts.append(part)
        else:
            parts.append(decode_item(item, origin, at))
    return tuple(parts), tuple(runs)


def is_message(item: Any) -> bool:
    """Whether an item is a message whose content can be read."""
    if type(item) is not dict or item.get("type") != "message":
        return False
    content = item.get("content")
    return type(content) is list and all(type(part) is dict for part in content)


def decode_message(item: Json, at: str) -> Iterator[tuple[AnyPart, tuple[Raw, ...]]]:
    """The parts of a message, each with the log probabilities of its tokens."""
    fields = item_fields(item)
    for index, part in enumerate(item["content"]):
        decoded, tokens = decode_said(part, where(at, f"content[{index}]"), text_of(item.get("id")))
        if fields:
            decoded = with_fields(decoded, fields)
            fields = {}
        yield decoded, tokens


def decode_said(part: Json, at: str, item: str | None) -> tuple[AnyPart, tuple[Raw, ...]]:
    """A content part, and the log probabilities of its tokens."""
    if part.get("type") != "output_text":
        return decode_part(part, at, item), ()
    plain = {name: held for name, held in part.items() if name != "logprobs"}
    return decode_part(plain, at, item), raw_tokens(part.get("logprobs"))


def raw_tokens(tokens: Any) -> tuple[Raw, ...]:
    """Log probabilities, each as it is."""
    return tuple([Raw(dump(token)) for token in tokens]) if type(tokens) is list else ()


def item_fields(item: Json) -> dict[str, Raw]:
    """What a message holds that nobody here knows."""
    return dict(unknown(item, KNOWN_MESSAGE, inside=ITEM))


def with_fields(part: AnyPart, fields: dict[str, Raw]) -> AnyPart:
    """The part with these further extras."""
    known = {} if part.extras is None else part.extras.fields
    return msgspec.structs.replace(part, extras=extras_of({**known, **fields}, "responses"))


def decode_item(item: Any, origin: Origin, at: str) -> AnyPart:
    """The part that an item other than a message is."""
    kind = text_of(item.get("type")) if type(item) is dict else None
    part: AnyPart | None = None
    if kind in CALLS:
        part = decode_call(item, at)
    elif kind == "reasoning":
        part = reasoning_of(item, origin, dict(unknown(item, KNOWN_REASONING)), at=at)
    return NativePart("responses", kind or "", Raw(dump(item)), at=at) if part is None else part


def decode_call(item: Json, at: str) -> ToolCall | None:
    """A tool call; None where it has no name. Its arguments are text, also where a server made them an object."""
    kind = item["type"]
    item_id, name, told = text_of(item.get("id")), text_of(item.get("name")), item.get(CALLS[kind])
    call_id = text_of(item.get("call_id")) or item_id
    if not name or not call_id:
        return None
    return ToolCall(
        call_id,
        name,
        told if type(told) is str else "" if told is None else dump(told).decode(),
        "custom" if kind == "custom_tool_call" else "function",
        at=at,
        item=item_id,
        extras=extras_of(dict(unknown(item, KNOWN_CALL)), "responses"),
    )


# --- encoding ---


def item_id(reply_id: str, prefix: str, index: int) -> str:
    """The id of an item that has none, by its place in the answer of this id."""
    return f"{prefix}_{reply_id.partition('_')[2] or reply_id}{index:04x}"


def message_item(name: str, content: list[Any], status: str, extras: Extras | None = None) -> Json:
    """A message of the answer; `extras` are those of its first part."""
    item: Json = {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}
    if extras is not None and extras.dialect == "responses":
        head = f"{ITEM}."
        for field, raw in extras.fields.items():
            if field.startswith(head):
                item.setdefault(field.removeprefix(head), raw)
    return item


def content_part(
    part: AnyPart, tokens: list[Any], losses: list[Loss], *, cited: bool = True
) -> Json | Raw | None:
    """A content part of an answer's message; None where there is no place for it, which is a loss."""
    encoded = encode_part(part, said=True)
    if isinstance(encoded, str):
        losses.append(Loss(part.at, "answer", encoded))
        return None
    losses += lost_extras(part.extras, "responses", at=part.at)
    if isinstance(encoded, Raw):
        return encoded
    if isinstance(part, Text):
        if cited and part.citations:
            length = len(part.text)
            encoded["annotations"] = encode_citations(part.citations, losses, path=part.at, length=length)
        encoded["logprobs"] = tokens
    if part.extras is not None and part.extras.dialect == "responses":
        head = f"{ITEM}."
        own = {name: raw for name, raw in part.extras.fields.items() if not name.startswith(head)}
        restore(Extras("responses", own), encoded, dialect="responses")
    return encoded


def call_item(part: ToolCall, name: str, status: str) -> Json:
    """A tool call of the answer."""
    custom = part.kind == "custom"
    item: Json = {
        "id": name,
        "type": "custom_tool_call" if custom else "function_call",
        "status": status,
        "call_id": part.id,
        "name": part.name,
        "input" if custom else "arguments": part.arguments,
    }
    restore(part.extras, item, dialect="responses")
    return item


def thoughts_item(part: Reasoning, name: str) -> Json:
    """A reasoning item of the answer."""
    item = {"id": name, **reasoning_item(part)}
    restore(part.extras, item, dialect="responses")
    return item


def prefix_of(part: AnyPart) -> str:
    """The kind of an item's id."""
    if isinstance(part, ToolCall):
        return _PREFIXES[part.kind]
    return "rs" if isinstance(part, Reasoning) else "msg"


def is_in_message(part: AnyPart) -> bool:
    """Whether a part of an answer stands in a message."""
    if isinstance(part, NativePart):
        return part.dialect == "responses" and part.kind.startswith(CONTENT)
    return isinstance(part, Text | Refusal)


def lost_seal(part: Reasoning) -> Iterator[Loss]:
    """A seal that this dialect has no place for."""
    if part.seal is not None and not is_sealed(part):
        yield Loss(part.at, "answer", SEAL)


def says_nothing(part: AnyPart) -> bool:
    """Whether nothing is left of thoughts in this dialect: those that another one keeps secret."""
    hidden = isinstance(part, Reasoning) and part.origin.dialect != "responses"
    return hidden and not (part.content or part.summary or is_sealed(part))  # type: ignore[union-attr,arg-type]  # thoughts


def token_list(tokens: Iterable[Raw], *, native: bool) -> list[Any]:
    """Log probabilities for a client; those of another dialect get the fields that this one demands."""
    return [token if native else _token(msgspec.json.decode(token)) for token in tokens]


def _token(told: Json) -> Json:
    filled = {**told, "bytes": told.get("bytes") or []}
    filled["top_logprobs"] = [
        {**each, "bytes": each.get("bytes") or []} for each in told.get("top_logprobs") or ()
    ]
    return filled
