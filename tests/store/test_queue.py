"""The queue on both databases: leases with a fence, results and money in one commit, nothing lost and nothing twice."""

import asyncio
from functools import partial

import pytest
from sqlalchemy import update

from databases import Place, open_store
from ingot.errors import QuotaExceeded
from ingot.scheduling.fairness import service, virtual
from ingot.services.idempotency import Lead, Scope
from ingot.services.jobs import Jobs, Lost
from ingot.signals.signal import LocalSignal
from ingot.store import idempotency, queue
from ingot.store.queue import Rest
from ingot.store.schema import idempotency as keys
from ingot.store.schema import items, jobs, ledger, responses, tenant_clocks
from queuehouse import open_queue, take


async def test_q05_result_ledger_and_money_are_one_commit_when_an_item_ends(backend: Place) -> None:
    """The answer, its ledger row and its wait are there, job, item and what was reserved are gone; a second result is fenced."""
    async with open_queue(backend) as house:
        await house.put(most=100)
        assert await house.held() == 100
        worker = house.process()
        [job] = await take(worker)
        [item] = await worker.items(job)
        assert (job.epoch, item.reserved) == (1, 100)
        assert await house.settle(job, item, tokens=30)
        assert not await house.settle(job, item, tokens=30)
        assert await house.left() == (0, 0, 1, 1)
        assert (await house.held(), await house.billed(item.id)) == (0, 1)
        assert await house.sound()


async def test_q04_zombie_writes_nothing_when_its_lease_was_taken_over(backend: Place) -> None:
    """A lapsed lease is taken back under a new epoch; the old holder's result, renewal and return all do nothing."""
    async with open_queue(backend) as house:
        await house.put(most=50)
        dead, alive = house.process(), house.process()
        [old] = await take(dead)
        [item] = await dead.items(old)
        await house.lapse()
        assert await alive.reclaim() == 1
        [new] = await take(alive)
        assert (new.epoch, new.lapses) == (old.epoch + 2, 1)
        assert not await house.settle(old, item)
        assert await dead.renew([old.id]) == set()
        assert not await dead.give_back(old)
        assert await house.left() == (1, 1, 0, 0)
        assert await house.settle(new, item)
        assert (await house.billed(item.id), await house.held()) == (1, 0)
        assert await house.sound()


async def test_q03_no_job_is_leased_twice_when_workers_claim_at_once(backend: Place) -> None:
    """Of 24 jobs each is leased by one of the workers that ask at the same moment."""
    async with open_queue(backend) as house:
        for _ in range(24):
            await house.put()
        others = [open_store(backend, clock=house.clock) for _ in range(2 if backend.postgres else 0)]
        dbs = [house.db, *others]
        workers = [
            Jobs(db, purse=house.purse, signal=LocalSignal(), clock=house.clock)
            for db in dbs
            for _ in range(2)
        ]
        found = []
        for _ in range(12):
            taken = await asyncio.gather(*(take(each, 3) for each in workers))
            found += [job.id for each in taken for job in each]
        for db in others:
            await db.close()
        assert len(found) == len(set(found)) == 24


async def test_q07_leases_of_a_former_process_are_void_when_one_starts(backend: Place) -> None:
    """On SQLite a start ends them at once; on PostgreSQL the others may live, and only time ends them."""
    async with open_queue(backend) as house:
        await house.put()
        assert await take(house.process())
        started = house.process()
        await started.start()
        assert await started.reclaim() == (0 if backend.postgres else 1)


async def test_q07_lease_is_kept_when_it_is_renewed(backend: Place) -> None:
    """A renewed lease outlives its first term, by the clock that counts; who renews learns which jobs it still has."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        [job] = await take(worker)
        house.clock.advance(50)
        assert await worker.renew([job.id]) == {(job.id, job.epoch)}
        house.clock.advance(50)
        assert await house.process().reclaim() == 0


async def test_job_waits_when_it_is_given_back_for_later(backend: Place) -> None:
    """A try is counted where it was one; the job is not leased before its time, and its epoch rises."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        [job] = await take(worker)
        assert await worker.give_back(job, {0: Rest(tries=1, pause=30_000_000)})
        before = await take(worker)
        await house.db.write(lambda conn: conn.execute(update(jobs).values(not_before=0)))
        [again] = await take(worker)
        assert (before, again.tries, again.epoch) == ([], 1, job.epoch + 2)
        assert await worker.give_back(again)
        [last] = await take(worker)
        assert last.tries == 1


