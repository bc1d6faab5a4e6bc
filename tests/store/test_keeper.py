"""Files of batches read and written by whichever process has them, and what is late, cancelled or over ended: on both databases."""

import asyncio
import json
from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy import update

from batchqueue import DAY, add_up, counts, left_of, look, make, new_row, new_work, stage, states
from databases import Place
from filinghouse import CREDIT, Desk, lapse, line, lines, opened, ranges, taken
from ingot.dialects.files import Expiry
from ingot.services.batches.filing import Lease
from ingot.services.jobs import Lost
from ingot.store import batches
from ingot.store.schema import batches as table
from ingot.store.schema import files as file_rows
from ingot.store.schema import micros, organizations
from ingot.worker.keeper import RESULT_DAYS, STAGED_SECONDS
from queuehouse import take


@pytest.fixture
async def desk(backend: Place) -> AsyncIterator[Desk]:
    """A process that works on nothing by itself."""
    async with opened(backend) as found:
        yield found


# ---- files


async def test_file_is_read_and_its_results_are_written(desk: Desk) -> None:
    """Answers and errors in a file each, as long as was asked for; the batch ends with them, and the money is back."""
    kept = Expiry(anchor="created_at", seconds=3600)
    which = await desk.begin(lines(7), output_expires_after=kept, metadata={"k": "v"})
    work = desk.filing()
    assert (await look(desk.house, which)).state == "validating"
    assert [await work.turn(), await work.turn()] == [True, False]
    row = await look(desk.house, which)
    assert (row.state, row.total, row.model, row.owner, row.grant_data) == ("in_progress", 7, "m", None, None)
    assert [hi - lo + 1 for lo, hi in await ranges(desk, which)] == [3, 3, 1]
    assert await desk.house.held() > 0
    desk.clock.advance(5)
    await desk.answer(which, fail=["n2", "n5"])
    assert ((await look(desk.house, which)).state, await desk.house.held()) == ("finalizing", 0)
    desk.clock.advance(5)
    assert [await work.turn(), await work.turn()] == [True, False]
    told = json.loads(await desk.batches.read("org_a", which))
    assert (told["status"], told["metadata"]) == ("completed", {"k": "v"})
    assert told["completed_at"] - told["finalizing_at"] == 5
    good, bad = await desk.content(told["output_file_id"]), await desk.content(told["error_file_id"])
    assert {each["custom_id"]: each["response"]["body"] for each in good} == {
        f"n{seq}": {"said": seq} for seq in (0, 1, 3, 4, 6)
    }
    assert {each["custom_id"]: each["response"]["status_code"] for each in bad} == {"n2": 400, "n5": 400}
    until = await desk.house.rows(file_rows.c.expires_at, file_rows.c.purpose == "batch_output")
    assert set(until) == {micros(desk.clock.now()) + 3600 * 1_000_000}


async def test_no_file_is_written_of_what_there_is_nothing_of(desk: Desk) -> None:
    """A batch without a failure has no file of errors."""
    which = await desk.begin(lines(2))
    work = desk.filing()
    await work.turn()
    await desk.answer(which)
    await work.turn()
    row = await look(desk.house, which)
    assert (row.state, row.error_file_id) == ("completed", None)
    assert len(await desk.content(row.output_file_id or "")) == 2


async def test_b02_faults_are_told_with_their_lines(desk: Desk) -> None:
    """Empty lines count and are no requests; what is no JSON is one fault like any other, and nothing of the file runs."""
    data = [
        line(0),
        b"\n",
        line(1, url="/v1/responses"),
        b'{"custom_id":1,}\n',
        line(0),
        b"nonsense\n",
        line(2, body={"model": "nobody", "messages": []}),
        line(3),
    ]
    which = await desk.begin(b"".join(data))
    assert await desk.filing().turn()
    told = [(fault["line"], fault["param"], fault["code"]) for fault in await desk.faults(which)]
    assert [place for place, _, _ in told] == [3, 4, 5, 6, 7]
    assert [code for _, _, code in told][:4] == [
        "invalid_url",
        "invalid_json",
        "duplicate_custom_id",
        "invalid_json",
    ]
    assert [param for _, param, _ in told][:3] == ["url", None, "custom_id"]
    assert str(told[4][1]).startswith("body.")
    assert (await left_of(desk.house, which), await states(desk.house, which)) == ((0, 0, 0), {})
    assert await desk.house.held() == 0


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"\n\n", "empty_file", "no requests"),
        (b"x" * 3000, "request_too_large", "Line 1 has more than 2,000 bytes"),
        (b"".join(line(number) for number in range(51)), "array_above_max_length", "at most 50"),
        (line(0, most=100_000), "queued_tokens_exceeded", "Send fewer requests"),
    ],
    ids=["empty", "a long line", "too many", "too many tokens"],
)
async def test_batch_fails_when_its_file_as_a_whole_cannot_be_used(
    desk: Desk, data: bytes, code: str, words: str
) -> None:
    """With one fault; nothing of it is left."""
    which = await desk.begin(data)
    assert await desk.filing().turn()
    [fault] = await desk.faults(which)
    assert fault["code"] == code
    assert words in fault["message"]
    assert await left_of(desk.house, which) == (0, 0, 0)


