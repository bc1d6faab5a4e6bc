"""Safe retries in one process and between several, on both databases: one works, the others get what came of it."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.dialects.envelope import USUAL, error_object
from ingot.errors import Conflict, IdempotencyError, Unauthenticated
from ingot.services.idempotency import Lead, Replay, Scope
from ingot.services.key_desk import KeyOrder
from ingot.services.keys import KeyRing
from ingot.store import idempotency as store
from ingot.store.faults import StoreError
from ingot.web.errors import error_head
from keyhouse import token
from retryhouse import JSON, SCOPE, House, begin, lead, open_retry_house, replay

Rooms = House[ManualClock]

GUARD_SECONDS = 30


@pytest.fixture
async def house(backend: Place) -> AsyncIterator[Rooms]:
    """An empty database."""
    opened = open_retry_house(backend)
    async with opened.db:
        yield opened


async def test_s3_03_stored_outcome_is_replayed_when_the_key_comes_again(house: Rooms) -> None:
    """Status, bytes and id of the first time, from any process; the work is done once."""
    one, two = house.retries(), house.retries()
    led = await lead(one)
    assert await house.serve(one, led, b'{"id":"x"}', status=400)
    for retries in (one, two):
        assert await replay(retries) == Replay(led.response_id, 400, content_type=JSON, answer=b'{"id":"x"}')
    assert await house.billed(led.response_id) == 1


async def test_s3_04_key_is_independent_under_another_key_or_organization(house: Rooms) -> None:
    """The same text leads a second time there."""
    retries = house.retries()
    leads = {
        (await lead(retries, scope=scope)).response_id
        for scope in (SCOPE, Scope("org_1", "key_2"), Scope("org_2", "key_1"))
    }
    assert len(leads) == 3


async def test_i04_request_is_refused_when_its_key_was_used_for_another(house: Rooms) -> None:
    """400 with a type of its own, and SDKs are told not to retry; while it runs, when it is done, elsewhere too."""
    one, two = house.retries(), house.retries()
    led = await lead(one, body={"stream": False})
    for served in (False, True):
        if served:
            await house.serve(one, led)
        for retries in (one, two):
            with pytest.raises(IdempotencyError) as caught:
                await begin(retries, body={"stream": True})
            error = caught.value
            assert (error.status, error.code, error.param) == (
                400,
                "idempotency_key_reused",
                "Idempotency-Key",
            )
            assert error_object(error, "", table=USUAL)["error"]["type"] == "idempotency_error"
            assert b"x-should-retry: false\r\n" in error_head(error, "req_1")


async def test_i04_request_is_refused_when_two_that_differ_come_at_once(house: Rooms) -> None:
    """The database decides which of them the key belongs to."""
    retries = house.retries()
    got = await asyncio.gather(*[begin(retries, body=number) for number in range(4)], return_exceptions=True)
    assert sorted(type(each).__name__ for each in got) == ["IdempotencyError"] * 3 + ["Lead"]


async def test_i05_followers_join_when_the_leader_runs_in_their_process(house: Rooms) -> None:
    """They wait for it and get its bytes; the database is not asked for them."""
    retries = house.retries()
    led = await lead(retries)
    waiting = [asyncio.create_task(replay(retries)) for _ in range(20)]
    await asyncio.sleep(0)
    asked = (house.db.tally.reads, house.db.tally.writes)
    retries.finished(led, status=200, content_type=JSON, answer=b"same")
    got = await asyncio.gather(*waiting)
    assert {(each.answer, each.response_id) for each in got} == {(b"same", led.response_id)}
    assert (house.db.tally.reads, house.db.tally.writes) == asked


async def test_i05_followers_join_when_the_leader_runs_elsewhere(house: Rooms) -> None:
    """One of them looks at the row until it is done, and all get its bytes."""
    one, two = house.retries(), house.retries()
    led = await lead(one)
    before = seen = house.db.tally.writes
    waiting = [asyncio.create_task(replay(two)) for _ in range(20)]
    while seen == before or seen != house.db.tally.writes:  # until all have asked
        seen = house.db.tally.writes
        await asyncio.sleep(0.2)
    assert not any(task.done() for task in waiting)
    writes = house.db.tally.writes
    assert await house.serve(one, led, b"same")
    assert {each.answer for each in await asyncio.gather(*waiting)} == {b"same"}
    assert house.db.tally.writes == writes + 1


@pytest.mark.parametrize("elsewhere", [False, True], ids=["own leader", "leader elsewhere"])
async def test_i05_follower_is_told_to_come_back_when_its_patience_is_over(
    house: Rooms, *, elsewhere: bool
) -> None:
    """409 with a time to come back, which SDKs obey; the leader is not disturbed."""
    one = house.retries(patience=0.0)
    led = await lead(one)
    with pytest.raises(Conflict) as caught:
        await begin(house.retries(patience=0.0) if elsewhere else one)
    error = caught.value
    assert (error.status, error.code, error.param) == (409, "idempotency_key_in_use", "Idempotency-Key")
    head = error_head(error, "req_1")
    assert b"retry-after: 5\r\n" in head
    assert b"x-should-retry: true\r\n" in head
    assert await house.serve(one, led)


@pytest.mark.parametrize("elsewhere", [False, True], ids=["own leader", "leader elsewhere"])
async def test_i06_follower_leads_when_the_leader_gives_up(house: Rooms, *, elsewhere: bool) -> None:
    """Of those who wait one gets the lead, and the others wait for that one."""
    one = house.retries()
    two = house.retries() if elsewhere else one
    led = await lead(one)
    waiting = [asyncio.create_task(begin(two)) for _ in range(5)]
    await asyncio.sleep(0.01)
    await one.release(led)
    done, pending = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=GUARD_SECONDS)
    (first,) = [task.result() for task in done]
    assert isinstance(first, Lead)
    assert first.epoch == 2
    assert first.response_id != led.response_id
    await house.serve(two, first, b"second")
    assert {task.answer for task in await asyncio.gather(*pending) if isinstance(task, Replay)} == {b"second"}
    assert await house.billed(led.response_id) == 0


async def test_i07_zombie_bills_nothing_when_another_took_over(house: Rooms) -> None:
    """Its outcome is dropped, and its own followers get the other's."""
    one, two = house.retries(), house.retries()
    led = await lead(one)
    follower = asyncio.create_task(replay(one))
    await house.lapse(one.owner)
    taken = await lead(two)
    assert (taken.epoch, taken.response_id) == (led.epoch + 1, led.response_id)
    assert not await house.serve(one, led, b"late")
    assert await house.serve(two, taken, b"in time")
    assert (await follower).answer == b"in time"
    assert await house.billed(led.response_id) == 1