@pytest.mark.parametrize(("hours", "begins"), [(0, False), (3, True)])
async def test_pause_is_over_when_the_clock_was_put_back_by_hours(
    backend: Place, hours: int, *, begins: bool
) -> None:
    """Work that goes back for a minute waits; where its moment lies beyond the longest pause the clock was changed, and it is due."""
    async with open_queue(backend) as house:
        await house.put()
        worker = house.process()
        [job] = await take(worker)
        assert await worker.give_back(job, {0: Rest(tries=1, pause=60_000_000)})
        later = update(jobs).values(not_before=jobs.c.not_before + hours * 3_600_000_000)
        await house.db.write(lambda conn: conn.execute(later))
        assert bool(await worker.models()) is begins
        assert bool(await take(worker)) is begins


async def test_job_is_cut_when_its_items_were_tried_unequally_often(backend: Place) -> None:
    """What is left goes on in pieces of neighbours with one count of tries, each after the pause of its most patient one; the
    money is shared and all of it is settled, and service is counted as if nothing had been cut.
    """
    async with open_queue(backend) as house:
        await house.put(count=8, most=800)
        worker = house.process()
        [job] = await take(worker)
        found = await worker.items(job)
        for seq in (0, 4):
            assert await house.settle(job, found[seq])
        rests = {
            2: Rest(tries=1, pause=20_000_000), 3: Rest(tries=1, pause=30_000_000), 5: Rest(tries=1), 6: Rest(tries=4)
        }  # fmt: skip
        assert await worker.give_back(job, rests)
        pauses = dict(zip(await house.rows(jobs.c.lo), await house.rows(jobs.c.not_before), strict=True))
        assert {lo: not_before > 0 for lo, not_before in pauses.items()} == {
            1: False,
            2: True,
            6: False,
            7: False,
        }
        await house.db.write(lambda conn: conn.execute(update(jobs).values(not_before=0)))
        taken = sorted(await take(worker, 8), key=lambda each: each.lo)
        assert [(each.lo, each.hi, each.tries) for each in taken] == [
            (1, 1, 0),
            (2, 5, 1),
            (6, 6, 4),
            (7, 7, 0),
        ]
        assert len({each.id for each in taken}) == 4
        assert not await house.settle(job, found[1])
        for each in taken:
            for item in await worker.items(each):
                assert await house.settle(each, item)
        assert await house.left() == (0, 0, 8, 8)
        assert await house.held() == 0
        assert await house.rows(tenant_clocks.c.counter, tenant_clocks.c.org_id == "org_a") == [
            virtual(8 * service(5, 0), 1)
        ]
        assert await house.sound()


async def test_parts_are_cut_again_when_they_fail_again(backend: Place) -> None:
    """A piece that is cut once more has jobs of its own names, and one that is to be ended stays so."""
    async with open_queue(backend) as house:
        job = await house.put(count=4)
        worker = house.process()
        for rests in ({1: Rest(tries=1)}, {2: Rest(tries=1)}, {3: Rest(tries=1)}):
            for each in await take(worker, 8):
                assert await worker.give_back(
                    each, {seq: rest for seq, rest in rests.items() if each.lo <= seq <= each.hi}
                )
        await house.db.write(partial(queue.ask_cancel, batch_id=job.batch_id, at=1))
        taken = await take(worker, 8)
        assert sorted((each.lo, each.hi, each.tries) for each in taken) == [
            (0, 0, 0),
            (1, 1, 1),
            (2, 2, 1),
            (3, 3, 1),
        ]
        for each in taken:
            assert each.cancel_at == 1
            [item] = await worker.items(each)
            assert await house.settle(each, item)
        assert (await house.left())[:2] == (0, 0)


async def test_q12_due_work_comes_first_when_it_is_near_its_end(backend: Place) -> None:
    """Work whose moment to be lifted has come goes before other organizations' work that is not urgent."""
    async with open_queue(backend) as house:
        usual = await house.put("org_b")
        now = usual.created_at
        urgent = await house.put("org_a", due_at=now + 30_000_000, lift_at=now)
        assert [job.id for job in await take(house.process(), 2)] == [urgent.id, usual.id]


async def test_q13_service_follows_weight_when_two_organizations_wait(backend: Place) -> None:
    """Of jobs of one size the organization with four times the weight gets four times as many."""
    async with open_queue(backend) as house:
        for _ in range(20):
            await house.put("org_a", weight=1)
            await house.put("org_b", weight=4)
        worker = house.process()
        taken = [job.org_id for _ in range(20) for job in await take(worker)]
        assert (taken.count("org_a"), taken.count("org_b")) == (4, 16)


