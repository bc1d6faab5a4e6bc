"""One block of text in place of all blocks of a message: the texts together; what is not text is taken out.

    whole    [thinking, text "a", text "b"] ------> [text "ab"]
    stream   the first text's start, all deltas of texts as its own, and its stop before the message ends

Decides nothing about other fields; a message in which nothing is said has an empty text.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from ingot.sse import BETWEEN

Json = dict[str, Any]

_EMPTY: Final[Json] = {"type": "text", "text": ""}
_START: Final = "content_block_start"
_DELTA: Final = "content_block_delta"
_STOP: Final = "content_block_stop"

_blocks = msgspec.json.Decoder(list[msgspec.Raw])
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def joined(content: bytes) -> bytes:
    """A list of blocks as one of text; its very bytes where it is that already, and where it is no list."""
    if not content.startswith(b"["):
        return content
    old = [bytes(each) for each in _blocks.decode(content)]
    texts = [each for each in old if _is_text(_decode(each))]
    if len(texts) == 1:
        return content if len(old) == 1 else b"[" + texts[0] + b"]"
    blocks = [_decode(each) for each in texts]
    first = blocks[0] if blocks else _EMPTY
    whole = {**first, "text": "".join(_text(each) for each in blocks)}
    citations = [each for block in blocks for each in _citations(block)]
    return _encode([{**whole, "citations": citations} if citations else whole])


class OneText:
    """One stream; `ruled` is what is done to each event after."""

    __slots__ = ("_begun", "_ended", "_ruled", "_texts")

    def __init__(self, ruled: Callable[[bytes], bytes | None]) -> None:
        self._ruled = ruled
        self._texts: set[int] = set()
        self._begun = False
        self._ended = False

    def feed(self, data: bytes) -> bytes | None:
        """What goes on of one event; its very bytes where nothing changes, several joined by `sse.BETWEEN`."""
        try:
            event = _decode(data)
        except msgspec.DecodeError:
            return data  # not ours to mend: the client sees what the upstream wrote
        if type(event) is not dict:
            return data
        match event.get("type"):
            case "content_block_start":
                given = self._start(data, event)
            case "content_block_delta":
                given = self._go_on(data, event)
            case "content_block_stop":
                given = []  # it is told once no text can follow
            case "message_delta" | "message_stop" if not self._ended:
                given = [*self._close(), data]
            case _:
                given = [data]
        told = [ruled for each in given if (ruled := self._ruled(each)) is not None]
        if len(told) == 1:
            return told[0]
        return BETWEEN.join(told) if told else None

    def end(self) -> bytes | None:
        """Nothing was held back: a message that has not ended has no whole block."""
        return None

    def _start(self, data: bytes, event: Json) -> list[bytes]:
        block = event.get("content_block")
        if not _is_text(block):
            return []
        self._texts.add(_index(event))
        if not self._begun:
            self._begun = True
            return [data if _index(event) == 0 else _encode({**event, "index": 0})]
        told: list[Json] = [{"type": "text_delta", "text": _text(block)}] if _text(block) else []
        told += [{"type": "citations_delta", "citation": each} for each in _citations(block)]
        return [_encode({"type": _DELTA, "index": 0, "delta": each}) for each in told]

    def _go_on(self, data: bytes, event: Json) -> list[bytes]:
        if _index(event) not in self._texts:
            return []
        return [data if _index(event) == 0 else _encode({**event, "index": 0})]

    def _close(self) -> list[bytes]:
        self._ended = True
        told = [] if self._begun else [_encode({"type": _START, "index": 0, "content_block": _EMPTY})]
        self._begun = True
        return [*told, _encode({"type": _STOP, "index": 0})]


def _is_text(block: object) -> bool:
    return type(block) is dict and block.get("type") == "text"


def _text(block: Any) -> str:
    text = block.get("text")
    return text if type(text) is str else ""


def _citations(block: Any) -> list[Any]:
    citations = block.get("citations")
    return citations if type(citations) is list else []


def _index(event: Json) -> int:
    index = event.get("index")
    return index if type(index) is int else 0
