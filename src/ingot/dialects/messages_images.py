"""Images in requests of the messages dialect: where they stand, and how fetched ones are put there.

    {"type": "image", "source": {"type": "url", "url": ...}} --> {"type": "base64", "media_type": ..., "data": ...}

Decides nothing about which images are taken.
"""

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from ingot import rawjson
from ingot.dialects.dialect import Call, Image
from ingot.dialects.messages_request import (
    ContentSource,
    CountRequest,
    DocumentBlock,
    FileSource,
    ImageBlock,
    ImageData,
    SystemMessage,
    ToolResultBlock,
    UrlSource,
)
from ingot.rawjson import Place


def images_of(request: CountRequest) -> Iterator[Image]:
    """The images that are shown, by the place of their source; those that are named by a file's id are its attachments."""
    for row, message in enumerate(request.messages):
        if not isinstance(message, SystemMessage) and not isinstance(message.content, str):
            yield from _shown(message.content, ("messages", row, "content"))


def _shown(blocks: Iterable[object], place: Place) -> Iterator[Image]:
    for column, block in enumerate(blocks):
        here = (*place, column)
        if isinstance(block, ImageBlock):
            if not isinstance(block.source, FileSource):
                yield Image((*here, "source"), _url(block.source))
        elif isinstance(block, ToolResultBlock) and isinstance(block.content, list):
            yield from _shown(block.content, (*here, "content"))
        elif (
            isinstance(block, DocumentBlock)
            and isinstance(block.source, ContentSource)
            and isinstance(block.source.content, list)
        ):
            yield from _shown(block.source.content, (*here, "source", "content"))


def _url(source: ImageData | UrlSource) -> str:
    return f"data:{source.media_type};base64,{source.data}" if isinstance(source, ImageData) else source.url


def inline_images(call: Call, uris: Mapping[Image, str]) -> Call:
    """The call with the bytes of these images, from their data URIs, in place of their URLs."""
    sources: dict[Place, dict[str, str]] = {}
    for image, uri in uris.items():
        head, _, data = uri.partition(";base64,")
        sources[image.place] = {"type": "base64", "media_type": head.removeprefix("data:"), "data": data}
    return msgspec.structs.replace(call, body=rawjson.replaced(call.body, sources))