async def test_batch_fails_when_its_file_is_gone(desk: Desk) -> None:
    """Deleted before anybody read it."""
    which = await desk.begin(lines(1))
    file_id = (await look(desk.house, which)).input_file_id or ""
    await desk.files.delete("org_a", file_id)
    assert await desk.filing().turn()
    [fault] = await desk.faults(which)
    assert (fault["code"], fault["param"]) == ("not_found", "file_id")


# ---- processes that die


async def test_reading_is_taken_up_when_a_process_died_over_it(desk: Desk) -> None:
    """What it had written down goes first; the one that was thought dead adds nothing and takes nothing away."""
    which = await desk.begin(lines(5))
    dead = await taken(desk)
    staged = new_work(desk.house, dead, sizes=(2,))[0]
    assert await desk.house.db.write(partial(batches.add_lines, batch=dead, lines=staged))
    assert not await desk.filing().turn()
    await lapse(desk, which)
    assert await desk.filing().turn()
    row = await look(desk.house, which)
    assert (row.state, row.total, await states(desk.house, which)) == ("in_progress", 5, {"pending": 5})
    assert (await desk.house.process().waiting())["queued"] == 2
    with pytest.raises(Lost):
        await desk.filing()._read(dead, Lease(desk.filing(), dead))
    assert await left_of(desk.house, which) == (2, 5, 0)
    await desk.answer(which)
    assert (await add_up(desk.house, which)).completed == 5


async def test_zombie_takes_nothing_apart_when_it_finds_a_fault(desk: Desk) -> None:
    """The file is gone by now, and the one that was thought dead would have the batch fail: what runs stays whole."""
    which = await desk.begin(lines(5))
    dead = await taken(desk)
    await lapse(desk, which)
    assert await desk.filing().turn()
    await desk.files.delete("org_a", dead.input_file_id or "")
    await desk.filing()._read(dead, Lease(desk.filing(), dead))
    assert await left_of(desk.house, which) == (2, 5, 0)
    assert (await look(desk.house, which)).state == "in_progress"


async def test_results_are_written_once_when_a_process_died_over_them(desk: Desk) -> None:
    """Files of the one that came late are removed again: the batch has those of the first."""
    which = await desk.begin(lines(3))
    work = desk.filing()
    await work.turn()
    await desk.answer(which, fail=["n1"])
    dead = await taken(desk)
    assert dead.state == "finalizing"
    assert not await work.turn()
    await lapse(desk, which)
    assert await work.turn()
    ended, lie = await look(desk.house, which), desk.on_disk()
    assert ended.state == "completed"
    with pytest.raises(Lost):
        await desk.filing()._write(dead, Lease(desk.filing(), dead))
    assert (await look(desk.house, which), desk.on_disk()) == (ended, lie)
    assert len(await desk.content(ended.output_file_id or "")) == 2


async def test_others_come_first_when_a_file_cannot_be_read(desk: Desk) -> None:
    """A disk that fails on one keeps no other waiting; it is tried again once its lease is over."""
    broken = await desk.begin(lines(1))
    blob = desk.files.blobs.path((await look(desk.house, broken)).input_file_id or "")
    data = blob.read_bytes()
    blob.unlink()
    blob.mkdir()
    desk.clock.advance(1)
    fine = await desk.begin(lines(2))
    work = desk.filing()
    with pytest.raises(OSError, match="directory"):
        await work.turn()
    assert await work.turn()
    assert ((await look(desk.house, fine)).state, (await look(desk.house, broken)).state) == (
        "in_progress",
        "validating",
    )
    assert not await work.turn()
    blob.rmdir()
    blob.write_bytes(data)
    await lapse(desk, broken)
    assert await work.turn()
    assert (await look(desk.house, broken)).state == "in_progress"


async def test_lease_is_given_back_when_a_process_ends_over_a_file(desk: Desk) -> None:
    """The next one need not wait for it to be over."""
    which = await desk.begin(lines(3))
    task = asyncio.create_task(desk.filing().turn())
    while not await states(desk.house, which):
        pass
    task.cancel()
    await asyncio.wait([task])
    row = await look(desk.house, which)
    assert row.owner is None
    assert row.state == "in_progress" or await desk.filing().turn()
    assert (await look(desk.house, which)).state == "in_progress"
    assert await states(desk.house, which) == {"pending": 3}


# ---- tended


