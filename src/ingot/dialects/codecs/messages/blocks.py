"""Content blocks of messages as canonical parts, for requests and answers alike.

    text - image - document - tool_use - tool_result - thinking - redacted_thinking    what others know too
    anything else, or of a shape that is not known                                      NativePart, whole

Decides what a block means. Which block may stand where is not decided here.
"""

from collections.abc import Callable
from typing import Any, Final

from msgspec import Raw

from ingot.canonical import (
    AnyPart,
    CacheHint,
    Citation,
    Extras,
    File,
    Image,
    NativePart,
    Origin,
    Reasoning,
    Seal,
    Text,
    ToolCall,
    ToolResult,
)
from ingot.dialects.codecs.leftovers import extras_of, unknown
from ingot.dialects.cuts import dump, mend

Json = dict[str, Any]

CACHE: Final = "cache_control"
_TEXT: Final = frozenset({"type", "text", "citations", CACHE})
_IMAGE: Final = frozenset({"type", "source", CACHE})
_DOCUMENT: Final = frozenset({"type", "source", "title", "context", "citations", CACHE})
_CALL: Final = frozenset({"type", "id", "name", "input", CACHE})
_RESULT: Final = frozenset({"type", "tool_use_id", "content", "is_error", CACHE})
_THINKING: Final = frozenset({"type", "thinking", "signature"})
_REDACTED: Final = frozenset({"type", "data"})

# What each kind of source must hold, all of it text.
_SOURCES: Final = {
    "base64": frozenset({"media_type", "data"}),
    "text": frozenset({"media_type", "data"}),
    "url": frozenset({"url"}),
    "file": frozenset({"file_id"}),
}
# The model itself called the tool, which is what all do where nothing is said.
_DIRECT: Final = {"type": "direct"}


def decode_blocks(blocks: list[Json], origin: Origin, *, at: str = "content") -> tuple[AnyPart, ...]:
    """The parts of a list of blocks that stands at `at`."""
    return tuple([decode_block(block, origin, at=f"{at}[{index}]") for index, block in enumerate(blocks)])


def decode_block(block: Json, origin: Origin, *, at: str = "") -> AnyPart:
    """The part that a block says."""
    kind = block.get("type")
    reader = _READERS.get(kind) if type(kind) is str else None
    part = None if reader is None else reader(block, origin, at)
    return native(block, at=at) if part is None else part


def native(block: Json, *, at: str = "") -> NativePart:
    """A block that nobody else knows."""
    kind = block.get("type")
    return NativePart("messages", kind if type(kind) is str else "", Raw(dump(block)), at=at)


def is_blocks(content: Any) -> bool:
    """Whether it is a list of objects."""
    return type(content) is list and all(type(block) is dict for block in content)


def _text(block: Json, _: Origin, at: str) -> AnyPart | None:
    text, citations = block.get("text"), block.get("citations")
    if type(text) is not str or not (citations is None or is_blocks(citations)):
        return None
    if len(block) == 2:
        return Text(text, at=at)
    cited = tuple([decode_citation(each) for each in citations or ()])
    return Text(text, cited, at=at, cache=decode_hint(block), extras=_extras(block, _TEXT))


def _image(block: Json, _: Origin, at: str) -> AnyPart | None:
    source = _source(block)
    if source is None or source["type"] == "text":
        return None
    return Image(
        data=source.get("data"),
        media_type=source.get("media_type"),
        url=source.get("url"),
        file_id=source.get("file_id"),
        at=at,
        cache=decode_hint(block),
        extras=_extras(block, _IMAGE, inside="source", known_inside=_SOURCES[source["type"]] | {"type"}),
    )


def _document(block: Json, _: Origin, at: str) -> AnyPart | None:
    source = _source(block)
    told = block.get("citations")
    citations = told.get("enabled") if type(told) is dict else None
    title, context = block.get("title"), block.get("context")
    if source is None or (told is not None and (type(citations) is not bool or len(told) > 1)):
        return None
    if not all(each is None or type(each) is str for each in (title, context)):
        return None
    is_text = source["type"] == "text"
    # A text's type is always the same one, so that it says nothing.
    if is_text and source["media_type"] != "text/plain":
        return None
    return File(
        data=None if is_text else source.get("data"),
        media_type=None if is_text else source.get("media_type"),
        text=source["data"] if is_text else None,
        url=source.get("url"),
        file_id=source.get("file_id"),
        title=title,
        context=context,
        citations=citations,
        at=at,
        cache=decode_hint(block),
        extras=_extras(block, _DOCUMENT, inside="source", known_inside=_SOURCES[source["type"]] | {"type"}),
    )