async def test_q13_newcomer_is_not_behind_what_others_did_not_use(backend: Place) -> None:
    """F21: what runs is counted with its estimate until it ends; who comes meanwhile begins below that."""
    async with open_queue(backend) as house:
        flood = [await house.put("org_a", estimate=1000) for _ in range(12)]
        worker = house.process()
        running = await take(worker, 4)
        assert len(running) == 4
        for _ in range(3):
            await house.put("org_b", estimate=1000)
        for job in running:
            for item in await worker.items(job):
                assert await house.settle(job, item, tokens=5)
        order: list[str] = []
        while len(order) < len(flood) + 3 - 4:
            for job in await take(worker):
                order.append(job.org_id)
                for item in await worker.items(job):
                    assert await house.settle(job, item, tokens=5)
        last = max(place for place, org_id in enumerate(order) if org_id == "org_b")
        assert order[:last].count("org_a") <= 4, order


async def test_nothing_is_put_in_when_there_is_too_little_credit(backend: Place) -> None:
    """Money, item and job are one commit: a refusal names the amounts and leaves none of them."""
    async with open_queue(backend, credit=1000) as house:
        await house.put(most=900)
        with pytest.raises(QuotaExceeded, match="too little credit"):
            await house.put(most=200)
        assert (await house.left())[:2] == (1, 1)
        assert await house.held() == 900
        assert await house.sound()


async def test_money_is_free_again_when_work_is_cancelled(backend: Place) -> None:
    """What waits is taken out of the queue by who cancels; what it had reserved can be spent."""
    async with open_queue(backend) as house:
        job = await house.put(most=700)
        process = house.process()
        taken = await process.take_to_end(job.batch_id)
        assert taken is not None
        assert await process.take_to_end(job.batch_id) is None
        [item] = await process.items(taken)
        assert await house.settle(taken, item, state="cancelled", billable=False, amount=0, price=None)
        assert await house.held() == 0
        assert await house.rows(responses.c.state) == ["cancelled"]
        assert await house.rows(ledger.c.kind, ledger.c.kind == "inference") == []
        assert await process.take_to_end(job.batch_id) is None
        assert await house.sound()


async def test_worker_is_asked_when_what_runs_is_cancelled(backend: Place) -> None:
    """A job that somebody has is not taken away: its holder learns that it is to be ended."""
    async with open_queue(backend) as house:
        job = await house.put()
        worker = house.process()
        await take(worker)
        assert await house.process().take_to_end(job.batch_id) is None
        assert list(await worker.cancelled()) == [job.id]
        assert await house.process().cancelled() == {}


async def test_queue_is_emptied_when_an_organization_is_deleted(backend: Place) -> None:
    """All that waits or runs for it is marked to be ended, and comes first."""
    async with open_queue(backend) as house:
        await house.put("org_b")
        await house.put("org_a")
        await house.db.write(partial(queue.cancel_organization, org_id="org_a", at=1))
        [job] = await take(house.process())
        assert (job.org_id, job.cancel_at) == ("org_a", 1)


async def test_i05_nothing_is_put_in_when_another_leads_the_key(backend: Place) -> None:
    """The key is answered in the commit that puts the work in; who lost the lead puts nothing in."""
    async with open_queue(backend) as house:
        scope = Scope("org_a", "key_a")
        claim = partial(
            idempotency.claim,
            scope=scope,
            key="k",
            path="/",
            fingerprint=bytes(32),
            owner="o",
            now=house.treasury.now,
        )
        lead = await house.db.write(partial(claim, response_id="resp_1"))
        assert isinstance(lead, Lead)
        await house.put(lead=lead, most=10)
        assert await house.rows(keys.c.state) == ["done"]
        with pytest.raises(Lost):
            await house.put(lead=lead, most=10)
        assert (await house.left())[:2] == (1, 1)
        assert await house.held() == 10


async def test_q02_batches_fit_when_they_are_cut_into_jobs(backend: Place) -> None:
    """A claim looks at the heads of the queue alone: of 2,000 items in jobs of 64 a worker leases what it has room for."""
    async with open_queue(backend) as house:
        for _ in range(31):
            await house.put(count=64)
        await house.put(count=16)
        worker = house.process()
        taken = await take(worker, 128)
        assert len(taken) == 2
        assert [len(await worker.items(each)) for each in taken] == [64, 64]
        assert len(await house.rows(items.c.id)) == 2000
