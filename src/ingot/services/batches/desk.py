"""What clients do with batches: make them, look at them, list them, end them, delete them, read their results.

    make                              see `making`
    cancel                            what waits ends now; what runs has a minute; a second time is no error
    delete                            of one that has ended: its lines, and what its requests were answered

What belongs to somebody else cannot be told from what never was. Bodies come as JSON bytes. One of these serves the
surfaces of one preset in one form of words.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import Connection

from ingot.dialects import batches as wire
from ingot.dialects import message_batches
from ingot.dialects.batches import Counts, Shown, Tokens
from ingot.dialects.dialect import Dialect
from ingot.errors import NotFound
from ingot.rawjson import clip
from ingot.services.batches import results
from ingot.services.batches.ending import end_all
from ingot.services.batches.making import Making
from ingot.services.batches.staging import clear
from ingot.services.files import Files
from ingot.services.paging import no_place
from ingot.services.runtime import Runtime
from ingot.signals.signal import BATCHES, ENDS
from ingot.store import batch_lines
from ingot.store import batches as store
from ingot.store import responses as answers
from ingot.store.batches import BatchRow, Shape
from ingot.store.database import Database
from ingot.store.responses import Step
from ingot.store.schema import seconds, seconds_or_none, stamp

Form = Literal["object", "plain", "messages"]


@dataclass(frozen=True, slots=True)
class Wording:
    """How batches are told: in which form, and which shapes there are; the first is that of bodies with requests.

    `taken` are words that stand under a batch's path where the name of a request would.
    """

    form: Form
    shapes: tuple[Shape, ...]
    prefix: str = "batch"
    taken: tuple[str, ...] = ()


OBJECT: Final = Wording("object", ("requests", "file"), taken=("results",))
PLAIN: Final = Wording("plain", ("requests", "file"))
MESSAGES: Final = Wording("messages", ("messages",), "msgbatch")


def marks_of(form: Form) -> Sequence[str]:
    """The parameters that say where a page of a list begins."""
    return ("after",) if form == "object" else ("after_id", "before_id")


class Batches:
    """The batches of one database, for one preset and in one form of words."""

    def __init__(
        self,
        runtime: Runtime,
        db: Database,
        *,
        files: Files,
        dialects: Mapping[str, Dialect],
        wording: Wording,
    ) -> None:
        """`dialects` has what requests may be for, by its path as clients write it."""
        self.dialects = dialects
        self.form = wording.form
        self._wording = wording
        self.making = Making(
            runtime,
            db,
            files,
            dialects,
            wording.shapes[0],
            prefix=wording.prefix,
            render=self.render,
            taken=wording.taken,
        )
        self._runtime = runtime
        self._db = db

    # ---- looked at

    async def read(self, org_id: str, which: str) -> bytes:
        """The batch; raises NotFound."""
        batch = await self.find(org_id, which)

        def read(conn: Connection) -> bytes:
            # One snapshot: its counts fit what runs.
            row = store.find_batch(conn, org_id, which, shapes=self._wording.shapes) or batch
            states = batch_lines.all_states(conn, row.id) if self.form == "plain" else None
            return self.render(row, running=batch_lines.running_count(conn, row), states=states)

        return await self._db.read(read)

    async def list(self, org_id: str, *, after: str | None, before: str | None, limit: int) -> bytes:
        """A page of batches, the newest first; raises InvalidRequest where a mark names none."""
        shapes = self._wording.shapes

        def read(conn: Connection) -> bytes:
            mark = None
            named = after if after is not None else before
            if named is not None:
                row = store.find_batch(conn, org_id, named, shapes=shapes)
                if row is None:
                    raise no_place(marks_of(self.form)[0 if after is not None else -1])
                mark = store.mark_of(row)
            # Before a mark stand the ones that are newer: they are found going up from it.
            up = after is None and before is not None
            rows, more = store.list_batches(
                conn, org_id, shapes=shapes, step=Step(mark, limit, descending=not up)
            )
            shown = [
                (row.id, self.render(row, running=batch_lines.running_count(conn, row)))
                for row in (rows[::-1] if up else rows)
            ]
            return self._listed(shown, more=more)

        return await self._db.read(read)

    async def find(self, org_id: str, which: str) -> BatchRow:
        """The batch's row; raises NotFound."""
        shapes = self._wording.shapes
        found = await self._db.read(lambda conn: store.find_batch(conn, org_id, which, shapes=shapes))
        if found is None:
            raise NotFound(f"No batch has the id '{clip(which)}'.")
        return found

    async def result(self, org_id: str, which: str, custom_id: str) -> bytes:
        """What one of its requests was answered, or how it stands; raises NotFound, ClientError 410."""
        batch = await self.find(org_id, which)
        dialect = self.dialects.get(batch.endpoint)
        return await results.read_one(
            self._db, batch, custom_id, surface="" if dialect is None else dialect.name
        )

    async def page(self, org_id: str, which: str, *, after: str | None, limit: int) -> bytes:
        """Lines of what has ended, behind the one with the custom_id `after`; raises NotFound, InvalidRequest."""
        batch = await self.find(org_id, which)
        return await results.read_page(self._db, batch, after=after, limit=limit, render=self._line)

    async def every_line(self, org_id: str, which: str) -> AsyncIterator[bytes]:
        """All lines of one that has ended; raises NotFound, Conflict."""
        batch = await self.find(org_id, which)
        results.check_ended(batch)
        results.check_kept(batch)
        return results.stream(self._db, batch, self._line)

    # ---- ended

    async def cancel(self, org_id: str, which: str) -> bytes:
        """Asks for its end; raises NotFound, and Conflict for one that has ended by itself."""
        batch = await self.find(org_id, which)
        await end_all(self._db, batch, clock=self._runtime.clock)
        self._runtime.jobs.signal.send(ENDS)
        self._runtime.jobs.signal.send(BATCHES)
        return await self.read(org_id, which)

    async def delete(self, org_id: str, which: str) -> bytes:
        """Removes one that has ended, with what its requests were answered; raises NotFound, Conflict."""
        batch = await self.find(org_id, which)
        results.check_ended(batch)
        async for rows in results.every_line(self._db, batch):
            ids = [row.response_id for row in rows]
            await self._db.write(partial(answers.let_go, ids=ids), locks=(org_id,))
        await clear(self._db, batch.id)
        await self._db.write(partial(store.delete_batch, org_id=org_id, which=batch.id), locks=(org_id,))
        return message_batches.render_deleted(batch.id)

    # ---- told

    def render(self, row: BatchRow, *, running: int = 0, states: Any = None) -> bytes:
        """The batch in this form; `states` are names of requests with how they stand."""
        shown = shown_of(row, running=running)
        if self.form == "plain":
            return wire.render_plain(shown, states)
        if self.form == "messages":
            return message_batches.render(shown, moment=stamp)
        return wire.render(shown, inline=row.shape != "file")

    def _listed(self, items: Sequence[tuple[str, bytes]], *, more: bool) -> bytes:
        if self.form == "plain":
            return b"[" + b",".join(item for _, item in items) + b"]"
        if self.form == "messages":
            return message_batches.render_list(items, more=more)
        return wire.render_list(items, more=more)

    @property
    def _line(self) -> Callable[[wire.Entry], bytes]:
        return message_batches.render_line if self.form == "messages" else wire.render_line


def shown_of(row: BatchRow, *, running: int = 0) -> Shown:
    """A batch as the wire knows it."""
    return Shown(
        id=row.id,
        endpoint=row.endpoint,
        state=row.state,
        asked_window=row.asked_window,
        created_at=seconds(row.created_at),
        due_at=seconds(row.due_at),
        counts=Counts(
            total=row.total,
            completed=row.completed,
            failed=row.failed,
            cancelled=row.cancelled,
            expired=row.expired,
            running=running,
        ),
        tokens=Tokens(
            input=row.input_tokens,
            cached=row.cached_tokens,
            output=row.output_tokens,
            reasoning=row.reasoning_tokens,
        ),
        label=row.label,
        metadata=None if row.metadata is None else msgspec.json.decode(row.metadata),
        model=row.model,
        input_file_id=row.input_file_id,
        output_file_id=row.output_file_id,
        error_file_id=row.error_file_id,
        errors=row.errors,
        started_at=seconds_or_none(row.started_at),
        finalizing_at=seconds_or_none(row.finalizing_at),
        ended_at=seconds_or_none(row.ended_at),
        cancel_at=seconds_or_none(row.cancel_at),
        archived_at=seconds_or_none(row.archived_at),
    )
