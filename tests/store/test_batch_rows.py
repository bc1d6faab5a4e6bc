"""Batches as rows on both databases: whose they are, pages of them, leases of their files, and what is let go in the end."""

from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from batchqueue import (
    CANCELLED,
    DAY,
    FAILED,
    add_up,
    cancel,
    end_waiting,
    left_of,
    look,
    make,
    new_row,
    new_work,
    stage,
    states,
)
from databases import Place
from ingot.services.batches.staging import clear, discard
from ingot.store import batch_lines, batches, queue
from ingot.store.batches import LEASE, BatchRow, Shape, State
from ingot.store.responses import Mark, Step
from ingot.store.schema import batches as table
from ingot.store.schema import micros, organizations
from queuehouse import QueueHouse, open_queue, take

SHAPES: tuple[Shape, ...] = ("requests", "file", "messages")


async def find(
    house: QueueHouse, which: str, org_id: str = "org_a", *, shapes: tuple[Shape, ...] = SHAPES
) -> BatchRow | None:
    """What an organization sees of a batch."""
    return await house.db.read(partial(batches.find_batch, org_id=org_id, which=which, shapes=shapes))


async def page(
    house: QueueHouse, org_id: str = "org_a", *, mark: Mark | None = None, limit: int = 9, up: bool = False
) -> tuple[list[BatchRow], bool]:
    """A page, and whether more follow."""
    step = Step(mark, limit, descending=not up)
    return await house.db.read(lambda conn: batches.list_batches(conn, org_id, shapes=SHAPES, step=step))


async def lease(house: QueueHouse, owner: str = "own_1", *wanted: State) -> BatchRow | None:
    """The next batch whose files wait for somebody, leased."""
    now = micros(house.clock.now())
    return await house.db.write(
        partial(batches.take, states=wanted or ("validating", "finalizing"), owner=owner, now=now)
    )


async def filed(house: QueueHouse) -> BatchRow:
    """A batch whose file waits to be read."""
    row = new_row(house, shape="file", state="validating")
    await house.db.write(partial(batches.insert_batch, row=row))
    return row


async def finished(house: QueueHouse, **fields: Any) -> BatchRow:
    """A batch all of whose requests were answered."""
    row = await make(house, sizes=(2,), **fields)
    worker = house.process()
    [job] = await take(worker)
    for item in await worker.items(job):
        await house.settle(job, item)
    return await look(house, row.id)


async def over(house: QueueHouse, which: str) -> None:
    """The lease of a batch is over, on any clock."""
    await house.db.write(
        lambda conn: conn.execute(update(table).where(table.c.id == which).values(lease_until=0))
    )


# ---- whose they are


async def test_another_organization_sees_nothing_of_a_batch(backend: Place) -> None:
    """It does not find, list or delete it, and no name of its requests leads anywhere from another batch."""
    async with open_queue(backend) as house:
        row = await finished(house)
        other = await make(house, "org_b")
        assert await find(house, row.id) == row
        assert await find(house, row.id, "org_b") is None
        assert [each.id for each in (await page(house, "org_b"))[0]] == [other.id]
        gone = partial(batches.delete_batch, org_id="org_b", which=row.id)
        assert not await house.db.write(gone)
        assert await look(house, row.id) == row
        assert await house.db.read(partial(batch_lines.place_of, batch_id=other.id, custom_id="n5")) == 5
        assert await house.db.read(partial(batch_lines.place_of, batch_id=row.id, custom_id="n5")) is None
        assert await house.db.read(partial(batch_lines.find_line, batch_id=row.id, custom_id="n5")) is None


async def test_batch_is_found_by_its_shape_alone(backend: Place) -> None:
    """What is told in Anthropic's words is no batch of OpenAI's clients."""
    async with open_queue(backend) as house:
        row = await finished(house, shape="messages")
        assert await find(house, row.id, shapes=("messages",)) == row
        assert await find(house, row.id, shapes=("requests", "file")) is None


