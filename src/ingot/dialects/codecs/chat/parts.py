"""Content parts of chat messages, both ways.

Decides what a content part of `chat` is in the canonical form, and what of a canonical part `chat` can say where.
Which message a part goes into is not decided here.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    Audio,
    CacheHint,
    Extras,
    File,
    Image,
    Loss,
    NativePart,
    Refusal,
    Text,
    lost_extras,
)
from ingot.dialects.codecs.headings import lost_of_file
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.values import BASE64, cut_data_url, filename_of
from ingot.dialects.cuts import dump

Json = dict[str, Any]

BREAKPOINT: Final = "prompt_cache_breakpoint"
_TEXT: Final = frozenset({"type", "text", BREAKPOINT})
_REFUSAL: Final = frozenset({"type", "refusal", BREAKPOINT})
_HOLDER: Final = frozenset({"type", BREAKPOINT})


# --- decoding ---


def decode_content(content: Any) -> tuple[AnyPart, ...]:
    """The parts of a message's content: a string, a list of parts, or nothing."""
    if type(content) is str:
        return (Text(content, at="content"),)
    if not content:
        return ()
    listed = content if type(content) is list else [content]
    return tuple([_decode_part(part, f"content[{index}]") for index, part in enumerate(listed)])


def _decode_part(part: Any, at: str) -> AnyPart:
    kind = part.get("type") if type(part) is dict else None
    if kind == "text" and type(part.get("text")) is str:
        if len(part) == 2:
            return Text(part["text"], at=at)
        cache, extras = _common(part, _TEXT)
        return Text(part["text"], at=at, cache=cache, extras=extras)
    if kind == "refusal" and type(part.get("refusal")) is str:
        cache, extras = _common(part, _REFUSAL)
        return Refusal(part["refusal"], at=at, cache=cache, extras=extras)
    if type(kind) is str and kind in _MEDIA and _is_readable(part.get(kind), kind):
        return _decode_media(part, kind, at=at)
    return NativePart("chat", kind if type(kind) is str else "", Raw(dump(part)), at=at)


_MEDIA: Final = {
    "image_url": frozenset({"url", "detail"}),
    "input_audio": frozenset({"data", "format"}),
    "file": frozenset({"file_data", "file_id", "filename"}),
}


def _is_readable(held: Any, kind: str) -> bool:
    """Whether an object of a media part holds texts; in a checked request it does, in an answer nobody knows."""
    if type(held) is not dict:
        return False
    known = _MEDIA[kind]
    told = [held[name] for name in known if held.get(name) is not None]
    return all(type(value) is str for value in told) and (kind == "file" or _NEEDED[kind] <= held.keys())


_NEEDED: Final = {"image_url": frozenset({"url"}), "input_audio": frozenset({"data", "format"})}


def _decode_media(part: Json, kind: str, *, at: str) -> AnyPart:
    held = part[kind]
    cache, extras = _common(part, _HOLDER | {kind}, held=held, holder=kind)
    match kind:
        case "image_url":
            media_type, data = cut_data_url(held["url"])
            url = held["url"] if media_type is None else None
            return Image(
                data=data,
                media_type=media_type,
                url=url,
                detail=held.get("detail"),
                at=at,
                cache=cache,
                extras=extras,
            )
        case "input_audio":
            return Audio(held["data"], held["format"], at=at, cache=cache, extras=extras)
        case _:
            media_type, data = cut_data_url(held.get("file_data"))
            return File(
                data=data if media_type else held.get("file_data"),
                media_type=media_type,
                file_id=held.get("file_id"),
                filename=held.get("filename"),
                at=at,
                cache=cache,
                extras=extras,
            )


def _common(
    part: Json, known: frozenset[str], *, held: Mapping[str, Any] | None = None, holder: str = ""
) -> tuple[CacheHint | None, Extras | None]:
    """What any part may have: a cache breakpoint, and fields of which nothing is known, also in the object it holds."""
    fields = dict(unknown(part, known, nulls=True))
    if held is not None:
        fields.update(unknown(held, _MEDIA[holder], inside=holder, nulls=True))
    hint = None
    told = part.get(BREAKPOINT)
    if type(told) is dict and told.get("mode") == "explicit" and told.keys() <= {"mode", "ttl"}:
        hint = CacheHint(told.get("ttl"))
    elif told is not None:
        fields[BREAKPOINT] = Raw(dump(told))
    return hint, extras_of(fields, "chat")


# --- encoding ---


def encode_part(part: AnyPart) -> Json | Raw | str:
    """The part as a content part of `chat`; a sentence that says why there is none where it cannot be said.

    The cache hint and extras are the caller's.
    """
    match part:
        case Text():
            return {"type": "text", "text": part.text}
        case Refusal():
            return {"type": "refusal", "refusal": part.text}
        case Image():
            return _encode_image(part)
        case Audio():
            return {"type": "input_audio", "input_audio": {"data": part.data, "format": part.format}}
        case File():
            return _encode_file(part)
        case NativePart(dialect="chat"):
            return part.raw
        case NativePart():
            return f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
        case _:
            return f"a part of type '{part.__struct_config__.tag}' cannot stand here in the chat dialect"


def _encode_image(part: Image) -> Json | str:
    if part.data is not None:
        url = f"data:{part.media_type or 'image/png'}{BASE64}{part.data}"
    elif part.url is not None:
        url = part.url
    else:
        return "the chat dialect takes images as data or by URL, not by the id of a file"
    held = {"url": url} if part.detail is None else {"url": url, "detail": part.detail}
    return {"type": "image_url", "image_url": held}


def _encode_file(part: File) -> Json | str:
    if part.text is not None:
        # Every target can read text; a file of it only few.
        return {"type": "text", "text": part.text}
    if part.data is None and part.file_id is None:
        return "the chat dialect takes files as data or by id, not by URL"
    held: Json = {}
    name = filename_of(part)
    if name is not None:
        held["filename"] = name
    if part.data is not None:
        held["file_data"] = (
            part.data if part.media_type is None else f"data:{part.media_type}{BASE64}{part.data}"
        )
    if part.file_id is not None:
        held["file_id"] = part.file_id
    return {"type": "file", "file": held}


def lost_of(part: AnyPart, path: str, *, hints: bool) -> Iterator[Loss]:
    """What an encoded part does not say; `hints`: its cache breakpoint is one of OpenAI's, which are told."""
    yield from lost_extras(part.extras, "chat", at=path)
    if part.cache is not None and not hints:
        yield Loss(
            path,
            "cache_breakpoint",
            "the cache breakpoint: targets of the chat dialect decide themselves what they cache",
        )
    match part:
        case Text(citations=(_, *_)):
            yield Loss(
                path, "earlier_answer", "its citations: a message of a chat request has no place for them"
            )
        case File():
            yield from lost_of_file(part, "chat", at=path)
        case _:
            pass


def finish_part(part: AnyPart, encoded: Json | Raw, *, hints: bool) -> Json | Raw:
    """The encoded part with what belongs to it: the cache breakpoint of OpenAI's, and unknown fields of its own."""
    if isinstance(encoded, Raw):
        return encoded
    if part.cache is not None and hints:
        ttl = part.cache.ttl
        encoded[BREAKPOINT] = {"mode": "explicit"} if ttl is None else {"mode": "explicit", "ttl": ttl}
    if part.extras is not None:
        restore(part.extras, encoded, dialect="chat")
    return encoded
