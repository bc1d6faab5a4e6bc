"""Files that a request names by their ids: where they stand in each dialect, and how their bytes are put there.

    {"type": "input_image", "file_id": ...}              --> {"type": "input_image", "image_url": "data:..."}
    {"type": "input_file" | "file", "file_id": ...}      --> {"filename": ..., "file_data": "data:..."}
    {"source": {"type": "file", "file_id": ...}}         --> {"source": {"type": "base64" | "text", ...}}

No target ever sees an id: it would look for it among the files of the account whose key it is asked with. What names a URL
in the same places is found with them, and so are the servers of tools that a target calls; whether a target may be sent there
is not decided here. Knows no store.
"""

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Literal

import msgspec

from ingot import rawjson
from ingot.dialects.chat_request import FilePart, Messages
from ingot.dialects.chat_request import UserMessage as ChatUser
from ingot.dialects.dialect import Attachment, Call, Content, Document, Image
from ingot.dialects.messages_request import (
    ContainerUploadBlock,
    ContentSource,
    CountRequest,
    DocumentBlock,
    FileSource,
    ImageBlock,
    ServerResult,
    SystemMessage,
    ToolResultBlock,
    UrlSource,
)
from ingot.dialects.responses_items import parts_of
from ingot.errors import InvalidRequest, Unsupported
from ingot.rawjson import Place

Json = dict[str, Any]
Shape = Callable[[Attachment, Json, Content], Json]

PDF: Final = "application/pdf"

DATA: Final = "data:"

_IMAGES: Final = ("input_image", "computer_screenshot")


def split(found: Iterable[Attachment | Document]) -> tuple[tuple[Attachment, ...], tuple[Document, ...]]:
    """What is named by an id, and what by a URL."""
    both = tuple(found)
    if not both:
        return (), ()
    return (
        tuple([each for each in both if isinstance(each, Attachment)]),
        tuple([each for each in both if isinstance(each, Document)]),
    )


def _linked(place: Place, held: object, *, bare: bool = False) -> Iterator[Document]:
    """A URL, unless it holds the data itself; where it may be `bare` base64, which has no colon, that is none either."""
    if type(held) is str and held[: len(DATA)].lower() != DATA and not (bare and ":" not in held):
        yield Document(place, held)


def files_of_chat(messages: Messages) -> Iterator[Attachment | Document]:
    """The files of all user messages; raises InvalidRequest for one that is there twice, by its id and itself."""
    for row, message in enumerate(messages):
        content = message.content if type(message) is ChatUser else None
        for column, part in enumerate(content if type(content) is list else ()):
            if type(part) is not FilePart:
                continue
            held = ("messages", row, "content", column, "file", "file_data")
            yield from _linked(held, part.file.file_data, bare=True)
            if type(part.file.file_id) is str:
                place = ("messages", row, "content", column, "file", "file_id")
                found = Attachment(place, part.file.file_id, "file")
                if part.file.file_data is not msgspec.UNSET:
                    raise InvalidRequest(
                        f"'{found.field}' and 'file_data' exclude each other. Send one of them.",
                        param=found.field,
                        code="mutually_exclusive_parameters",
                    )
                yield found


def files_of_responses(items: list[Json], tools: Iterable[Json] = ()) -> Iterator[Attachment | Document]:
    """The files of all items and tools; raises Unsupported for those that only a target could open."""
    for row, item in enumerate(items):
        output = item.get("output")
        if type(output) is dict:
            yield from _named(output, ("input", row, "output"))
        for (name, index), part in parts_of(item):
            yield from _named(part, ("input", row, name, index))
        if item.get("type") in ("additional_tools", "tool_search_output"):
            yield from _of_tools(item.get("tools"), ("input", row, "tools"))
    yield from _of_tools(tools, ("tools",))


def _of_tools(tools: object, place: Place) -> Iterator[Attachment | Document]:
    """What tools name: masks, the servers of those that a target calls, and all of it in a namespace of tools."""
    for index, tool in enumerate(tools if isinstance(tools, list | tuple) else ()):
        here = (*place, index)
        if type(tool) is not dict:
            continue
        container, mask = tool.get("container"), tool.get("input_image_mask")
        if type(container) is dict and container.get("file_ids"):
            where = Document((*here, "container", "file_ids"), "").field
            raise Unsupported(
                f"'{where}' is not supported: a container runs at a target, which does not have the files that are kept "
                "here. Send them as 'input_file'.",
                param=where,
            )
        if type(mask) is dict and type(mask.get("file_id")) is str:
            yield Attachment((*here, "input_image_mask", "file_id"), mask["file_id"], "image")
        if type(mask) is dict:
            yield from _linked((*here, "input_image_mask", "image_url"), mask.get("image_url"))
        if tool.get("type") == "mcp" and type(tool.get("server_url")) is str:
            yield Document((*here, "server_url"), tool["server_url"])
        yield from _of_tools(tool.get("tools"), (*here, "tools"))


