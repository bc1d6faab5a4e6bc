"""Batches on both databases: whole or not at all, counted exactly at every commit, ended once, and billed for answers alone."""

import asyncio
from functools import partial

import pytest
from msgspec.structs import replace

from batchqueue import (
    CANCELLED,
    DAY,
    FAILED,
    TOKENS,
    add_up,
    billed,
    cancel,
    counts,
    end_waiting,
    left_of,
    look,
    make,
    new_row,
    new_work,
    reveal,
    stage,
    states,
)
from databases import Place
from ingot.errors import QuotaExceeded, RateLimited
from ingot.services.batches.staging import discard
from ingot.services.jobs import Lost
from ingot.store import batch_ends, batches, queue
from ingot.store.batches import BatchRow, Shape, State
from ingot.store.responses import Step
from ingot.store.schema import jobs, micros
from ingot.store.suspects import SUSPECTED
from queuehouse import QueueHouse, open_queue, take

SHAPES: tuple[Shape, ...] = ("requests", "file", "messages")
READ: tuple[State, ...] = ("validating",)
MOST = 50


async def listed(house: QueueHouse) -> list[str]:
    """The ids of all batches that the organization sees."""
    step = Step(None, 100, descending=True)
    rows, _ = await house.db.read(lambda conn: batches.list_batches(conn, "org_a", shapes=SHAPES, step=step))
    return [row.id for row in rows]


async def found(house: QueueHouse, which: str) -> BatchRow | None:
    """What the organization sees of a batch."""
    return await house.db.read(partial(batches.find_batch, org_id="org_a", which=which, shapes=SHAPES))


async def taken(house: QueueHouse) -> BatchRow | None:
    """The next batch whose file is to be read, leased."""
    now = micros(house.clock.now())
    return await house.db.write(partial(batches.take, states=READ, owner="own_1", now=now))


# ---- made


async def test_b01_nobody_sees_a_batch_while_it_is_staged(backend: Place) -> None:
    """Neither its client nor a worker, nor is it counted; once it is revealed all of it is there at once."""
    async with open_queue(backend) as house:
        row = new_row(house)
        lines, rows = new_work(house, row, sizes=(3, 2), most=MOST)
        await stage(house, row, lines)
        assert (await found(house, row.id), await listed(house)) == (None, [])
        assert not await take(house.process(), 64)
        assert await house.held() == 0
        shown = await reveal(house, row, rows)
        assert (shown.state, shown.total, shown.model, shown.grant_data) == ("in_progress", 5, "m", None)
        assert await found(house, row.id) == shown
        assert [(job.lo, job.hi) for job in await take(house.process(), 64)] == [(0, 2), (3, 4)]


async def test_money_is_reserved_once_for_all_jobs_when_a_batch_is_revealed(backend: Place) -> None:
    """All of it in one write; each request may use its part, and what none used comes back with the last one."""
    async with open_queue(backend, credit=6 * MOST) as house:
        row = await make(house, sizes=(2, 4), most=MOST)
        assert await house.held() == 6 * MOST
        assert len(set(await house.rows(jobs.c.holds))) == 1
        worker = house.process()
        work = await take(worker, 64)
        for number, job in enumerate(work):
            for item in await worker.items(job):
                assert item.reserved == MOST
                assert await house.settle(job, item, tokens=5)
            assert (await house.held() == 0) is (number == len(work) - 1)
        assert (await add_up(house, row.id)).state == "completed"
        assert await house.sound()


async def test_b01_nothing_is_there_when_the_money_is_too_little(backend: Place) -> None:
    """No job waits, nothing is held, and the batch is still staged: its maker removes it."""
    async with open_queue(backend, credit=6 * MOST - 1) as house:
        row = new_row(house)
        lines, rows = new_work(house, row, sizes=(3, 3), most=MOST)
        await stage(house, row, lines)
        with pytest.raises(QuotaExceeded):
            await reveal(house, row, rows)
        assert (await look(house, row.id)).state == "staged"
        assert (await house.held(), await left_of(house, row.id)) == (0, (0, 6, 0))
        await discard(house.db, row.id)
        assert await left_of(house, row.id) == (0, 0, 0)
        assert not await states(house, row.id)
        assert await house.sound()