@pytest.mark.parametrize("which", ["", "batch_\0", "x" * 100_000])
async def test_no_batch_and_no_line_is_found_when_a_name_is_none(backend: Place, which: str) -> None:
    """What no database can hold is not there, and is no fault of the server."""
    async with open_queue(backend) as house:
        row = await make(house)
        assert await find(house, which) is None
        assert await house.db.read(partial(batch_lines.find_line, batch_id=row.id, custom_id=which)) is None
        assert await house.db.read(partial(batch_lines.place_of, batch_id=row.id, custom_id=which)) is None


async def test_lists_go_both_ways_from_a_mark(backend: Place) -> None:
    """All of one moment are there once, whatever the size of the pages; a page says whether more follow."""
    async with open_queue(backend) as house:
        made = []
        for number in range(7):
            made.append(await make(house, sizes=(1,)))
            house.clock.advance(number % 2)
        await make(house, "org_b")
        ids = [row.id for row in made]
        for limit in (1, 2, 3, 7, 8):
            for up in (False, True):
                seen: list[str] = []
                mark, more = None, True
                while more:
                    rows, more = await page(house, mark=mark, limit=limit, up=up)
                    assert 1 <= len(rows) <= limit
                    seen += [row.id for row in rows]
                    mark = batches.mark_of(rows[-1])
                assert seen == (ids if up else ids[::-1])
        assert (await page(house, mark=batches.mark_of(made[0])))[0] == []
        newer, more = await page(house, mark=batches.mark_of(made[3]), limit=2, up=True)
        assert ([row.id for row in newer], more) == (ids[4:6], True)


async def test_lines_are_told_by_their_ends_while_a_batch_runs(backend: Place) -> None:
    """In the order of their places, those that have ended alone; a page goes on behind a place."""
    async with open_queue(backend) as house:
        row = await make(house, sizes=(3, 2), most=9)
        worker = house.process()
        [job] = await take(worker)
        items = await worker.items(job)
        await house.settle(job, items[2], answer=b"{}", expires_at=9_000_000_000_000_000)
        await house.settle(job, items[0], **FAILED, error="bad")
        assert await states(house, row.id) == {"completed": 1, "failed": 1, "running": 1, "pending": 2}
        running = partial(batch_lines.running_count, batch=await look(house, row.id))
        assert await house.db.read(running) == 1
        await cancel(house, row)

        async def ended(after: int, limit: int) -> list[tuple[int, str, bytes | None]]:
            lines = partial(batch_lines.ended_lines, batch_id=row.id, after=after, limit=limit)
            return [(line.seq, line.state, line.answer) for line in await house.db.read(lines)]

        told = [(0, "failed", None), (2, "completed", b"{}"), (3, "cancelled", None), (4, "cancelled", None)]
        assert await ended(-1, 9) == told
        assert (await ended(-1, 1), await ended(0, 2), await ended(4, 9)) == (told[:1], told[1:3], [])
        how = {}
        for name in ("n0", "n1", "n2", "n3"):
            line = await house.db.read(partial(batch_lines.find_line, batch_id=row.id, custom_id=name))
            assert line is not None
            how[name] = line.state
        assert how == {"n0": "failed", "n1": "running", "n2": "completed", "n3": "cancelled"}


# ---- leases of files


async def test_file_of_a_batch_is_one_processs_until_its_lease_is_over(backend: Place) -> None:
    """The oldest first; a lease that is renewed is kept, one that is over is another's, under a new epoch."""
    async with open_queue(backend) as house:
        first = await filed(house)
        house.clock.advance(1)
        second = await filed(house)
        held = await lease(house)
        assert held is not None
        assert (held.id, held.owner, held.epoch) == (first.id, "own_1", 1)
        other = await lease(house, "own_2")
        assert other is not None
        assert (other.id, await lease(house, "own_3")) == (second.id, None)
        now = micros(house.clock.now()) + LEASE // 2
        assert await house.db.write(partial(batches.renew, batch=held, now=now))
        renewed = await look(house, first.id)
        assert renewed.lease_until is not None
        assert held.lease_until is not None
        assert renewed.lease_until >= held.lease_until
        await over(house, first.id)
        taken = await lease(house, "own_3")
        assert taken is not None
        assert (taken.id, taken.owner, taken.epoch) == (first.id, "own_3", 2)