def _named(part: Json, place: Place) -> Iterator[Attachment | Document]:
    kind, held = part.get("type"), part.get("file_id")
    if kind == "input_file":
        yield from _linked((*place, "file_url"), part.get("file_url"))
        yield from _linked((*place, "file_data"), part.get("file_data"), bare=True)
    elif kind == "computer_screenshot":
        yield from _linked((*place, "image_url"), part.get("image_url"))
    if type(held) is str and (kind in _IMAGES or kind == "input_file"):
        yield Attachment((*place, "file_id"), held, "file" if kind == "input_file" else "image")


def files_of_messages(request: CountRequest) -> Iterator[Attachment | Document]:
    """The files of all turns, those inside of results and documents too; raises Unsupported as above."""
    for row, message in enumerate(request.messages):
        if not isinstance(message, SystemMessage) and not isinstance(message.content, str):
            yield from _sources(message.content, ("messages", row, "content"))


def servers_of_messages(request: CountRequest) -> Iterator[Document]:
    """The servers whose tools a target calls for a message."""
    for index, server in enumerate(request.mcp_servers or ()):
        if server.url is not msgspec.UNSET:
            yield Document(("mcp_servers", index, "url"), server.url)


def _sources(blocks: Iterable[object], place: Place) -> Iterator[Attachment | Document]:
    for column, block in enumerate(blocks):
        here = (*place, column)
        if isinstance(block, ContainerUploadBlock):
            where = Attachment((*here, "type"), block.file_id, "file").field
            raise Unsupported(
                f"'{where}' is 'container_upload', which is not supported: a container runs at a target, which does not "
                "have the files that are kept here. Send a 'document'.",
                param=where,
                code="unsupported_value",
            )
        if isinstance(block, ImageBlock | DocumentBlock) and isinstance(block.source, FileSource):
            kind: Literal["image", "file"] = "image" if isinstance(block, ImageBlock) else "file"
            yield Attachment((*here, "source", "file_id"), block.source.file_id, kind)
        elif isinstance(block, DocumentBlock) and isinstance(block.source, UrlSource):
            yield from _linked((*here, "source", "url"), block.source.url)
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            yield from _sources(block.content, (*here, "content"))
        elif isinstance(block, ServerResult):
            yield from _within(block.content, (*here, "content"))
        elif (
            isinstance(block, DocumentBlock)
            and isinstance(block.source, ContentSource)
            and isinstance(block.source.content, list)
        ):
            yield from _sources(block.source.content, (*here, "source", "content"))


def _within(held: object, place: Place) -> Iterator[Document]:
    """The sources in what a target's own tool answered, whatever its shape: a target that gets them again fetches them again."""
    if type(held) is list:
        for index, each in enumerate(held):
            yield from _within(each, (*place, index))
    elif type(held) is dict:
        source = held.get("source")
        if type(source) is dict and source.get("type") == "url":
            yield from _linked((*place, "source", "url"), source.get("url"))
        for name, each in held.items():
            if type(each) is dict or type(each) is list:
                yield from _within(each, (*place, name))


def attach(call: Call, contents: Mapping[Attachment, Content], *, shape: Shape) -> Call:
    """The call with these bytes in place of all ids; `shape` says what stands where an id stood."""
    edits: dict[Place, Json] = {}
    images = list(call.images)
    for file, content in contents.items():
        place = file.place[:-1]
        edits[place] = shape(file, _at(call.body.value, place), content)
        if file.kind == "image":
            # Told by the id's place: that is what the client wrote.
            images.append(Image(file.place, data_uri_of(content)))
    body = rawjson.replaced(call.body, edits)
    return msgspec.structs.replace(call, body=body, images=tuple(images), files=(), attached=0)


def in_openai(file: Attachment, held: Json, content: Content) -> Json:
    """A part of OpenAI's dialects with the bytes as a data URI."""
    kept = {name: value for name, value in held.items() if name != "file_id"}
    if file.kind == "image":
        return {**kept, "image_url": data_uri_of(content)}
    return {**kept, "filename": kept.get("filename") or content.filename, "file_data": data_uri_of(content)}


def in_messages(file: Attachment, held: Json, content: Content) -> Json:  # noqa: ARG001  # a source holds its id alone
    """A source of Anthropic's dialect, as base64 or as text; raises Unsupported for what it does not take."""
    if file.kind == "image" or content.media_type == PDF:
        return {"type": "base64", "media_type": content.media_type, "data": _base64(content)}
    if not content.media_type.startswith("text/"):
        raise Unsupported(
            f"The file at '{file.field}' is neither a PDF nor text in UTF-8, and a document is one of them. Convert it.",
            param=file.field,
            code="unsupported_value",
        )
    return {"type": "text", "media_type": "text/plain", "data": content.data.decode()}


def data_uri_of(content: Content) -> str:
    """The bytes as a data URI."""
    return f"data:{content.media_type};base64,{_base64(content)}"


def _base64(content: Content) -> str:
    return base64.b64encode(content.data).decode("ascii")


def _at(value: Any, place: Place) -> Json:
    for step in place:
        value = value[step]
    found: Json = value
    return found