async def test_b09_batch_is_refused_when_too_many_tokens_wait(backend: Place) -> None:
    """Those of open batches of the organization count, as far as they have not ended; others' do not."""
    async with open_queue(backend) as house:
        await make(house, "org_b", sizes=(9,))
        first = await make(house, sizes=(4,))
        row = new_row(house)
        lines, rows = new_work(house, row, sizes=(2,))
        await stage(house, row, lines)
        with pytest.raises(RateLimited, match="estimated at 40 tokens, this batch at 20, and 59") as caught:
            await reveal(house, row, rows, most_tokens=6 * TOKENS - 1)
        assert (caught.value.code, caught.value.retry_after) == ("queued_tokens_exceeded", 60.0)
        with pytest.raises(RateLimited, match="Send fewer requests") as caught:
            await reveal(house, row, rows, most_tokens=2 * TOKENS - 1)
        assert caught.value.retry_after is None
        worker = house.process()
        [job] = [each for each in await take(worker, 64) if each.batch_id == first.id]
        await house.settle(job, (await worker.items(job))[0])
        queued = partial(batches.queued_tokens, org_id="org_a")
        assert await house.db.read(queued) == 3 * TOKENS
        await reveal(house, row, rows, most_tokens=5 * TOKENS)
        assert await house.db.read(queued) == 5 * TOKENS


async def test_batch_is_not_revealed_when_it_was_taken_from_its_maker(backend: Place) -> None:
    """Nor can its maker add to it; nothing waits and nothing is held."""
    async with open_queue(backend) as house:
        row = new_row(house)
        lines, rows = new_work(house, row, most=MOST)
        await stage(house, row, lines[:4])
        assert await house.db.write(partial(batches.disown, batch_id=row.id)) is not None
        assert not await house.db.write(partial(batches.add_lines, batch=row, lines=lines[4:]))
        with pytest.raises(Lost):
            await reveal(house, row, rows)
        assert (await house.held(), await left_of(house, row.id)) == (0, (0, 4, 0))


async def test_b10_batch_stays_whole_when_its_maker_gives_up_after_it_was_revealed(backend: Place) -> None:
    """A client that leaves while the last write is on its way cannot know: what is seen is never taken apart."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(3, 3), most=MOST)
        await discard(house.db, row.id)
        assert await left_of(house, row.id) == (2, 6, 0)
        with pytest.raises(Lost):  # and no second time either
            await reveal(house, replace(row, state="staged"), new_work(house, row)[1])
        assert await states(house, row.id) == {"pending": 6}
        worker = house.process()
        for job in await take(worker, 64):
            for item in await worker.items(job):
                assert await house.settle(job, item)
        assert (await add_up(house, row.id)).state == "completed"


# ---- counted


async def test_b04_counts_are_exact_when_results_come_in_groups(backend: Place) -> None:
    """Results of two batches and of both organizations in one commit, those that failed among them."""
    async with open_queue(backend) as house:
        rows = [await make(house, org_id, sizes=(4, 2), most=MOST) for org_id in ("org_a", "org_b")]
        worker = house.process()
        work = [(job, await worker.items(job)) for job in await take(worker, 64)]
        written = [house.settle(job, items[0]) for job, items in work]
        written += [house.settle(job, items[1], **FAILED) for job, items in work]
        assert all(await asyncio.gather(*written))
        for row in rows:
            told = await add_up(house, row.id)
            assert (counts(told), told.left, told.state) == ({"completed": 2, "failed": 2}, 2, "in_progress")
            assert (told.input_tokens, told.output_tokens) == (10, 0)
        rest = [(job, item) for job, items in work for item in items[2:]]
        assert all(await asyncio.gather(*(house.settle(job, item) for job, item in rest)))
        for row in rows:
            told = await add_up(house, row.id)
            assert (counts(told), told.state) == ({"completed": 4, "failed": 2}, "completed")
            assert told.ended_at == micros(house.clock.now())
        assert (await house.held("org_a"), await house.held("org_b")) == (0, 0)
        assert await house.sound()


async def test_q04_nothing_is_counted_when_results_are_fenced(backend: Place) -> None:
    """A zombie's results come in one commit with those that count; a result that came twice counts once."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(3, 3), most=MOST)
        dead, alive = house.process(), house.process()
        old = [(job, await dead.items(job)) for job in await take(dead, 64)]
        await house.lapse(old[0][0].id)
        await alive.reclaim()
        [new] = await take(alive, 64)
        items = await alive.items(new)
        written = await asyncio.gather(
            *(house.settle(old[0][0], item) for item in old[0][1]),
            *(house.settle(old[1][0], item) for item in old[1][1]),
            house.settle(new, items[0]),
        )
        assert written == [False] * 3 + [True] * 4
        assert not await house.settle(new, items[0])
        told = await add_up(house, row.id)
        assert (counts(told), told.left, told.state) == ({"completed": 4}, 2, "in_progress")
        assert all(await asyncio.gather(*(house.settle(new, item) for item in items[1:])))
        assert (await add_up(house, row.id)).state == "completed"
        assert (await house.held(), await house.sound()) == (0, True)