async def test_b06_late_work_ends_when_it_is_tended(desk: Desk) -> None:
    """What waits beyond its time has expired; what had been answered stays, and the results are written."""
    which = await desk.begin(lines(5))
    work, keeper = desk.filing(), desk.keeper()
    await work.turn()
    worker = desk.house.process()
    [job] = await take(worker, 3)
    first = (await worker.items(job))[0]
    assert await desk.house.settle(job, first, amount=5, answer=b"{}", expires_at=9 * 10**15)
    await worker.give_back(job)
    desk.clock.advance(DAY - 1)
    await keeper.end_late()
    assert (await add_up(desk.house, which)).left == 4
    desk.clock.advance(1)
    await keeper.end_late()
    row = await add_up(desk.house, which)
    assert (row.state, counts(row), await desk.house.held()) == (
        "finalizing",
        {"completed": 1, "expired": 4},
        0,
    )
    await work.turn()
    row = await look(desk.house, which)
    assert row.state == "expired"
    errors = await desk.content(row.error_file_id or "")
    assert {each["error"]["code"] for each in errors} == {"batch_expired"}
    assert len(errors) == 4


async def test_b05_cancelled_work_ends_when_who_cancelled_it_stopped(desk: Desk) -> None:
    """What was given back after the call waits for nobody: any process ends it."""
    row = await make(desk.house, sizes=(2, 2), most=7)
    worker = desk.house.process()
    [job] = await take(worker, 2)
    await desk.batches.cancel("org_a", row.id)
    assert (await add_up(desk.house, row.id)).left == 2
    await worker.give_back(job)
    await desk.keeper().end_late()
    told = await add_up(desk.house, row.id)
    assert (told.state, counts(told), await desk.house.held()) == ("cancelled", {"cancelled": 4}, 0)
    await desk.keeper().end_late()
    assert await look(desk.house, row.id) == told


async def test_cancelled_file_leaves_nothing_staged_behind(desk: Desk) -> None:
    """Who was reading it removes what it had written down."""
    which = await desk.begin(lines(4))
    reading = await taken(desk)
    staged = new_work(desk.house, reading, sizes=(2,))[0]
    await desk.batches.cancel("org_a", which)
    with pytest.raises(Lost):
        await desk.filing()._read(reading, Lease(desk.filing(), reading))
    assert not await desk.house.db.write(partial(batches.add_lines, batch=reading, lines=staged))
    assert (await left_of(desk.house, which), await states(desk.house, which)) == ((0, 0, 0), {})
    assert (await look(desk.house, which)).state == "cancelled"


async def test_batch_fails_when_its_file_was_not_read_before_it_was_due(desk: Desk) -> None:
    """Whatever kept everybody from reading it: its client learns why, and nobody tries for ever."""
    which = await desk.begin(lines(2))
    desk.clock.advance(DAY - 1)
    await desk.keeper().end_late()
    assert (await look(desk.house, which)).state == "validating"
    desk.clock.advance(2)
    await desk.keeper().end_late()
    told = json.loads(await desk.batches.read("org_a", which))
    assert (told["status"], told["errors"]["data"][0]["code"]) == ("failed", "batch_expired")
    assert not await desk.filing().turn()


async def test_lines_go_when_a_sweep_was_cut_off(desk: Desk) -> None:
    """One that noted them as gone and died is gone on from by the next."""
    which = await desk.begin(lines(2))
    await desk.filing().turn()
    await desk.answer(which)
    await desk.filing().turn()
    desk.clock.advance((RESULT_DAYS + 1) * DAY)
    at = micros(desk.clock.now())
    await desk.house.db.write(partial(batches.archive, batch_id=which, at=at))
    await desk.keeper().sweep()
    assert await states(desk.house, which) == {}


async def test_sweep_removes_what_nobody_will_ask_for_again(desk: Desk) -> None:
    """Batches that nobody saw, results that are too old, what a deleted organization had; nothing else."""
    await desk.house.treasury.organization("org_b", amount=CREDIT)
    keeper, house = desk.keeper(), desk.house
    staged, gone = new_row(house), await make(house, "org_b", sizes=(1,))
    await stage(house, staged, new_work(house, staged)[0])
    old = await make(house, sizes=(2,))
    await desk.answer(old.id)
    await desk.answer(gone.id)
    delete = update(organizations).where(organizations.c.id == "org_b").values(deleted_at=1)
    await house.db.write(lambda conn: conn.execute(delete))
    desk.clock.advance(STAGED_SECONDS)
    await keeper.sweep()
    assert await left_of(house, staged.id) == (0, 6, 0)
    assert await house.rows(table.c.id, table.c.id == gone.id) == []
    desk.clock.advance(1)
    await keeper.sweep()
    assert (await left_of(house, staged.id), await states(house, old.id)) == ((0, 0, 0), {"completed": 2})
    desk.clock.advance(RESULT_DAYS * DAY)
    running = await make(house, sizes=(2,))
    await keeper.sweep()
    row = await look(house, old.id)
    assert (row.archived_at, row.completed, await states(house, old.id)) == (micros(desk.clock.now()), 2, {})
    assert await left_of(house, running.id) == (1, 2, 0)
    await keeper.sweep()
    assert await look(house, old.id) == row