async def test_nothing_is_written_when_a_lease_of_files_was_lost(backend: Place) -> None:
    """No line, no end, no renewal, no release: the process that has it by now is not disturbed."""
    async with open_queue(backend) as house:
        row = await filed(house)
        lines, rows = new_work(house, row)
        dead = await lease(house, "own_1")
        assert dead is not None
        assert await house.db.write(partial(batches.add_lines, batch=dead, lines=lines[:2]))
        await over(house, row.id)
        alive = await lease(house, "own_2")
        assert alive is not None
        before = await look(house, row.id)
        now = micros(house.clock.now())
        assert not await house.db.write(partial(batches.renew, batch=dead, now=now))
        assert not await house.db.write(partial(batches.add_lines, batch=dead, lines=lines[2:]))
        assert not await house.db.write(partial(batches.drop_staged, batch=dead, most=9))
        assert not await house.db.write(partial(batches.fail, batch=dead, errors="[]", at=now))
        shown = partial(batches.reveal, batch=dead, found=rows.found, work=rows.work, at=now)
        assert await house.db.write(shown) is None
        await house.db.write(partial(batches.release, batch=dead))
        assert await look(house, row.id) == before
        assert await left_of(house, row.id) == (0, 2, 0)
        assert await house.db.write(partial(batches.drop_staged, batch=alive, most=9)) == 2
        assert await house.db.write(partial(batches.add_lines, batch=alive, lines=lines))
        assert (await house.db.write(partial(shown, batch=alive))) is not None
        # The one that was thought dead goes on, and what runs stays whole.
        assert not await house.db.write(partial(batches.drop_staged, batch=dead, most=9))
        assert not await house.db.write(partial(batches.drop_staged, batch=alive, most=9))
        assert await left_of(house, row.id) == (2, 6, 0)


async def test_batch_fails_when_its_file_cannot_be_used(backend: Place) -> None:
    """With the list of its faults, at once, and for good."""
    async with open_queue(backend) as house:
        row = await filed(house)
        held = await lease(house)
        assert held is not None
        failed = partial(batches.fail, batch=held, errors='[{"code":"x"}]', at=7)
        assert await house.db.write(failed)
        told = await look(house, row.id)
        assert (told.state, told.errors, told.ended_at, told.owner) == ("failed", '[{"code":"x"}]', 7, None)
        assert not await house.db.write(failed)
        assert await lease(house) is None
        assert not await cancel(house, told)
        assert await look(house, row.id) == told


async def test_batch_ends_with_its_files_when_they_are_written(backend: Place) -> None:
    """By who holds it; a second one finds it ended."""
    async with open_queue(backend) as house:
        row = await finished(house, shape="file")
        assert row.state == "finalizing"
        held = await lease(house)
        assert held is not None
        done = partial(batches.finish, batch=held, state="completed", output="f1", errors=None, at=9)
        ended = await house.db.write(done)
        assert ended is not None
        assert (ended.state, ended.output_file_id, ended.error_file_id, ended.ended_at) == (
            "completed",
            "f1",
            None,
            9,
        )
        assert await house.db.write(done) is None
        assert await lease(house) is None


# ---- let go


async def test_staged_batch_is_found_and_removed_when_its_maker_stopped(backend: Place) -> None:
    """After its time, and with all that was written of it; what was seen, or is younger, stays."""
    async with open_queue(backend) as house:
        row = new_row(house)
        await stage(house, row, new_work(house, row)[0])
        seen = await make(house)
        now = micros(house.clock.now())
        assert await house.db.read(partial(batches.abandoned, before=now)) == []
        assert await house.db.read(partial(batches.abandoned, before=now + 1)) == [row.id]
        for _ in range(2):
            await discard(house.db, row.id)
        assert (await left_of(house, row.id), await states(house, row.id)) == ((0, 0, 0), {})
        assert await house.db.read(partial(batches.abandoned, before=now + 1)) == []
        assert await left_of(house, seen.id) == (2, 6, 0)