@pytest.mark.parametrize("shape", SHAPES)
async def test_b03_last_result_ends_the_batch_or_has_its_files_written(backend: Place, shape: Shape) -> None:
    """A batch of failures alone is a completed one; that of a file has no end before its files are there."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(1, 1), shape=shape)
        worker = house.process()
        work = await take(worker, 64)
        for number, job in enumerate(work):
            assert (await look(house, row.id)).state == "in_progress", number
            for item in await worker.items(job):
                await house.settle(job, item, **FAILED)
        told, now = await add_up(house, row.id), micros(house.clock.now())
        filed = shape == "file"
        assert told.state == ("finalizing" if filed else "completed")
        assert (told.finalizing_at, told.ended_at) == ((now, None) if filed else (None, now))
        assert counts(told) == {"failed": 2}


async def test_q09_counts_stay_exact_when_a_job_is_cut_up(backend: Place) -> None:
    """What kills its workers fails alone, after its jobs were cut into single requests."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(4,), most=MOST)
        worker = house.process()
        [job] = await take(worker)
        first = (await worker.items(job))[0]
        assert await house.settle(job, first)
        for _ in range(SUSPECTED):
            await house.lapse()
            await worker.reclaim()
            work = await take(worker, 64)
        for how in ({}, FAILED, {}):
            [each] = work
            [item] = await worker.items(each)
            assert await house.settle(each, item, **how)
            await add_up(house, row.id)
            work = await take(worker, 64)
        told = await look(house, row.id)
        assert (counts(told), told.state) == ({"completed": 3, "failed": 1}, "completed")
        assert (await house.held(), await house.sound()) == (0, True)


# ---- cancelled


async def test_b05_what_waits_ends_at_once_and_unbilled_when_a_batch_is_cancelled(backend: Place) -> None:
    """A few jobs at a time; the last one ends the batch, and all of the money comes back."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(2, 2, 2), most=MOST)
        now = micros(house.clock.now())
        asked = partial(batch_ends.ask_end, batch=row, at=now)
        assert await house.db.write(asked, locks=(row.org_id,))
        assert ((await look(house, row.id)).state, await house.held()) == ("cancelling", 6 * MOST)
        assert await house.db.read(batch_ends.to_be_ended) == [(row.id, row.org_id)]
        for left in (4, 2, 0):
            write = partial(batch_ends.end_waiting, batch_id=row.id, how="cancelled", at=now, most=1)
            ended, over = await house.db.write(write, locks=(row.org_id,))
            assert (ended, [each.id for each in over]) == (1, [] if left else [row.id])
            assert (await add_up(house, row.id)).left == left
        told = await look(house, row.id)
        assert (told.state, told.cancel_at, told.ended_at) == ("cancelled", now, now)
        assert (await billed(house, row.id), await house.held(), await left_of(house, row.id)) == (
            0,
            0,
            (0, 0, 0),
        )
        assert not await house.db.read(batch_ends.to_be_ended)
        assert await house.sound()


async def test_b05_what_runs_may_end_and_is_billed_when_a_batch_is_cancelled(backend: Place) -> None:
    """Its worker learns of it; one that it does not finish is cancelled, unbilled; then the batch is."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(2, 3), most=MOST)
        worker = house.process()
        [job] = await take(worker)
        assert await cancel(house, row)
        told = await add_up(house, row.id)
        assert (told.state, counts(told), told.left) == ("cancelling", {"cancelled": 3}, 2)
        assert await worker.cancelled() == {job.id: told.cancel_at}
        first, second = await worker.items(job)
        assert await house.settle(job, first)
        assert (await look(house, row.id)).state == "cancelling"
        assert await house.settle(job, second, **CANCELLED)
        told = await add_up(house, row.id)
        assert (told.state, counts(told)) == ("cancelled", {"completed": 1, "cancelled": 4})
        assert (await house.held(), await house.sound()) == (0, True)


