"""How much a request says to a model: bytes of UTF-8 of its text, and how many pictures, sounds and files it shows.

Decides which members of a body a model reads, whatever the dialect: words, thoughts, names and arguments of calls, results,
tools and schemas as the JSON that they are. What stands around them, ids and settings, is not read. Knows no tokens.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

TOKEN: Final = 4
"""Bytes that a token counts which the client has made itself, and sends as a number."""

_MEDIA: Final = frozenset(
    {
        "audio",
        "document",
        "file",
        "image",
        "image_url",
        "input_audio",
        "input_file",
        "input_image",
        "input_video",
        "video_url",
    }
)
# Told to nobody but the server: places, kinds, seals.
_SILENT: Final = frozenset(
    {
        "cache_control",
        "call_id",
        "encrypted_content",
        "id",
        "role",
        "signature",
        "status",
        "tool_call_id",
        "tool_use_id",
        "type",
    }
)
_encode: Final = msgspec.json.Encoder().encode


class Asked(Struct):
    """What a request says."""

    size: int = 0
    media: int = 0


def length_of_request(value: Mapping[str, Any]) -> Asked:
    """The text and the media of a body."""
    asked = Asked()
    for name, read in _READ.items():
        held = value.get(name)
        if held:
            read(asked, held)
    return asked


def _say(asked: Asked, said: Any) -> None:
    """Adds a text, a part, a message, or a list of them."""
    kind = type(said)
    if kind is str:
        asked.size += len(said) if said.isascii() else len(said.encode("utf-8", "replace"))
    elif kind is list:
        for each in said:
            _say(asked, each)
    elif kind is int:
        asked.size += TOKEN
    elif kind is dict:
        _say_members(asked, said)


def _say_members(asked: Asked, said: Mapping[str, Any]) -> None:
    told = said.get("type")
    if type(told) is str and told in _MEDIA:
        if not _is_text(said):
            asked.media += 1
            return
        said = said["source"]
    elif told == "tool_use" or "arguments" in said:
        # Arguments are JSON to the model too, as an object or as the text of one.
        _spell(asked, {name: each for name, each in said.items() if name in ("input", "arguments", "name")})
        return
    for name, each in said.items():
        if name not in _SILENT:
            _say(asked, each)


def _is_text(part: Mapping[str, Any]) -> bool:
    """Whether a document brings words: Anthropic's of plain text, and of content parts."""
    source = part.get("source")
    return type(source) is dict and source.get("type") in ("text", "content")


def _spell(asked: Asked, said: Any) -> None:
    """Adds what the model is shown as JSON."""
    asked.size += len(_encode(said))


_READ: Final[Mapping[str, Callable[[Asked, Any], None]]] = {
    "messages": _say,
    "system": _say,
    "instructions": _say,
    "input": _say,
    "prompt": _say,
    "suffix": _say,
    "tools": _spell,
    "functions": _spell,
    "response_format": _spell,
    "output_config": _spell,
    "text": _spell,
}