async def test_lines_go_when_a_batch_ended_long_ago(backend: Place) -> None:
    """Once, and the row stays with its figures; what has not ended is never outdated."""
    async with open_queue(backend) as house:
        row, running = await finished(house), await make(house)
        house.clock.advance(30 * DAY)
        now = micros(house.clock.now())
        assert row.ended_at is not None
        assert await house.db.read(partial(batches.outdated, before=row.ended_at)) == []
        assert await house.db.read(partial(batches.outdated, before=now)) == [row.id]
        await house.db.write(partial(batches.archive, batch_id=row.id, at=now))
        await clear(house.db, row.id)
        assert await house.db.read(partial(batches.outdated, before=now)) == []
        told = await look(house, row.id)
        assert (told.archived_at, told.completed, told.total) == (now, 2, 2)
        assert await states(house, row.id) == {}
        assert await left_of(house, running.id) == (2, 6, 0)
        assert await house.sound()


async def test_only_a_batch_that_has_ended_is_deleted(backend: Place) -> None:
    """One whose requests wait keeps them."""
    async with open_queue(backend) as house:
        row, running = await finished(house), await make(house)
        assert not await house.db.write(partial(batches.delete_batch, org_id="org_a", which=running.id))
        assert await house.db.write(partial(batches.delete_batch, org_id="org_a", which=row.id))
        assert not await house.db.write(partial(batches.delete_batch, org_id="org_a", which=row.id))
        assert (await find(house, row.id), (await add_up(house, running.id)).left) == (None, 6)


async def test_batches_of_a_deleted_organization_go_when_nothing_of_them_runs(backend: Place) -> None:
    """What waited is ended by the next worker, as cancelled; then the batch is nobody's, and is forgotten."""
    async with open_queue(backend) as house:
        row, other = await make(house, sizes=(2,), most=9), await make(house, "org_b")
        now = micros(house.clock.now())
        gone = update(organizations).where(organizations.c.id == "org_a").values(deleted_at=now)
        await house.db.write(lambda conn: conn.execute(gone))
        await house.db.write(partial(queue.cancel_organization, org_id="org_a", at=now))
        assert await house.db.read(batches.ownerless) == []
        worker = house.process()
        [job] = [each for each in await take(worker, 64) if each.batch_id == row.id]
        assert job.cancel_at == now
        for item in await worker.items(job):
            assert await house.settle(job, item, **CANCELLED)
        assert (await look(house, row.id)).cancelled == 2
        assert await house.db.read(batches.ownerless) == [row.id]
        await clear(house.db, row.id)
        await house.db.write(partial(batches.forget, batch_id=row.id))
        assert (await house.db.read(batches.ownerless), await states(house, row.id)) == ([], {})
        assert (await house.held(), await left_of(house, other.id)) == (0, (2, 6, 0))


async def test_nothing_more_ends_when_a_batch_has_ended(backend: Place) -> None:
    """B03: whatever is asked of it, its row stays as it was."""
    async with open_queue(backend) as house:
        row = await finished(house)
        house.clock.advance(2 * DAY)
        assert not await cancel(house, row)
        assert await end_waiting(house, row, how="expired") == 0
        assert (
            await lease(house, "own_1", "completed") is not None
        )  # a lease alone changes nothing that is told
        assert await find(house, row.id) == await look(house, row.id)
        told = await look(house, row.id)
        assert (told.state, told.completed, told.ended_at) == (row.state, row.completed, row.ended_at)


async def test_q07_file_is_read_by_the_next_process_at_once_where_the_last_one_is_gone(
    backend: Place,
) -> None:
    """A start on SQLite ends the leases of a process that cannot be alive, whatever the clock says; elsewhere it may be."""
    async with open_queue(backend) as house:
        await house.db.write(
            partial(batches.insert_batch, row=new_row(house, shape="file", state="validating"))
        )
        now = micros(house.clock.now())
        states: tuple[State, ...] = ("validating",)
        read = partial(batches.take, states=states, owner="own_1", now=now)
        held = await house.db.write(read)
        assert held is not None
        house.clock.advance(-3600.0)
        next_one = house.process()
        await next_one.start()
        now = micros(house.clock.now())
        again = await house.db.write(partial(read, now=now))
        assert (again is None) == backend.postgres
        if again is not None:
            assert (again.id, again.epoch) == (held.id, held.epoch + 1)
            assert not await house.db.write(partial(batches.renew, batch=held, now=0))
