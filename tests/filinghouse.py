"""The files of batches in the hands of processes without a worker, what clients ask for, and the disk beneath."""

import io
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import update

from batchqueue import DAY
from databases import Place
from ingot.app import process
from ingot.app.work import _by_path
from ingot.clock import ManualClock
from ingot.config import Loaded, load
from ingot.dialects.batches import CreateBatch
from ingot.dialects.files import CreateFile
from ingot.logs import LineSink, configure
from ingot.services.batches.desk import OBJECT, Batches
from ingot.services.batches.filing import Filing
from ingot.services.files import Files
from ingot.services.grants import Grant
from ingot.services.jobs import Jobs
from ingot.services.keys import Principal
from ingot.services.runtime import Runtime
from ingot.signals.signal import LocalSignal
from ingot.store import batches
from ingot.store.batches import BatchRow, State
from ingot.store.schema import batches as table
from ingot.store.schema import micros
from ingot.worker.keeper import Keeper
from queuehouse import QueueHouse, take
from treasury import Treasury

URL = "/v1/chat/completions"
CONFIG = """
[worker]
enabled = false
[engine]
enabled = false
[targets.up]
base_url = "http://127.0.0.1:1/v1"
[models.m]
targets = ["up"]
price = { input = 1, output = 1 }
[batches]
requests = 50
request_bytes = 2000
job_requests = 3
queued_tokens = 100_000
"""
CREDIT = 10**15
WHO = Principal("key_a", "kid", "name", "org_a", "inference", Grant(prepaid=True))


@dataclass(slots=True)
class Desk:
    """A process that works on no queue by itself, what clients ask of it, and its disk."""

    house: QueueHouse
    runtime: Runtime
    batches: Batches
    files: Files
    clock: ManualClock
    root: Path

    def filing(self, *, files: Files | None = None) -> Filing:
        """The files of batches, in the hands of one more process."""
        jobs = Jobs(self.house.db, purse=self.house.purse, signal=LocalSignal(), clock=self.clock)
        runtime = replace(self.runtime, jobs=jobs)
        return Filing(
            lambda: runtime,
            self.house.db,
            files or self.files,
            _by_path({"open": runtime.preset}),
            {"open": runtime.preset},
        )

    def keeper(self) -> Keeper:
        """Who tends the batches, as one more process has it."""
        return Keeper(self.filing(), self.house.db)

    async def upload(self, data: bytes) -> str:
        """A file for a batch."""
        draft = await self.files.begin()
        draft.write(data)
        told = await self.files.create(WHO, draft, filename="in.jsonl", wanted=CreateFile(purpose="batch"))
        return str(json.loads(told)["id"])

    async def begin(self, data: bytes, **fields: Any) -> str:
        """A batch whose file has these bytes."""
        wanted = CreateBatch(endpoint=URL, input_file_id=await self.upload(data), **fields)
        return str(json.loads(await self.batches.making.create_from_file(WHO, wanted))["id"])

    async def faults(self, which: str) -> list[Any]:
        """Why a batch failed."""
        told = json.loads(await self.batches.read("org_a", which))
        assert told["status"] == "failed"
        assert told["request_counts"]["total"] == 0
        return list(told["errors"]["data"])

    async def answer(self, which: str, *, fail: Sequence[str] = ()) -> None:
        """Works all of a batch off; the requests at these places fail."""
        worker = self.house.process()
        for job in await take(worker, 999):
            if job.batch_id != which:
                await worker.give_back(job)
                continue
            for item in await worker.items(job):
                failed = f"n{item.seq}" in fail
                how: dict[str, Any] = {
                    "state": "failed" if failed else "completed",
                    "status": 400 if failed else 200,
                    "answer": b'{"error":{"code":"bad"}}' if failed else b'{"said": %d}' % item.seq,
                    "billable": not failed,
                    "amount": 0 if failed else 5,
                    "price": None if failed else job.price,
                    "expires_at": micros(self.clock.now()) + 90 * DAY * 1_000_000,
                }
                assert await self.house.settle(job, item, **how)

    async def content(self, file_id: str) -> list[Any]:
        """The lines of a file of results."""
        handle, row = await self.files.content("org_a", file_id)
        with handle:
            data = handle.read()
        assert (len(data), row.purpose) == (row.bytes, "batch_output")
        return [json.loads(line) for line in data.splitlines()]

    def on_disk(self) -> int:
        """How many files lie there, drafts included."""
        return sum(path.is_file() for path in self.root.rglob("*"))


@asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Desk]:
    """A whole process but for its socket and its worker, with an organization that has credit."""
    clock, sink = ManualClock(), LineSink(io.BytesIO())
    log = configure(sink, form="json", level="error")
    place.data.mkdir(parents=True, exist_ok=True)
    text = f'[server]\ndata = "{place.data}"\ndatabase = "{place.url}"\n{CONFIG}'
    loaded = Loaded(load(text, {}), None, ())
    async with process.opened(loaded, environ={}, log=log, sink=sink, clock=clock) as app:
        parts, runtime = app._parts, app.runtime
        treasury = Treasury(parts.database, clock)
        await treasury.organization("org_a", amount=CREDIT)
        known = {path: dialect for (_, path), dialect in _by_path({"open": runtime.preset}).items()}
        desk = Batches(runtime, parts.database, files=parts.files, dialects=known, wording=OBJECT)
        house = QueueHouse(parts.database, clock, treasury, parts.purse, parts.recorder)
        yield Desk(house, runtime, desk, parts.files, clock, place.data / "files")


def line(number: int, *, most: int = 5, **more: Any) -> bytes:
    """A good line, with what is wrong about it."""
    body = {"model": "m", "max_tokens": most, "messages": [{"role": "user", "content": "x"}]}
    value = {"custom_id": f"n{number}", "method": "POST", "url": URL, "body": body} | more
    return json.dumps(value).encode() + b"\n"


def lines(count: int) -> bytes:
    """So many good ones."""
    return b"".join(line(number) for number in range(count))


async def lapse(desk: Desk, which: str) -> None:
    """The lease of a batch is over, on any clock."""
    over = update(table).where(table.c.id == which).values(lease_until=0)
    await desk.house.db.write(lambda conn: conn.execute(over))


async def taken(desk: Desk) -> BatchRow:
    """The next batch with a file, by a process that then does nothing more."""
    now = micros(desk.clock.now())
    wanted: tuple[State, ...] = ("validating", "finalizing")
    found = await desk.house.db.write(partial(batches.take, states=wanted, owner="own_dead", now=now))
    assert found is not None
    return found


async def ranges(desk: Desk, which: str) -> list[tuple[int, int]]:
    worker = desk.house.process()
    taken = await take(worker, 999)
    for job in taken:
        await worker.give_back(job)
    return sorted((job.lo, job.hi) for job in taken if job.batch_id == which)
