"""Canonical parts as content blocks of messages, for requests and answers alike.

Decides what of a part this dialect can say. Which message a block goes into is not decided here.
"""

import base64
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    CacheHint,
    Citation,
    File,
    Image,
    Loss,
    NativePart,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    lost_extras,
    where,
)
from ingot.dialects.codecs.leftovers import restore
from ingot.dialects.codecs.messages.blocks import CACHE

Json = dict[str, Any]

PARAGRAPHS: Final = "\n\n"
NO_OBJECT: Final = "its arguments are no JSON object: they are sent as the text of a member 'input' of one"
ENCRYPTED: Final = "its seal: the messages dialect has no place for encrypted reasoning"
SUMMARY: Final = "its summary: the messages dialect has one place for thoughts"
_PDF: Final = "application/pdf"
# The beginning of every PDF in base64.
_PDF_DATA: Final = "JVBERi"
_TTLS: Final = frozenset({"5m", "1h"})
_ID: Final = re.compile(r"[a-zA-Z0-9_-]+")

_decode = msgspec.json.Decoder().decode


def encode_part(part: AnyPart) -> Json | Raw | str:
    """The block that says a part; a sentence that says why there is none where it cannot be said.

    The cache breakpoint, citations and unknown fields are the matter of `finish_block`.
    """
    match part:
        case Text() | Refusal():
            return {"type": "text", "text": part.text}
        case Image():
            return _encode_image(part)
        case File():
            return _encode_file(part)
        case ToolCall():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": encode_input(part)[0]}
        case Reasoning():
            return _encode_reasoning(part)
        case NativePart(dialect="messages"):
            return part.raw
        case NativePart():
            return f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
        case _:
            return f"the messages dialect has no block for a part of type '{part.__struct_config__.tag}'"


def _encode_image(part: Image) -> Json | str:
    if part.data is not None:
        media_type = part.media_type or "image/png"
        return {
            "type": "image",
            "source": {"type": "base64", "media_type": media_type, "data": part.data},
        }
    if part.url is not None:
        if part.url.startswith("data:"):
            return "the messages dialect takes images as base64 with a media type, not by such a data URL"
        return {"type": "image", "source": {"type": "url", "url": part.url}}
    return {"type": "image", "source": {"type": "file", "file_id": part.file_id}}


def _encode_file(part: File) -> Json | str:
    source = _source(part)
    if isinstance(source, str):
        return source
    block: Json = {"type": "document", "source": source}
    title = part.title if part.title is not None else part.filename
    if title is not None:
        block["title"] = title
    if part.context is not None:
        block["context"] = part.context
    if part.citations is not None:
        block["citations"] = {"enabled": part.citations}
    return block


def _source(part: File) -> Json | str:
    if part.text is not None:
        return {"type": "text", "media_type": "text/plain", "data": part.text}
    if part.url is not None:
        return {"type": "url", "url": part.url}
    if part.file_id is not None:
        return {"type": "file", "file_id": part.file_id}
    data = part.data or ""
    media_type = part.media_type or (_PDF if data.startswith(_PDF_DATA) else None)
    if media_type is not None and media_type.startswith("text/"):
        return _text_source(data)
    if media_type != _PDF:
        return f"the messages dialect takes documents as PDF or as text, not as {media_type or 'data of an unknown type'}"
    return {"type": "base64", "media_type": _PDF, "data": data}


def _text_source(data: str) -> Json | str:
    try:
        told = base64.b64decode(data, validate=True).decode()
    except ValueError:
        return "its data is no UTF-8 text in base64"
    return {"type": "text", "media_type": "text/plain", "data": told}


def _encode_reasoning(part: Reasoning) -> Json:
    if part.seal is not None and part.seal.kind == "redacted":
        return {"type": "redacted_thinking", "data": part.seal.data}
    signed = part.seal is not None and part.seal.kind == "signature"
    return {
        "type": "thinking",
        "thinking": PARAGRAPHS.join(part.content or part.summary),
        # Always there for clients; an empty one is none, for none is ever made up.
        "signature": part.seal.data if signed and part.seal is not None else "",
    }


