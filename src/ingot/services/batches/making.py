"""Batches as they are made: from requests that stand in a body, or from a file that is read later.

    body, spooled to disk --judge--> Stage --reveal--> batch      any fault, any crash: there is none
    file id --> a row that says `validating`                      a worker reads the file (`filing`)

The caller has written a body to disk as it came, so that a slow client holds no place in the store and a retry is known
by its bytes before anything is read.
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
from ingot.dialects.batch_lines import read_request
from ingot.dialects.batches import CreateBatch
from ingot.dialects.dialect import Dialect
from ingot.errors import NotFound, Overloaded
from ingot.ids import ordered_id
from ingot.rawjson import clip
from ingot.scheduling.windows import STANDARD
from ingot.services.batches.intake import Intake, judge_for
from ingot.services.batches.reading import (
    asked_window,
    check_purpose,
    next_requests,
    place_in_body,
    reopened,
)
from ingot.services.batches.staging import Stage, discard
from ingot.services.files import Files, on_disk, opened
from ingot.services.jobs import Lost
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime
from ingot.signals.signal import BATCHES
from ingot.store import batches as store
from ingot.store.batches import BatchRow, Shape
from ingot.store.blobs import Draft
from ingot.store.database import Database
from ingot.store.schema import micros
from ingot.windows import NAME

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Making:
    """Makes the batches of one preset; `dialects` has what requests may be for by path, `shape` is that of bodies with requests.

    `taken` are names that no request in a body may have.
    """

    runtime: Runtime
    db: Database
    files: Files
    dialects: Mapping[str, Dialect]
    shape: Shape
    prefix: str
    render: Callable[[BatchRow], bytes]
    taken: tuple[str, ...] = ()

    async def create(
        self,
        who: Principal,
        draft: Draft,
        wanted: CreateBatch,
        *,
        headers: Mapping[bytes, bytes],
        keep: Keep[bytes] = keep_nothing,
    ) -> bytes:
        """A batch of the requests in a body that `draft` holds; raises ApiError, after which there is none."""
        runtime = self.runtime
        if not runtime.recorder.may_try():
            raise _unavailable()
        batch = self._new(who, wanted, shape=self.shape)
        dialect = self.dialects[wanted.endpoint]
        stage = Stage(runtime, self.db, batch, grant=who.grant, surface=dialect.name, preset=runtime.preset)
        try:
            await self.db.write(partial(store.insert_batch, row=batch))
            await self._take_all(draft, stage, who, dialect=dialect, headers=headers)
            rows = await stage.close()
            shown = await runtime.jobs.reveal(
                batch,
                rows,
                payer=who.grant,
                most_tokens=runtime.config.batches.queued_tokens,
                keep=lambda conn, row: keep(conn, self.render(row)),
            )
        except Lost as error:
            await self._undo(stage)
            raise _unavailable() from error
        except BaseException:
            await self._undo(stage)
            raise
        runtime.jobs.signal.send(BATCHES)
        return self.render(shown)

    async def create_from_file(
        self, who: Principal, wanted: CreateBatch, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """A batch of the requests in a file, which is read from now on; raises NotFound, InvalidRequest."""
        which = wanted.input_file_id or ""
        file = (await self.files.named(who.org_id, [which])).get(which)
        if file is None:
            raise NotFound(f"No file has the id '{clip(which)}'.", param="input_file_id")
        check_purpose(which, file.purpose)
        batch = self._new(who, wanted, shape="file")

        def write(conn: Connection) -> bytes:
            store.insert_batch(conn, batch)
            return self.render(batch)

        made = await self.db.write(kept(write, keep), locks=(who.org_id,))
        self.runtime.jobs.signal.send(BATCHES)
        return made

    def _new(self, who: Principal, wanted: CreateBatch, *, shape: Shape) -> BatchRow:
        runtime = self.runtime
        now = runtime.clock.now()
        window = self._window(wanted)
        usual = runtime.catalog.windows[window or STANDARD.name]
        expiry = wanted.output_expires_after
        return BatchRow(
            id=ordered_id(self.prefix, now),
            org_id=who.org_id,
            key_id=who.key_id,
            preset=runtime.preset.name,
            shape=shape,
            endpoint=wanted.endpoint,
            state="validating" if shape == "file" else "staged",
            asked_window=wanted.completion_window or wire.DAY,
            label=wanted.label,
            metadata=None if wanted.metadata is None else _encode(wanted.metadata).decode(),
            window=window,
            input_file_id=wanted.input_file_id,
            output_seconds=None if expiry is None else expiry.seconds,
            grant_data=_encode(who.grant).decode() if shape == "file" else None,
            created_at=micros(now),
            due_at=micros(usual.due(now, batch=True)),
        )

    def _window(self, wanted: CreateBatch) -> str | None:
        """The window of requests that name none; None leaves it to their models. Raises InvalidRequest."""
        told = {
            "completion_window": wanted.completion_window,
            f"metadata.{NAME}": (wanted.metadata or {}).get(NAME),
        }
        return asked_window(told, self.runtime.catalog.windows)

    async def _take_all(
        self,
        draft: Draft,
        stage: Stage,
        who: Principal,
        *,
        dialect: Dialect,
        headers: Mapping[bytes, bytes],
    ) -> None:
        runtime = self.runtime
        limits = runtime.config.batches
        intake = Intake(
            judge_for(runtime, dialect, who, window=stage.batch.window, headers=headers),
            partial(read_request, taken=self.taken),
            place=place_in_body,
            inside="params",
            most=limits.requests,
            job_requests=limits.job_requests,
        )
        values = rawstream.Values(wire.REQUESTS, most=limits.request_bytes)
        with await opened(on_disk(partial(reopened, draft))) as spool:
            more = True
            while more:
                more, chunks = await asyncio.to_thread(next_requests, spool, values, intake)
                await stage.put(chunks)
        await stage.put(intake.rest())

    async def _undo(self, stage: Stage) -> None:
        async def undo() -> None:
            await stage.stop()
            await discard(self.db, stage.batch.id)

        await asyncio.shield(undo())


def _unavailable() -> Overloaded:
    return Overloaded(
        "The batch could not be stored, so nothing of it was taken and nothing was charged. Send it again in a moment.",
        code="storage_unavailable",
        retry_after=2.0,
    )
