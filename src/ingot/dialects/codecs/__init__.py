"""The codecs: each dialect's way into the canonical form and out of it, one package a dialect; and which one a target needs.

Decides what a target is spoken to in where it does not speak the client's dialect. Refuses to know routes and sockets.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from msgspec import Struct

from ingot.catalog import Target
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.messages import MESSAGES_CODEC, MESSAGES_CODECS
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.dialect import Dialect
from ingot.dialects.messages import MESSAGES, OLDER
from ingot.dialects.responses import RESPONSES

VERSION: Final = "anthropic-version"


class Wire(Struct, frozen=True):
    """How a target is spoken to: in which dialect, through which codec, and with which headers of ours."""

    dialect: Dialect
    codec: Codec
    headers: tuple[tuple[str, str], ...] = ()


CODECS: Final[Mapping[str, Codec]] = MappingProxyType(
    {"chat": CHAT_CODEC, "responses": RESPONSES_CODEC, "messages": MESSAGES_CODEC}
)
"""By the dialect's name. Of several that a target speaks the first here is taken."""

_CHAT: Final = Wire(CHAT, CHAT_CODEC)
_RESPONSES: Final = Wire(RESPONSES, RESPONSES_CODEC)
_MESSAGES: Final[dict[str, Wire]] = {
    version: Wire(MESSAGES, codec, headers=((VERSION, version),))
    for version, codec in MESSAGES_CODECS.items()
}


def wire_of(target: Target) -> Wire | None:
    """How to speak to a target through the canonical form; None where it speaks no dialect that has one.

    A target's own header `anthropic-version` says which version it is asked in.
    """
    if "chat" in target.dialects:
        return _CHAT
    if "responses" in target.dialects:
        return _RESPONSES
    if "messages" not in target.dialects:
        return None
    told = next((value for name, value in target.headers if name.lower() == VERSION), "")
    for version, wire in _MESSAGES.items():
        if version == told:
            return wire
    return _MESSAGES[OLDER]