async def test_i08_lost_leader_is_replaced_by_who_waits_for_it(house: Rooms) -> None:
    """A follower in another process takes over as soon as the lease is over."""
    one, two = house.retries(), house.retries()
    led = await lead(one)
    follower = asyncio.create_task(begin(two))
    await asyncio.sleep(0.01)
    assert not follower.done()
    await house.lapse(one.owner)
    assert await follower == Lead(SCOPE, "k", 2, led.response_id)


async def test_lease_outlives_its_length_when_it_is_renewed(house: Rooms) -> None:
    """A long answer keeps its lead; nothing is written where nothing is led."""
    one, two = house.retries(), house.retries(patience=0.0)
    writes = house.db.tally.writes
    await one.renew()
    assert house.db.tally.writes == writes
    led = await lead(one)
    await house.lapse(one.owner)
    await one.renew()
    with pytest.raises(Conflict):
        await begin(two)
    assert await house.serve(one, led)


async def test_nothing_is_left_when_a_caller_leaves_while_it_asks(house: Rooms) -> None:
    """The lead that it would have got is given back, and the next one gets it at once."""
    retries = house.retries()
    asking = asyncio.create_task(begin(retries))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    again = await lead(retries)
    assert again.epoch == 2


async def test_others_still_wait_when_one_of_them_leaves(house: Rooms) -> None:
    """Neither a follower nor the one that looks for all of them takes anything along."""
    one, two = house.retries(), house.retries()
    led = await lead(one)
    waiting = [asyncio.create_task(replay(retries)) for retries in (one, two) for _ in range(3)]
    await asyncio.sleep(0.01)
    for gone in (waiting[0], waiting[3]):
        gone.cancel()
    await house.serve(one, led, b"same")
    got = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(each, asyncio.CancelledError) for each in got] == [True, False, False] * 2
    assert {each.answer for each in got if isinstance(each, Replay)} == {b"same"}


