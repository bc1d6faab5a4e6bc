"""The items of a responses request: what each must hold, and where images stand in them.

Decides what an item of a known type is; items of other types are a target's to know. Knows nothing of the request
around them.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingot import rawjson
from ingot.dialects.chat_request import Rows
from ingot.dialects.complaint import complain
from ingot.dialects.dialect import Image
from ingot.dialects.responses_request import ITEMS, TOOLS
from ingot.errors import InvalidRequest
from ingot.rawjson import Place

Json = dict[str, Any]

_IMAGES: Final = ("image_url", "file_id")
_FILES: Final = ("file_data", "file_id", "file_url")
_SOURCES: Final = {"input_image": _IMAGES, "input_file": _FILES}


def kind_of(item: Json, where: str) -> str:
    """The type of an item, said or meant; raises InvalidRequest where there is none."""
    kind = item.get("type")
    if kind is None and "role" in item:
        return "message"
    if kind is None and type(item.get("id")) is str:
        return "item_reference"
    if type(kind) is not str or not kind:
        raise InvalidRequest(
            f"Missing required parameter: '{where}.type'. It must be the type of an item, such as 'message'.",
            param=f"{where}.type",
            code="missing_required_parameter",
        )
    return kind


def check_items(items: list[Json]) -> None:
    """Raises InvalidRequest that names the field of the first item which is not what its type says."""
    for index, item in enumerate(items):
        where = f"input[{index}]"
        row = ITEMS.get(kind_of(item, where))
        if row is not None:
            check_row(item, row, where)
        for place, part in parts_of(item):
            check_source(part, f"{where}.{place[0]}[{place[1]}]")


def check_tool(tool: Json, where: str) -> str:
    """The type of a tool that holds what its type says."""
    kind = tool.get("type")
    if type(kind) is not str or not kind:
        raise InvalidRequest(
            f"Missing required parameter: '{where}.type'. It must be the type of a tool, such as 'function'.",
            param=f"{where}.type",
            code="missing_required_parameter",
        )
    row = TOOLS.get(kind)
    if row is not None:
        check_row(tool, row, where)
    return kind


def check_row(value: Json, row: type[Rows], where: str) -> None:
    """Raises InvalidRequest for the first field of the object at `where` that is not as its row has it."""
    try:
        msgspec.convert(value, row)
    except msgspec.ValidationError as error:
        raise placed(complain(error, value, row), where) from error


def placed(error: InvalidRequest, where: str) -> InvalidRequest:
    """A complaint about an object, with the place of that object before the path that it names."""
    inner = error.param or ""
    param = f"{where}.{inner}" if inner else where
    text = error.message.replace(f"'{inner}'", f"'{param}'", 1)
    return InvalidRequest(text, param=param, code=error.code)


def parts_of(item: Json) -> Iterator[tuple[tuple[str, int], Json]]:
    """The content parts of an item, a message's or a tool's output, with their places in it."""
    for name in ("content", "output"):
        parts = item.get(name)
        for index, part in enumerate(parts if type(parts) is list else ()):
            if type(part) is dict:
                yield (name, index), part


def check_source(part: Json, where: str) -> None:
    """An image or a file comes from one place."""
    sources = _SOURCES.get(part["type"]) if type(part.get("type")) is str else None
    if sources is not None and sum(part.get(name) is not None for name in sources) != 1:
        names = " or ".join(f"'{name}'" for name in sources)
        raise InvalidRequest(
            f"'{where}' must have exactly one of {names}.",
            param=where,
            code="missing_required_parameter" if not any(part.get(name) for name in sources) else None,
        )


def images_of(items: list[Json]) -> Iterator[Image]:
    """The images that are shown by their URL; those that are named by a file's id are its attachments."""
    for row, item in enumerate(items):
        for (name, index), part in parts_of(item):
            if part.get("type") == "input_image" and type(part.get("image_url")) is str:
                place: Place = ("input", row, name, index, "image_url")
                yield Image(place, part["image_url"])


def clipped(text: object) -> str:
    """A client's word, short enough to be said back."""
    return rawjson.clip(str(text))
