"""Stored responses: read, told once more as a stream, looked through and deleted by the organization that asked for them.

Every response that came is stored, unless it was asked with `store: false` or its organization keeps content out, and can
be read until the organization's retention ends. What belongs to somebody else, has expired or was deleted cannot be told
from what never was. Bodies are put together where they are read, on the store's threads.
"""

from typing import Final

import msgspec
from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.dialects import stored
from ingot.dialects.cuts import check_text
from ingot.dialects.responses import RESPONSES
from ingot.dialects.responses_replay import replay
from ingot.errors import InvalidRequest, NotFound, PlatformError
from ingot.rawjson import clip
from ingot.services.history import items_before
from ingot.services.paging import Paging, cut
from ingot.services.references import is_readable
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.responses import Exchange
from ingot.store.schema import micros

_encode: Final = msgspec.json.Encoder().encode
_object: Final = msgspec.json.Decoder(msgspec.defstruct("Anything", []))


class DeletedResponse(msgspec.Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    object: str = "response"
    deleted: bool = True


class Responses:
    """The stored responses of one database. Bodies come as JSON bytes."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def read(self, org_id: str, which: str) -> bytes:
        """The response; raises NotFound."""
        now = micros(self._clock.now())
        return await self._db.read(lambda conn: _answer(_find(conn, org_id, which, now=now)))

    async def replay(self, org_id: str, which: str, *, after: int | None) -> bytes:
        """The response as a stream of events, those behind the number `after`; raises NotFound, InvalidRequest."""
        now = micros(self._clock.now())

        def read(conn: Connection) -> bytes:
            answer = _answer(_find(conn, org_id, which, now=now))
            try:
                events = replay(answer)
            except ValueError as error:
                raise PlatformError("What was stored cannot be read.") from error
            if after is not None and after >= len(events):
                raise InvalidRequest(
                    f"'starting_after' is {after}, and the last event of this response has the number {len(events) - 1}. A "
                    "response that is over is told in fewer events than at first; leave it out to get them all.",
                    param="starting_after",
                )
            return b"".join(events[0 if after is None else after + 1 :])

        return await self._db.read(read)

    async def input_items(self, org_id: str, which: str, *, paging: Paging) -> bytes:
        """A page of the items that it was asked with; raises NotFound, InvalidRequest."""
        now = micros(self._clock.now())

        def read(conn: Connection) -> bytes:
            found = _find(conn, org_id, which, now=now)
            items = items_before(conn, org_id, found, now=now)
            page, more = cut([(str(item.get("id")), item) for item in items], paging)
            return stored.render_list([(shown, _encode(item)) for shown, item in page], more=more)

        return await self._db.read(read)

    async def delete(self, org_id: str, which: str) -> DeletedResponse:
        """Removes it for good, with what retries would have been answered; raises NotFound."""
        now = micros(self._clock.now())

        def write(conn: Connection) -> DeletedResponse:
            found = _find(conn, org_id, which, now=now)
            store.delete_response(conn, org_id, found.head.id)
            return DeletedResponse(which)

        return await self._db.write(write)

    async def cancel(self, org_id: str, which: str) -> bytes:
        """Refuses: what can be cancelled is on its way in the background; raises NotFound, InvalidRequest."""
        await self.read(org_id, which)
        raise InvalidRequest(
            f"Cannot cancel the response '{clip(which)}': only one that was asked with 'background': true can be cancelled.",
            param="response_id",
        )


def _find(conn: Connection, org_id: str, which: str, *, now: int) -> Exchange:
    found = store.read_exchange(conn, org_id, which)
    head = None if found is None or found.head.surface != RESPONSES.name else found.head
    if head is not None and not head.kept and head.state == "completed":
        raise NotFound(
            f"The content of '{clip(which)}' was not kept: it was asked with 'store': false, or its organization keeps "
            "prompts and answers out of the store.",
            code="content_not_kept",
        )
    if found is None or not is_readable(found, now=now):
        raise NotFound(f"Response with id '{clip(which)}' not found.")
    return found


def _answer(found: Exchange) -> bytes:
    """What was stored; a stream that could not be put together, or bytes that are no text, are no response."""
    answer = found.answer or b""
    try:
        _object.decode(answer)
        check_text(answer)
    except ValueError as error:
        raise PlatformError("What was stored cannot be read.") from error
    return answer
