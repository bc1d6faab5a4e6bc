"""Stored chat completions: read, listed, relabelled and deleted by the organization that asked for them.

Every completed chat completion is stored, whether it was asked with `store` or not, and can be read until the
organization's retention ends (30 days unless it says otherwise). `store: false` and the organization's own setting
keep the content out: such a completion is billed and counted, and a look at it is told why there is nothing to see.
What belongs to somebody else, what has expired and what was deleted cannot be told from what never was.

Answers are put together where they are read, on the store's threads: a large one does not hold the event loop.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.dialects import stored
from ingot.dialects.chat import CHAT
from ingot.dialects.stored import Deleted
from ingot.errors import NotFound, PlatformError
from ingot.rawjson import clip
from ingot.services.paging import Paging, cut, no_place
from ingot.store import responses as store
from ingot.store.database import Database
from ingot.store.responses import Filter, Head, Listed, Mark, Sheet, Step
from ingot.store.schema import micros

PAGE_BYTES = 4 * 1024 * 1024
"""What the answers of one page may weigh; a page of one is never too heavy."""

LOOKS = 200
"""How often a list looks on for a page that filters left short: through two million completions at most."""

SURFACE = CHAT.name


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which completions a list holds."""

    model: str | None = None
    metadata: Mapping[str, str] | None = None


class Answers:
    """The stored chat completions of one database. Bodies come and go as JSON bytes."""

    def __init__(self, db: Database, *, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def read(self, org_id: str, which: str) -> bytes:
        """The completion; raises NotFound."""
        now = micros(self._clock.now())
        return await self._db.read(lambda conn: _completion(conn, org_id, which, now=now))

    async def messages(self, org_id: str, which: str, *, paging: Paging) -> bytes:
        """A page of the messages that it was asked with; raises NotFound, InvalidRequest."""
        now = micros(self._clock.now())

        def read(conn: Connection) -> bytes:
            head = _visible(conn, org_id, which, now=now)
            request = store.read_part(conn, org_id, head.id, part="request")
            if request is None:
                raise _missing(which)
            try:
                found = stored.render_messages(request, shown=which)
            except ValueError as error:
                raise _unreadable() from error
            page, more = cut(found, paging)
            return stored.render_list(page, more=more)

        return await self._db.read(read)

    async def list(self, org_id: str, wanted: Wanted, *, paging: Paging) -> bytes:
        """A page of completions; raises InvalidRequest where `after` names none."""
        now = micros(self._clock.now())
        which = Filter(SURFACE, now, model=wanted.model, metadata=wanted.metadata)
        step = Step(await self._mark(org_id, paging.after), paging.limit, paging.descending)
        items: list[tuple[str, bytes]] = []
        room = PAGE_BYTES
        for _ in range(LOOKS):
            look = partial(_look, org_id=org_id, which=which, step=step, room=room)
            part, after, room = await self._db.read(look)
            items += part
            step = replace(step, after=after, limit=paging.limit - len(items))
            if after is None or step.limit == 0 or room <= 0:
                break
            await asyncio.sleep(0)
        return stored.render_list(items, more=step.after is not None)

    async def update(self, org_id: str, which: str, *, body: bytes) -> bytes:
        """The completion with new metadata in place of the old; raises NotFound, InvalidRequest."""
        metadata = stored.decode_update(body)
        now = micros(self._clock.now())

        def write(conn: Connection) -> bytes:
            head = _visible(conn, org_id, which, now=now)
            store.relabel_response(conn, org_id, head.id, metadata=metadata)
            return _completion(conn, org_id, which, now=now)

        return await self._db.write(write)

    async def delete(self, org_id: str, which: str) -> Deleted:
        """Removes it for good, with what retries would have been answered; raises NotFound."""
        now = micros(self._clock.now())

        def write(conn: Connection) -> Deleted:
            head = _find(conn, org_id, which, now=now)
            store.delete_response(conn, org_id, head.id)
            return Deleted(which)

        return await self._db.write(write)

    async def _mark(self, org_id: str, after: str | None) -> Mark | None:
        if after is None:
            return None
        head = await self._db.read(lambda conn: store.find_response(conn, org_id, after, surface=SURFACE))
        if head is None:
            raise no_place()
        return head.mark


def _find(conn: Connection, org_id: str, which: str, *, now: int) -> Head:
    """A completion that is not gone, with or without its content."""
    head = store.find_response(conn, org_id, which, surface=SURFACE)
    if head is None or head.surface != SURFACE or head.state != "completed":
        raise _missing(which)
    if head.kept and (head.expires_at is None or head.expires_at <= now):
        raise _missing(which)
    return head


def _visible(conn: Connection, org_id: str, which: str, *, now: int) -> Head:
    head = _find(conn, org_id, which, now=now)
    if not head.kept:
        raise NotFound(
            f"The content of '{clip(which)}' was not kept: it was asked with 'store': false, or its organization "
            f"keeps prompts and answers out of the store.",
            code="content_not_kept",
        )
    return head


def _completion(conn: Connection, org_id: str, which: str, *, now: int) -> bytes:
    head = _visible(conn, org_id, which, now=now)
    return _render(conn, org_id, head, shown=which)


def _render(conn: Connection, org_id: str, head: Head, *, shown: str) -> bytes:
    answer = store.read_part(conn, org_id, head.id, part="answer")
    if answer is None:
        raise _missing(shown)
    try:
        return stored.render_completion(answer, shown=shown, metadata=head.metadata)
    except ValueError as error:
        raise _unreadable() from error


def _look(
    conn: Connection, org_id: str, which: Filter, *, step: Step, room: int
) -> tuple[list[tuple[str, bytes]], Mark | None, int]:
    """Completions of one read, the mark to go on from, and the room that is left on the page."""
    sheet: Sheet = store.list_responses(conn, org_id, which, step=step)
    items: list[tuple[str, bytes]] = []
    last: Listed | None = None
    for row in sheet.rows:
        if last is not None and row.size > room:
            return items, last.head.mark, 0
        items.append((row.shown, _render(conn, org_id, row.head, shown=row.shown)))
        room -= row.size
        last = row
    return items, sheet.next, room


def _missing(which: str) -> NotFound:
    return NotFound(f"No stored chat completion has the id '{clip(which)}'.")


def _unreadable() -> PlatformError:
    return PlatformError("What was stored cannot be read.")
