"""Content parts of messages and of tools' outputs, both ways.

    input_text, input_image, input_file     what goes into a model; also what a tool's output holds
    output_text, refusal                    what an assistant said

A part that nobody here knows is native, and called `message.` and its type: so it is told apart from a native item.
Which item a part goes into is not decided here.
"""

from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    CacheHint,
    Extras,
    File,
    Image,
    Loss,
    NativePart,
    Refusal,
    Text,
)
from ingot.dialects.codecs.headings import lost_of_file
from ingot.dialects.codecs.leftovers import extras_of, restore, unknown
from ingot.dialects.codecs.responses.citations import decode_citations, encode_citations
from ingot.dialects.codecs.values import BASE64, cut_data_url, filename_of, text_of
from ingot.dialects.cuts import dump

Json = dict[str, Any]

BREAKPOINT: Final = "prompt_cache_breakpoint"
CONTENT: Final = "message."
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
_KNOWN: Final = {
    "text": frozenset({"type", "text", BREAKPOINT, "annotations"}),
    "refusal": frozenset({"type", "refusal", BREAKPOINT}),
    "input_image": frozenset({"type", "image_url", "file_id", "detail", BREAKPOINT}),
    "input_file": frozenset({"type", "file_data", "file_id", "file_url", "filename", BREAKPOINT}),
}


# --- decoding ---


def decode_content(content: Any, at: str, item: str | None) -> tuple[AnyPart, ...]:
    """The parts of a content or an output, `at` its field: a string, or a list of checked objects."""
    if type(content) is str:
        return (Text(content, at=at, item=item),)
    return tuple([decode_part(part, f"{at}[{index}]", item) for index, part in enumerate(content)])


def decode_part(part: Json, at: str, item: str | None) -> AnyPart:
    """One content part of a request."""
    kind = text_of(part.get("type"))
    if kind in _TEXTS and type(part.get("text")) is str:
        if len(part) == 2:
            return Text(part["text"], at=at, item=item)
        cache, extras = _common(part, "text")
        citations = decode_citations(part.get("annotations"))
        return Text(part["text"], citations, at=at, item=item, cache=cache, extras=extras)
    if kind == "refusal" and type(part.get("refusal")) is str:
        cache, extras = _common(part, "refusal")
        return Refusal(part["refusal"], at=at, item=item, cache=cache, extras=extras)
    if kind == "input_image" and _holds_texts(part, ("image_url", "file_id"), ("detail",)):
        return _decode_image(part, at, item)
    if kind == "input_file" and _holds_texts(part, ("file_data", "file_id", "file_url"), ("filename",)):
        return _decode_file(part, at, item)
    return NativePart("responses", f"{CONTENT}{kind or ''}", Raw(dump(part)), at=at, item=item)