def _source(block: Json) -> Json | None:
    """The source of an image or a document; None where it is not of a kind that other dialects have."""
    source = block.get("source")
    if type(source) is not dict:
        return None
    kind = source.get("type")
    needed = _SOURCES.get(kind) if type(kind) is str else None
    if needed is None or any(type(source.get(name)) is not str for name in needed):
        return None
    return source


def _call(block: Json, _: Origin, at: str) -> AnyPart | None:
    call_id, name, told = block.get("id"), block.get("name"), block.get("input")
    if type(call_id) is not str or type(name) is not str or type(told) is not dict:
        return None
    return ToolCall(
        call_id,
        name,
        dump(told).decode(),
        at=at,
        cache=decode_hint(block),
        extras=call_extras(block),
    )


def call_extras(block: Json) -> Extras | None:
    """What a call says beside itself."""
    if len(block) == 4:
        return None
    fields = dict(unknown(block, _CALL))
    if block.get("caller") == _DIRECT:
        del fields["caller"]
    fields.update(_odd_hint(block))
    return extras_of(fields, "messages")


def _result(block: Json, origin: Origin, at: str) -> AnyPart | None:
    call_id, content, failed = block.get("tool_use_id"), block.get("content"), block.get("is_error")
    if type(call_id) is not str or not (failed is None or type(failed) is bool):
        return None
    if type(content) is str:
        parts: tuple[AnyPart, ...] = (Text(content, at="content"),)
    elif content is None or is_blocks(content):
        parts = decode_blocks(content or [], origin)
    else:
        return None
    return ToolResult(call_id, parts, failed, at=at, cache=decode_hint(block), extras=_extras(block, _RESULT))


def _thinking(block: Json, origin: Origin, at: str) -> AnyPart | None:
    told, signature = block.get("thinking"), block.get("signature")
    if type(told) is not str or not (signature is None or type(signature) is str):
        return None
    return Reasoning(
        origin,
        (told,) if told else (),
        seal=Seal("signature", signature) if signature else None,
        at=at,
        extras=_extras(block, _THINKING),
    )


def _redacted(block: Json, origin: Origin, at: str) -> AnyPart | None:
    data = block.get("data")
    if type(data) is not str:
        return None
    return Reasoning(origin, seal=Seal("redacted", data), at=at, extras=_extras(block, _REDACTED))


_READERS: Final[dict[str, Callable[[Json, Origin, str], AnyPart | None]]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "tool_use": _call,
    "tool_result": _result,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}


# --- what blocks have in common ---


def text_extras(block: Json) -> Extras | None:
    """What a text says beside itself."""
    return _extras(block, _TEXT)


def thinking_extras(block: Json) -> Extras | None:
    """What thinking says beside itself."""
    return _extras(block, _THINKING)


def _extras(
    block: Json, known: frozenset[str], *, inside: str = "", known_inside: frozenset[str] = frozenset()
) -> Extras | None:
    fields = {} if block.keys() <= known else dict(unknown(block, known))
    if inside:
        fields.update(unknown(block[inside], known_inside, inside=inside))
    if CACHE in known:
        fields.update(_odd_hint(block))
    return extras_of(fields, "messages")


def decode_hint(holder: Json) -> CacheHint | None:
    """The cache breakpoint of a block, a tool or a request."""
    told = holder.get(CACHE)
    return CacheHint(told.get("ttl")) if type(told) is dict and _is_hint(told) else None


def _is_hint(told: Any) -> bool:
    return (
        type(told) is dict
        and told.get("type") == "ephemeral"
        and told.keys() <= {"type", "ttl"}
        and (told.get("ttl") is None or type(told["ttl"]) is str)
    )


def _odd_hint(holder: Json) -> dict[str, Raw]:
    """A cache breakpoint of a kind that nobody here knows."""
    told = holder.get(CACHE)
    return {} if told is None or _is_hint(told) else {CACHE: Raw(dump(told))}


def decode_citation(citation: Json) -> Citation:
    """A citation; places count in the document that is cited here, so that others cannot use them."""
    kind = citation.get("type")
    url = citation.get("url") if kind == "web_search_result_location" else None
    source = citation.get("source") if kind == "search_result_location" else None
    if type(source) is str and source.startswith(("https://", "http://")):
        url = source
    title = citation.get("title", citation.get("document_title"))
    return Citation(
        "messages",
        Raw(dump(citation)),
        url=_told(url),
        title=_told(title),
        quote=_told(citation.get("cited_text")),
        file_id=_told(citation.get("file_id")),
    )


def _told(value: Any) -> str | None:
    return mend(value) if type(value) is str else None