def encode_input(call: ToolCall) -> tuple[Json | Raw, bool]:
    """The object that a call is made with, and whether it says all: what is no JSON object becomes a member of one."""
    text = call.arguments
    if call.kind == "function":
        if not text.strip():
            return {}, True
        if is_object(text):
            return Raw(text.encode()), True
    return {"input": text}, False


def is_object(text: str) -> bool:
    """Whether a text is a JSON object."""
    try:
        return type(_decode(text)) is dict
    except (ValueError, RecursionError):
        return False


def call_id(told: str) -> str:
    """An id of another dialect's call in the letters that this one allows; equal ids stay equal, others different."""
    if _ID.fullmatch(told):
        return told
    return "".join([each if _ID.fullmatch(each) else f"_{ord(each):x}_" for each in told]) or "_"


def lost_of(part: AnyPart, path: str, place: Callable[[str], str] = str) -> Iterator[Loss]:
    """What an encoded part does not say, each at its `place` in the client's; its citations are the caller's matter."""
    yield from lost_extras(part.extras, "messages", at=path)
    match part:
        case Refusal():
            yield Loss(path, "earlier_answer", "that it is a refusal: the messages dialect has text only")
        case Image(detail=str() as detail) if detail != "auto":
            yield Loss(
                where(path, place("detail")),
                "detail",
                "the messages dialect does not ask for a level of detail",
            )
        case File(title=str(), filename=str()):
            yield Loss(
                where(path, place("filename")),
                "filename",
                "the messages dialect has one place for it and for the title",
            )
        case ToolCall() if not encode_input(part)[1]:
            yield Loss(path, "earlier_answer", NO_OBJECT)
        case Reasoning():
            yield from _lost_of_reasoning(part, path)
        case _:
            pass


def _lost_of_reasoning(part: Reasoning, path: str) -> Iterator[Loss]:
    if part.seal is not None and part.seal.kind == "encrypted":
        yield Loss(path, "thoughts", ENCRYPTED)
    if part.content and part.summary:
        yield Loss(path, "thoughts", SUMMARY)
    if part.seal is not None and part.seal.kind == "redacted" and (part.content or part.summary):
        yield Loss(path, "thoughts", "its text: redacted thinking of the messages dialect has none")


def finish_block(part: AnyPart, block: Json | Raw, losses: list[Loss], *, path: str) -> Json | Raw:
    """The block with what belongs to it: the cache breakpoint, citations and unknown fields."""
    if isinstance(block, Raw):
        return block
    if part.cache is not None:
        block[CACHE] = encode_hint(part.cache, losses, path=path)
    if isinstance(part, Text) and part.citations:
        cited = encode_citations(part.citations, losses, path=path)
        if cited:
            block["citations"] = cited
    if part.extras is not None:
        restore(part.extras, block, dialect="messages")
    return block


def encode_citations(citations: tuple[Citation, ...], losses: list[Loss], *, path: str) -> list[Raw]:
    """The citations that came in this dialect: those of others lack what each kind of citation must have here."""
    cited = [citation.raw for citation in citations if citation.dialect == "messages"]
    if len(cited) < len(citations):
        reason = "a citation of another dialect: the messages dialect cites only what it was given"
        losses.append(Loss(path, "earlier_answer", reason))
    return cited


def encode_hint(hint: CacheHint, losses: list[Loss], *, path: str) -> Json:
    """A cache breakpoint; other times to live than this dialect's become its longer one."""
    if hint.ttl is None:
        return {"type": "ephemeral"}
    if hint.ttl in _TTLS:
        return {"type": "ephemeral", "ttl": hint.ttl}
    reason = f"a cache breakpoint of the messages dialect lives 5m or 1h, not {hint.ttl}"
    losses.append(Loss(path, "cache_breakpoint", reason))
    return {"type": "ephemeral", "ttl": "1h"}
