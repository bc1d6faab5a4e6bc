"""Bodies that are too long to be held: on disk as they come, and looked at while they do.

    stream --piece by piece--> draft         what is no JSON, or too much, is refused before the rest of it is sent
                      '------> Values        how many requests there are, and what stands beside them

Decides how much is taken; refuses to know what a request is.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

from starlette.requests import Request

from ingot import rawjson, rawstream
from ingot.config.batches import BatchesConfig
from ingot.dialects.batches import REQUESTS
from ingot.errors import TooLarge
from ingot.services.batches.intake import too_many
from ingot.services.batches.reading import PIECE
from ingot.services.files import Files, on_disk
from ingot.store.blobs import Draft
from ingot.web.intake import check_encoding

HEAD: Final = 65_536
"""Bytes of what stands beside the requests."""


class Spool:
    """A body on disk: `value` is what stands beside its requests, `count` how many they are, None where there is no array."""

    def __init__(self, draft: Draft, value: dict[str, Any], count: int | None) -> None:
        self.draft = draft
        self.value = value
        self.count = count

    @property
    def identity(self) -> Mapping[str, Any]:
        """What has to be the same for a retry."""
        return {"sha256": self.draft.sha256.hexdigest()}


@asynccontextmanager
async def spooled(
    request: Request, files: Files, limits: BatchesConfig, *, head: int = HEAD
) -> AsyncIterator[Spool]:
    """The body of a request on disk, looked at; `head` bytes may stand beside its requests. Raises InvalidRequest, TooLarge,
    Overloaded, ClientError 415.
    """
    check_encoding({name.lower(): value for name, value in request.headers.raw})
    draft = await files.begin()
    try:
        values = rawstream.Values(REQUESTS, most=limits.request_bytes, head=head)
        count = 0
        async for piece in _pieces(request, most=limits.body_bytes):
            count += await on_disk(partial(_look, draft, values, piece))
            if count > limits.requests:
                raise too_many(limits.requests)
        values.close()
        value = (await asyncio.to_thread(rawjson.parse, values.head)).value
        yield Spool(draft, value, count if values.found else None)
    finally:
        await on_disk(draft.discard)


async def _pieces(request: Request, *, most: int) -> AsyncIterator[bytes]:
    """The body in pieces of some size; raises TooLarge once it has more than `most` bytes."""
    held, size = bytearray(), 0
    async for data in request.stream():
        held += data
        size += len(data)
        if size > most:
            raise TooLarge(f"The body has more than {most:,} bytes, the most of a batch. Send it as several.")
        if len(held) >= PIECE:
            yield bytes(held)
            held.clear()
    yield bytes(held)


def _look(draft: Draft, values: rawstream.Values, piece: bytes) -> int:
    """Writes a piece down; how many requests are whole with it."""
    draft.write(piece)
    return len(values.feed(piece))