async def test_b05_second_cancel_changes_nothing(backend: Place) -> None:
    """Neither while the first one is on its way nor once the batch has ended, however it did."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(1, 1))
        worker = house.process()
        [job] = await take(worker)
        assert await cancel(house, row)
        before = await look(house, row.id)
        house.clock.advance(5)
        assert not await cancel(house, row)
        assert await look(house, row.id) == before
        await house.settle(job, (await worker.items(job))[0])
        before = await look(house, row.id)
        assert before.state == "cancelled"
        assert not await cancel(house, before)
        assert await look(house, row.id) == before


async def test_b05_batch_is_cancelled_at_once_while_its_file_is_read(backend: Place) -> None:
    """Who reads the file adds nothing to it any more, and cannot make it run."""
    async with open_queue(backend) as house:
        row = new_row(house, shape="file", state="validating")
        lines, rows = new_work(house, row, most=MOST)
        await house.db.write(partial(batches.insert_batch, row=row))
        held = await taken(house)
        assert held is not None
        assert await house.db.write(partial(batches.add_lines, batch=held, lines=lines[:3]))
        assert await cancel(house, row)
        told = await look(house, row.id)
        assert (told.state, told.total, told.ended_at) == ("cancelled", 0, micros(house.clock.now()))
        assert not await house.db.write(partial(batches.add_lines, batch=held, lines=lines[3:]))
        with pytest.raises(Lost):
            await reveal(house, held, rows)
        assert await house.db.write(partial(batches.drop_staged, batch=held, most=100)) == 3
        assert (await left_of(house, row.id), await house.held()) == ((0, 0, 0), 0)
        assert await taken(house) is None


async def test_b05_batch_is_cancelled_by_its_lines_when_it_began_meanwhile(backend: Place) -> None:
    """Whoever cancels looked at it while its file was being read; by the time of the write its requests wait."""
    async with open_queue(backend) as house:
        row = new_row(house, shape="file", state="validating")
        lines, rows = new_work(house, row, sizes=(2, 2), most=MOST)
        await stage(house, row, lines)
        seen = await look(house, row.id)
        await reveal(house, row, rows)
        worker = house.process()
        [job] = await take(worker)
        assert await cancel(house, seen)
        told = await add_up(house, row.id)
        assert (told.state, counts(told), told.left) == ("cancelling", {"cancelled": 2}, 2)
        for item in await worker.items(job):
            assert await house.settle(job, item)
        told = await add_up(house, row.id)
        assert (told.state, counts(told)) == ("finalizing", {"completed": 2, "cancelled": 2})
        assert await house.held() == 0


# ---- expired


async def test_b06_what_waits_ends_when_its_time_is_over(backend: Place) -> None:
    """By the window of each job: what is due later goes on, and so does what is carried on with when it is late."""
    async with open_queue(backend) as house:
        now = micros(house.clock.now())
        row = new_row(house)
        lines, rows = new_work(house, row, sizes=(2, 2, 2), most=MOST)
        soon, late = now + 10_000_000, now + DAY * 1_000_000
        for place, (due, on_miss) in enumerate(((soon, "fail"), (late, "fail"), (soon, "escalate"))):
            rows.work[place] = _due(rows.work[place], due, on_miss)  # type: ignore[index]  # a list of ours
        await stage(house, row, lines)
        await reveal(house, row, rows)
        assert not await house.db.read(partial(batch_ends.overdue, now=soon - 1))
        house.clock.advance(10)
        assert await house.db.read(partial(batch_ends.overdue, now=soon)) == [(row.id, row.org_id)]
        assert await end_waiting(house, row, how="expired") == 1
        assert not await house.db.read(partial(batch_ends.overdue, now=soon))
        told = await add_up(house, row.id)
        assert (told.state, counts(told), told.left) == ("in_progress", {"expired": 2}, 4)
        worker = house.process()
        for job in await take(worker, 64):
            for item in await worker.items(job):
                assert await house.settle(job, item)
        told = await add_up(house, row.id)
        assert (told.state, counts(told)) == ("expired", {"completed": 4, "expired": 2})
        assert (await house.held(), await house.sound()) == (0, True)


def _due(job: queue.Job, at: int, on_miss: str) -> queue.Job:
    return replace(job, due_at=at, on_miss=on_miss)
