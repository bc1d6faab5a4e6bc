"""Whose the sealed items of a request are: what a target encrypted says nothing of it, and goes back to its maker alone.

    an answer    --sealed_out-->    what its target encrypted, of which a mark is kept with the target's name
    a request    --unclaimed-->     what is sealed, not by us, and of no known maker
                 --claimed-->       the same with the makers that marks tell, or NOBODY

The bytes stay what they are. Decides which items are sealed; knows no marks, and no store.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from ingot.dialects.dialect import Call, Past
from ingot.dialects.responses_state import MARK, NOBODY, SEALED
from ingot.sse import SseSplitter, event_data

Json = dict[str, Any]

FIELD: Final = "encrypted_content"
_NEEDLE: Final = b'"encrypted_content"'


class _Item(msgspec.Struct):
    type: Any = None
    encrypted_content: Any = None


class _Told(msgspec.Struct):
    """A whole response, or an event of one."""

    output: list[_Item] | None = None
    item: _Item | None = None


_told = msgspec.json.Decoder(_Told)


def sealed_out(answer: bytes, *, streamed: bool) -> list[str]:
    """What the target of an answer encrypted, each once; nothing of what cannot be read."""
    if _NEEDLE not in answer:
        return []
    pieces = [answer]
    if streamed:
        events = [event_data(event) for event in SseSplitter().feed(answer)]
        pieces = [data for data in events if data is not None and _NEEDLE in data]
    found = (content for piece in pieces for content in _contents(piece))
    return list(dict.fromkeys(found))


def _contents(piece: bytes) -> Iterator[str]:
    try:
        told = _told.decode(piece)
    except (ValueError, RecursionError):
        return
    items = [*(told.output or ()), *([told.item] if told.item else ())]
    for item in items:
        content = _content(item.type, item.encrypted_content)
        if content is not None:
            yield content


def unclaimed(past: Sequence[Past]) -> dict[int, str]:
    """What is sealed of items without a maker, by their places."""
    found = {
        index: _content(each.item.get("type"), each.item.get(FIELD))
        for index, each in enumerate(past)
        if each.maker is None and FIELD in each.item
    }
    return {index: content for index, content in found.items() if content is not None}


def claimed(past: Sequence[Past], sealed: Mapping[int, str], makers: Mapping[str, str]) -> list[Past]:
    """The items with the makers of what they seal, by its content; NOBODY where none is known."""
    return [
        Past(each.item, makers.get(sealed[index], NOBODY)) if index in sealed else each
        for index, each in enumerate(past)
    ]


def attributed(call: Call, own: Sequence[Past]) -> Call:
    """The call whose own items have these makers, every byte as it came."""
    return msgspec.structs.replace(
        call, referred=tuple((each.maker, index) for index, each in enumerate(own))
    )


def taken_by(call: Call, target: str) -> Call:
    """The call in which what nobody is known to have sealed counts as this target's own."""
    if NOBODY not in call.makers and all(maker != NOBODY for maker, _ in call.referred):
        return call
    return msgspec.structs.replace(
        call,
        makers=tuple(target if maker == NOBODY else maker for maker in call.makers),
        referred=tuple((target if maker == NOBODY else maker, index) for maker, index in call.referred),
    )


def _content(kind: Any, content: Any) -> str | None:
    """What an item seals, where a target did that."""
    sealed = kind in SEALED and type(content) is str and content and not content.startswith(MARK)
    return content if sealed else None
