"""Thoughts that a target of the messages dialect is not sent: blocks without a signature.

Answers of other dialects have none to show, and an empty one stands in its place; a server refuses it. Decides nothing of
signatures that there are: who made them is not to be seen from them.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.canonical import Loss
from ingot.dialects.dialect import Call
from ingot.rawjson import Body

Json = dict[str, Any]

UNSIGNED: Final = (
    "thoughts without a signature are not its model's own; they go back only to where they came from"
)

_encode = msgspec.json.Encoder().encode


def for_target(call: Call, target: str, *, native: bool) -> Call:  # noqa: ARG001  # the dialects' signature
    """The call without unsigned thoughts; of a call that is translated the codec says what becomes of them."""
    messages: list[Json] = call.body.value["messages"]
    unsigned = set(_unsigned(messages)) if native else set()
    if not unsigned:
        return call
    told = [message for row, each in enumerate(messages) if (message := _kept(each, row, unsigned))]
    data = rawjson.splice(call.body, replace={"messages": _encode(told)})
    losses = [
        Loss(f"messages[{row}].content[{index}]", "thoughts", UNSIGNED) for row, index in sorted(unsigned)
    ]
    return msgspec.structs.replace(
        call, body=Body(data, {**call.body.value, "messages": told}), losses=tuple(losses)
    )


def _unsigned(messages: list[Json]) -> Iterator[tuple[int, int]]:
    for row, message in enumerate(messages):
        content = message.get("content")
        for index, block in enumerate(content if type(content) is list else ()):
            if block.get("type") == "thinking" and not block.get("signature"):
                yield row, index


def _kept(message: Json, row: int, unsigned: set[tuple[int, int]]) -> Json | None:
    """The message; None where nothing is left of it."""
    content = message.get("content")
    if type(content) is not list:
        return message
    kept = [block for index, block in enumerate(content) if (row, index) not in unsigned]
    return message if len(kept) == len(content) else {**message, "content": kept} if kept else None