def _holds_texts(part: Json, sources: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether a part has exactly one of its sources, and texts only."""
    told = [part[name] for name in (*sources, *others) if part.get(name) is not None]
    given = [name for name in sources if part.get(name) is not None]
    return len(given) == 1 and all(type(value) is str for value in told)


def _decode_image(part: Json, at: str, item: str | None) -> Image:
    cache, extras = _common(part, "input_image")
    media_type, data = cut_data_url(part.get("image_url"))
    detail = part.get("detail")
    return Image(
        data=data,
        media_type=media_type,
        url=part.get("image_url") if media_type is None else None,
        file_id=part.get("file_id"),
        # The default asks for nothing.
        detail=None if detail == "auto" else detail,
        at=at,
        item=item,
        cache=cache,
        extras=extras,
    )


def _decode_file(part: Json, at: str, item: str | None) -> File:
    cache, extras = _common(part, "input_file")
    media_type, data = cut_data_url(part.get("file_data"))
    return File(
        data=part.get("file_data") if media_type is None else data,
        media_type=media_type,
        url=part.get("file_url"),
        file_id=part.get("file_id"),
        filename=part.get("filename"),
        at=at,
        item=item,
        cache=cache,
        extras=extras,
    )


def _common(part: Json, kind: str) -> tuple[CacheHint | None, Extras | None]:
    """What any part may have: a cache breakpoint, and fields of which nothing is known."""
    fields = {name: raw for name, raw in unknown(part, _KNOWN[kind]) if part[name] != []}
    hint = None
    told = part.get(BREAKPOINT)
    if type(told) is dict and told.get("mode") == "explicit" and told.keys() <= {"mode", "ttl"}:
        hint = CacheHint(told.get("ttl"))
    elif told is not None:
        fields[BREAKPOINT] = Raw(dump(told))
    return hint, extras_of(fields, "responses")


# --- encoding ---


def encode_part(part: AnyPart, *, said: bool) -> Json | Raw | str:
    """The part as a content part; a sentence that says why there is none where it cannot be said.

    `said`: the assistant said it. The cache hint and extras are the caller's.
    """
    match part:
        case Text() if said:
            return {"type": "output_text", "text": part.text, "annotations": []}
        case Text():
            return {"type": "input_text", "text": part.text}
        case Refusal() if said:
            return {"type": "refusal", "refusal": part.text}
        case Refusal():
            return "only an assistant refuses in the responses dialect"
        case NativePart(dialect="responses"):
            return part.raw
        case NativePart():
            return f"only the {part.dialect} dialect knows a part of type '{part.kind}'"
        case Image() | File() if said:
            return "an assistant's message of the responses dialect holds no images and files"
        case Image():
            return _encode_image(part)
        case File():
            return _encode_file(part)
        case _:
            return f"the responses dialect has no content part for '{part.__struct_config__.tag}'"


def _encode_image(part: Image) -> Json:
    # Some servers refuse an image without it.
    encoded: Json = {"type": "input_image", "detail": part.detail or "auto"}
    if part.data is not None:
        encoded["image_url"] = f"data:{part.media_type or 'image/png'}{BASE64}{part.data}"
    elif part.url is not None:
        encoded["image_url"] = part.url
    else:
        encoded["file_id"] = part.file_id
    return encoded


def _encode_file(part: File) -> Json:
    if part.text is not None:
        # Every target can read text; a file of it only few.
        return {"type": "input_text", "text": part.text}
    encoded: Json = {"type": "input_file"}
    name = filename_of(part)
    if name is not None:
        encoded["filename"] = name
    if part.data is not None:
        typed = part.media_type is not None
        encoded["file_data"] = f"data:{part.media_type}{BASE64}{part.data}" if typed else part.data
    elif part.url is not None:
        encoded["file_url"] = part.url
    else:
        encoded["file_id"] = part.file_id
    return encoded


def finish_part(part: AnyPart, encoded: Json | Raw, path: str, losses: list[Loss], *, hints: bool) -> None:
    """Puts to an encoded part what belongs to it: citations, the cache breakpoint and unknown fields of its own.

    `hints`: its breakpoint is one of OpenAI's, which are told.
    """
    if isinstance(encoded, Raw):
        return
    if isinstance(part, Text) and part.citations:
        if encoded["type"] == "output_text":
            encoded["annotations"] = encode_citations(
                part.citations, losses, path=path, length=len(part.text)
            )
        else:
            losses.append(
                Loss(
                    path,
                    "earlier_answer",
                    "its citations: an input of the responses dialect has no place for them",
                )
            )
    if isinstance(part, File):
        losses += lost_of_file(part, "responses", at=path)
    if part.cache is not None and hints:
        ttl = part.cache.ttl
        encoded[BREAKPOINT] = {"mode": "explicit"} if ttl is None else {"mode": "explicit", "ttl": ttl}
    elif part.cache is not None:
        reason = "the cache breakpoint: targets of the responses dialect decide themselves what they cache"
        losses.append(Loss(path, "cache_breakpoint", reason))
    restore(part.extras, encoded, dialect="responses")