async def test_release_does_nothing_when_the_lead_is_over(house: Rooms) -> None:
    """So that a handler may always release on its way out."""
    retries = house.retries()
    led = await lead(retries)
    await house.serve(retries, led, b"kept")
    await retries.release(led)
    assert (await replay(retries)).answer == b"kept"


async def test_lead_is_released_when_its_caller_is_cancelled_meanwhile(house: Rooms) -> None:
    """The write is finished all the same."""
    retries = house.retries()
    led = await lead(retries)
    releasing = asyncio.create_task(retries.release(led))
    await asyncio.sleep(0)
    releasing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await releasing
    await retries.close()
    assert (await house.row("k")).state == "released"


async def test_leads_are_released_when_the_service_closes(house: Rooms) -> None:
    """A retry after a restart need not wait for a lease."""
    retries = await type(house.retries()).open(house.db, clock=house.clock, log=house.log)
    await lead(retries)
    await retries.close()
    assert (await lead(house.retries())).epoch == 2


async def test_leads_of_another_boot_are_void_when_the_service_opens(house: Rooms, backend: Place) -> None:
    """On SQLite there is one process; on PostgreSQL others live."""
    await lead(house.retries())
    retries = await type(house.retries()).open(house.db, clock=house.clock, log=house.log, patience=0.0)
    if backend.postgres:
        with pytest.raises(Conflict):
            await begin(retries)
    else:
        assert (await lead(retries)).epoch == 2
    await retries.close()


async def test_failures_of_the_store_are_told_and_leave_nothing_behind(house: Rooms) -> None:
    """Who asks hears of it and so does who asks next; what runs beside the requests logs it."""
    retries = house.retries()
    led = await lead(retries)
    await house.db.close()
    for _ in range(2):
        with pytest.raises(StoreError):
            await begin(retries, "other")
    await retries.renew()
    await retries.release(led)
    assert [event for event, _ in house.log.said] == [
        "idempotency_leases_not_renewed",
        "idempotency_key_not_released",
    ]


async def test_key_is_free_again_when_the_store_takes_writes_once_more(house: Rooms, backend: Place) -> None:
    """F10: a lead that could not be given up, or whose outcome could not be kept, is given up later; no retry waits for its lease."""
    one, other = house.retries(), house.retries()
    given_up, unwritten, kept = [await lead(one, key) for key in "abc"]
    assert await house.settle(kept)
    one._db = open_store(backend)
    await one._db.close()
    await one.release(given_up)
    one.unwritten(unwritten)
    one.unwritten(kept)  # nobody confirmed the commit, and it was made all the same
    one._db = house.db
    assert [(await lead(other, key)).epoch for key in "ab"] == [2, 2]
    assert (await replay(other, "c")).response_id == kept.response_id
    await one.close()


async def test_i13_key_is_free_when_its_day_is_over(house: Rooms) -> None:
    """Also for another request, and whether or not anything swept."""
    retries = house.retries()
    await house.serve(retries, await lead(retries))
    house.clock.advance(store.KEEP / 1e6)
    assert (await lead(retries, body="other")).epoch == 2


async def test_i14_stored_outcome_is_out_of_reach_when_the_key_is_revoked(
    house: Rooms, backend: Place
) -> None:
    """Authentication comes first and refuses; a new key of the same organization has keys of its own."""
    backend.data.mkdir(parents=True, exist_ok=True)
    ring = await KeyRing.open(house.db, backend.data, log=house.log, clock=house.clock)
    retries = house.retries()
    issued = [await ring.desk.issue("org_default", KeyOrder(name), actor="cli") for name in ("one", "two")]
    scopes = [Scope("org_default", (await ring.authenticate(token(key))).key_id) for key in issued]
    await house.serve(retries, await lead(retries, scope=scopes[0]))
    await replay(retries, scope=scopes[0])
    await ring.desk.revoke("org_default", issued[0].info.id, actor="cli")
    with pytest.raises(Unauthenticated):
        await ring.authenticate(token(issued[0]))
    await lead(retries, scope=scopes[1])
    await ring.close()


async def test_i02_row_is_there_before_the_work_begins(house: Rooms) -> None:
    """What `begin` returned is durable, and others find it."""
    await lead(house.retries())
    assert await house.db.read(partial(store.find, scope=SCOPE, key="k", now=house.now)) == store.Held()
