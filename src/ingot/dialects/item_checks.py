"""Items that a client wants kept: what they must be, beyond what the codec asks of any request's.

    a type that can be kept      others are instructions for one request, or spelled wrong
    content parts                that are what they say
    ids                          of their own, each once

Names the field in every error, as `items[3].content[0].type`. Knows no conversation. Source: contract §3.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ingot.dialects.codecs.checks import missing, wrong
from ingot.dialects.codecs.responses.items import decode_items
from ingot.dialects.items import PREFIXES, Item, complete
from ingot.errors import InvalidRequest
from ingot.ids import NewId
from ingot.rawjson import clip

Json = dict[str, Any]

LONGEST_ID: Final = 64

_TEXT: Final = ("text",)
_PARTS: Final[Mapping[str, tuple[str, ...]]] = {
    "input_text": _TEXT,
    "output_text": _TEXT,
    "text": _TEXT,
    "summary_text": _TEXT,
    "reasoning_text": _TEXT,
    "refusal": ("refusal",),
    "input_image": ("image_url", "file_id"),
    "computer_screenshot": ("image_url", "file_id"),
    "input_file": ("file_data", "file_id", "file_url"),
}
"""The content parts of messages, and the texts of which one has to be there."""


def read_items(told: Any, *, path: str, new_id: NewId) -> list[Item]:
    """A client's items, checked and completed; raises InvalidRequest that names the field, as `items[3].content[0].type`."""
    decode_items(told, path=path)
    items = [_read(item, f"{path}[{index}]", new_id) for index, item in enumerate(told)]
    seen: set[str] = set()
    for index, item in enumerate(items):
        if item.id in seen:
            raise duplicate(item.id, f"{path}[{index}].id")
        seen.add(item.id)
    return items


def duplicate(item_id: str, path: str) -> InvalidRequest:
    """The error for an item whose id is taken."""
    return InvalidRequest(
        f"Duplicate item: the conversation holds an item with the id '{clip(item_id)}' already. Leave '{path}' out, and "
        f"the item gets an id of its own.",
        param=path,
    )


def _read(item: Json, at: str, new_id: NewId) -> Item:
    kind = item.get("type", "message" if "role" in item else "item_reference")
    if kind not in PREFIXES:
        raise InvalidRequest(
            f"Invalid value for '{at}.type': an item of the type '{clip(str(kind))}' cannot be kept in a conversation. "
            f"The types that can are {', '.join(PREFIXES)}.",
            param=f"{at}.type",
        )
    _check_id(item.get("id"), f"{at}.id")
    if kind == "message":
        _check_content(item["content"], f"{at}.content")
    return complete(item, new_id=new_id)


def _check_id(held: Any, path: str) -> None:
    if held is None:
        return
    if type(held) is not str:
        raise wrong(held, str, path=path)
    if len(held) > LONGEST_ID or "\0" in held:
        raise InvalidRequest(
            f"Invalid value for '{path}': an id has at most {LONGEST_ID} characters, U+0000 not among them. Leave it out, "
            f"and the item gets an id of its own.",
            param=path,
        )


def _check_content(content: Any, at: str) -> None:
    for index, part in enumerate(content if type(content) is list else ()):
        path = f"{at}[{index}]"
        kind = part.get("type")
        if kind is None:
            raise missing(f"{path}.type", expected="a string")
        if type(kind) is not str:
            raise wrong(kind, str, path=f"{path}.type")
        if kind not in _PARTS:
            raise InvalidRequest(
                f"Invalid value for '{path}.type': expected one of {', '.join(map(repr, _PARTS))}, but got "
                f"'{clip(kind)}'.",
                param=f"{path}.type",
            )
        _check_part(part, _PARTS[kind], path)


def _check_part(part: Json, names: Sequence[str], path: str) -> None:
    given = [name for name in names if part.get(name) is not None]
    if not given:
        raise missing(f"{path}.{names[0]}", expected="a string")
    for name in given:
        if type(part[name]) is not str:
            raise wrong(part[name], str, path=f"{path}.{name}")
