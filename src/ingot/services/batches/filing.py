"""Batches whose requests come in a file, and whose results go into files.

    validating --take--> its lines are judged and staged --> in_progress, or failed with a list of faults
    finalizing --take--> its lines are written down as two files --> completed, expired, cancelled

Both are done under a lease, by whichever process works on the queue, and begun anew where that one dies: what it had
staged is removed first, and files become a batch's only in the write that ends it.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
from sqlalchemy import Connection

from ingot import rawstream
from ingot.dialects import batches as wire
from ingot.dialects import files as file_wire
from ingot.dialects.batch_lines import read_line
from ingot.dialects.batches import Fault
from ingot.dialects.dialect import Dialect
from ingot.errors import ApiError
from ingot.presets import Preset
from ingot.services.batches import results
from ingot.services.batches.intake import Intake, judge_for
from ingot.services.batches.reading import VERSION, next_lines
from ingot.services.batches.staging import Stage, clear_staged
from ingot.services.files import DAY, Files, on_disk
from ingot.services.grants import Grant
from ingot.services.jobs import Lost
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime
from ingot.store import batch_ends
from ingot.store import batches as store
from ingot.store import files as file_store
from ingot.store.batches import BatchRow
from ingot.store.blobs import Draft
from ingot.store.database import Database
from ingot.store.files import FileRow
from ingot.store.schema import micros

RENEW_SECONDS: Final = 15.0

Dialects = Mapping[tuple[str, str], Dialect]
"""By preset and path."""

_encode: Final = msgspec.json.Encoder().encode
_grant: Final = msgspec.json.Decoder(Grant)


@dataclass(frozen=True, slots=True)
class Filing:
    """Reads and writes the files of batches; one for a process. `now` gives its parts as they are after a reload."""

    now: Callable[[], Runtime]
    db: Database
    files: Files
    dialects: Dialects
    presets: Mapping[str, Preset]

    @property
    def runtime(self) -> Runtime:
        """The parts of the process."""
        return self.now()

    async def turn(self) -> bool:
        """Does what is to be done for one batch; False where there was nothing. Raises StoreError, ApiError.

        A batch that fails stays leased for a while: others come first, and then it is tried again.
        """
        now = micros(self.runtime.clock.now())
        owner = self.runtime.jobs.owner
        taken = await self.db.write(
            partial(store.take, states=("validating", "finalizing"), owner=owner, now=now)
        )
        if taken is None:
            return False
        lease = Lease(self, taken)
        try:
            await (self._read(taken, lease) if taken.state == "validating" else self._write(taken, lease))
        except Lost:
            self.runtime.log.info("a batch is another's now", batch=taken.id)
        except asyncio.CancelledError:
            await asyncio.shield(self.db.write(partial(store.release, batch=taken)))
            raise
        return True

    # ---- read

    async def _read(self, batch: BatchRow, lease: "Lease") -> None:
        await clear_staged(self.db, batch)
        dialect = self.dialects.get((batch.preset, batch.endpoint))
        if dialect is None:
            fault = Fault(
                code="unsupported_value",
                message=f"'{batch.endpoint}' is not served any more.",
                param="endpoint",
            )
            await self._fail(batch, [fault])
            return
        grant = _grant.decode(batch.grant_data or "{}")
        limits = self.runtime.config.batches
        who = Principal(batch.key_id, "", "", batch.org_id, "inference", grant)
        intake = Intake(
            judge_for(self.runtime, dialect, who, window=batch.window, headers=VERSION),
            partial(read_line, endpoint=batch.endpoint),
            place=lambda _: "",
            inside="body",
            most=limits.requests,
            job_requests=limits.job_requests,
        )
        preset = self.presets[batch.preset]
        stage = Stage(self.runtime, self.db, batch, grant=grant, surface=dialect.name, preset=preset)
        try:
            await self._take_all(batch, stage, intake, lease=lease)
            rows = await stage.close()
            await self.runtime.jobs.reveal(batch, rows, payer=grant, most_tokens=limits.queued_tokens)
        except Lost:
            await stage.stop()
            await clear_staged(self.db, batch)  # it was ended: where it is another's, nothing goes
            raise
        except ApiError as error:
            await stage.stop()
            await clear_staged(self.db, batch)
            if error.status >= 500:
                raise
            found = [
                Fault(code=each.code, message=each.message, param=each.param, line=line)
                for line, each in intake.faults
            ]
            whole = Fault(code=error.code, message=error.message, param=error.param)
            await self._fail(batch, found or [whole])

    async def _take_all(self, batch: BatchRow, stage: Stage, intake: Intake, *, lease: "Lease") -> None:
        handle, _ = await self.files.content(batch.org_id, batch.input_file_id or "")
        lines = rawstream.Lines(most=self.runtime.config.batches.request_bytes)
        with handle:
            more = True
            while more:
                more, chunks = await asyncio.to_thread(next_lines, handle, lines, intake)
                await stage.put(chunks)
                await lease.keep()
        await stage.put(intake.rest())

    async def _fail(self, batch: BatchRow, faults: list[Fault]) -> None:
        now = micros(self.runtime.clock.now())
        errors = _encode(faults).decode()
        await self.db.write(partial(store.fail, batch=batch, errors=errors, at=now), locks=(batch.org_id,))

    # ---- written

    async def _write(self, batch: BatchRow, lease: "Lease") -> None:
        outputs, errors = await self.files.begin(), await self.files.begin()
        try:
            async for rows in results.every_line(self.db, batch):
                entries = [results.entry_of(row) for row in rows]
                good = b"".join(wire.render_line(each) for each in entries if wire.is_success(each))
                bad = b"".join(wire.render_line(each) for each in entries if not wire.is_success(each))
                await on_disk(partial(outputs.write, good))
                await on_disk(partial(errors.write, bad))
                await lease.keep()
            await self._end(batch, outputs, errors)
        finally:
            await on_disk(outputs.discard)
            await on_disk(errors.discard)

    async def _end(self, batch: BatchRow, outputs: Draft, errors: Draft) -> None:
        now = micros(self.runtime.clock.now())
        made = {
            kind: self._row(batch, draft, kind=kind)
            for kind, draft in (("output", outputs), ("error", errors))
            if draft.size
        }
        for kind, draft in (("output", outputs), ("error", errors)):
            if kind in made:
                await on_disk(partial(self.files.blobs.keep, draft, made[kind].id))

        def write(conn: Connection) -> None:
            ids = {kind: row.id for kind, row in made.items()}
            ended = store.finish(
                conn,
                batch,
                state=batch_ends.last_state(batch),
                output=ids.get("output"),
                errors=ids.get("error"),
                at=now,
            )
            if ended is None:
                raise Lost
            for row in made.values():
                file_store.insert_file(conn, row)

        # Whoever has the batch now, where this lost it, writes files of its own.
        await self.files.write_rows(batch.org_id, [row.id for row in made.values()], write)

    def _row(self, batch: BatchRow, draft: Draft, *, kind: str) -> FileRow:
        keep = batch.output_seconds or file_wire.BATCH_DAYS * DAY
        name = f"{batch.id}_{kind}.jsonl"
        return self.files.row_of(batch, draft, filename=name, purpose="batch_output", keep_seconds=keep)


class Lease:
    """A batch that this process holds while it reads or writes its files."""

    def __init__(self, filing: Filing, batch: BatchRow) -> None:
        self._filing = filing
        self._batch = batch
        self._renewed = asyncio.get_running_loop().time()

    async def keep(self) -> None:
        """Prolongs the lease where that is due; raises Lost."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed < RENEW_SECONDS:
            return
        self._renewed = now
        at = micros(self._filing.runtime.clock.now())
        if not await self._filing.db.write(partial(store.renew, batch=self._batch, now=at)):
            raise Lost
