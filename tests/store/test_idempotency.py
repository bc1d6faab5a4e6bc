"""The rows of idempotency keys on both databases: one lead at a time, outcomes fenced, and forgotten after a day."""

from collections.abc import AsyncIterator
from functools import partial

import pytest
from sqlalchemy.exc import DBAPIError

from databases import Place
from ingot.clock import ManualClock
from ingot.store import idempotency as store
from ingot.store.faults import StoreConflict
from ingot.store.idempotency import KEEP, LEASE, Claim, Held, Kept, Lead, Mismatched, Scope
from retryhouse import JSON, PATH, SCOPE, House, fresh_id, open_retry_house

Rooms = House[ManualClock]

DAY = KEEP / 1e6


@pytest.fixture
async def house(backend: Place) -> AsyncIterator[Rooms]:
    """An empty database."""
    opened = open_retry_house(backend)
    async with opened.db:
        yield opened


async def claim(
    house: Rooms,
    key: str = "k",
    *,
    scope: Scope = SCOPE,
    body: bytes = b"body",
    response_id: str | None = None,
) -> Claim:
    """A claim by the process `me`."""
    return await house.db.write(
        partial(
            store.claim,
            scope=scope,
            key=key,
            path=PATH,
            fingerprint=body,
            response_id=response_id or fresh_id(),
            owner="me",
            now=house.now,
        )
    )


async def lead(house: Rooms, key: str = "k") -> Lead:
    """A claim that must get the lead."""
    got = await claim(house, key)
    assert isinstance(got, Lead)
    return got


async def finish(house: Rooms, held: Lead, answer: bytes = b"answer") -> bool:
    """Keeps an outcome."""
    return await house.db.write(
        partial(store.finish, lead=held, status=200, content_type=JSON, answer=answer, now=house.now)
    )


async def release(house: Rooms, held: Lead) -> bool:
    """Gives a lead up."""
    return await house.db.write(partial(store.release, lead=held, now=house.now))


async def sweep(house: Rooms, *, most: int = 1000) -> int:
    """Forgets what has expired."""
    return await house.db.write(partial(store.sweep, now=house.now, most=most))


async def test_i02_first_claim_leads_and_others_are_held(house: Rooms) -> None:
    """The row is there before the work; who comes next finds it, whatever its own id would have been."""
    held = await lead(house)
    assert (held.epoch, held.scope, held.key) == (1, SCOPE, "k")
    assert await claim(house) == Held()
    row = await house.row("k")
    assert (row.state, row.response_id, row.owner, row.path) == ("running", held.response_id, "me", PATH)


async def test_s3_04_key_is_another_one_under_another_key_or_organization(house: Rooms) -> None:
    """The scope is the organization, the API key and the text, all three."""
    await lead(house)
    for scope in (Scope("org_1", "key_2"), Scope("org_2", "key_1")):
        assert isinstance(await claim(house, scope=scope), Lead)


async def test_i04_claim_is_refused_when_the_request_is_another(house: Rooms) -> None:
    """While it runs, when it is done, and when it was released."""
    held = await lead(house)
    assert await claim(house, body=b"other") == Mismatched(PATH)
    await finish(house, held)
    assert await claim(house, body=b"other") == Mismatched(PATH)
    other = await lead(house, "k2")
    await release(house, other)
    assert await claim(house, "k2", body=b"other") == Mismatched(PATH)


async def test_i09_outcome_is_kept_as_it_was(house: Rooms) -> None:
    """Status, type, bytes and id; a second outcome changes nothing."""
    held = await lead(house)
    assert await finish(house, held, b"\x00 bytes")
    assert not await finish(house, held, b"more")
    assert not await release(house, held)
    kept = Kept(held.response_id, 200, content_type=JSON, answer=b"\x00 bytes")
    assert await claim(house) == kept
    assert await house.db.read(partial(store.find, scope=SCOPE, key="k", now=house.now)) == kept


async def test_i06_released_key_gets_a_new_lead(house: Rooms) -> None:
    """With the next epoch and the new id, for nothing was billed under the old one."""
    held = await lead(house)
    assert await release(house, held)
    assert await house.db.read(partial(store.find, scope=SCOPE, key="k", now=house.now)) is None
    again = await claim(house, response_id="resp_new")
    assert again == Lead(SCOPE, "k", 2, "resp_new")
    assert not await finish(house, held)
    assert not await release(house, held)


async def test_i08_lapsed_lead_is_taken_over_and_its_outcome_dropped(house: Rooms) -> None:
    """With the next epoch and the old id, so that the ledger cannot hold it twice; the old leader is fenced."""
    held = await lead(house)
    await house.lapse("me")
    assert await house.db.read(partial(store.find, scope=SCOPE, key="k", now=house.now)) is None
    again = await claim(house)
    assert again == Lead(SCOPE, "k", 2, held.response_id)
    assert await claim(house) == Held()
    assert not await finish(house, held, b"late")
    assert await finish(house, again, b"answer")
    kept = await claim(house)
    assert isinstance(kept, Kept)
    assert kept.answer == b"answer"


async def test_i08_lapsed_lead_keeps_its_outcome_when_nobody_took_over(house: Rooms) -> None:
    """A slow leader is no dead one as long as nobody else does the work."""
    held = await lead(house)
    await house.lapse("me")
    assert await finish(house, held)


async def test_lease_is_renewed_for_the_owners_leads_alone(house: Rooms) -> None:
    """Those that are named, still run and are the owner's."""
    held, done, unnamed = await lead(house, "a"), await lead(house, "b"), await lead(house, "c")
    await finish(house, done)
    await house.lapse("me")
    ids = [held.response_id, done.response_id]
    assert await house.db.write(partial(store.renew, owner="you", response_ids=ids, now=house.now)) == 0
    assert await house.db.write(partial(store.renew, owner="me", response_ids=ids, now=house.now)) == 1
    assert (await house.row("a")).lease_until > LEASE
    assert [(await house.row(key)).lease_until for key in "bc"] == [0, 0]
    assert isinstance(await claim(house, unnamed.key), Lead)


async def test_leases_of_other_boots_are_void_on_sqlite_alone(house: Rooms, backend: Place) -> None:
    """One process serves a SQLite file, so a lead of any other is a dead one's; on PostgreSQL it may live."""
    held = await lead(house)
    expected = 0 if backend.postgres else 1
    assert await house.db.write(partial(store.void_leases, owner="new")) == expected
    again = await claim(house)
    assert again == (Held() if backend.postgres else Lead(SCOPE, "k", 2, held.response_id))


async def test_lease_follows_the_clock_of_the_database_where_processes_share_one(
    house: Rooms, backend: Place
) -> None:
    """On PostgreSQL a process whose clock runs ahead takes nothing over; on SQLite there is one clock."""
    await lead(house)
    house.clock.advance(LEASE / 1e6 + 1)
    assert isinstance(await claim(house), Held if backend.postgres else Lead)


async def test_i13_outcome_is_forgotten_a_day_after_it_came(house: Rooms) -> None:
    """To the microsecond, also where nothing swept; then the same key may ask for something else."""
    held = await lead(house)
    house.clock.advance(20)
    await finish(house, held)
    house.clock.advance(DAY - 0.001)
    assert await sweep(house) == 0
    assert isinstance(await claim(house), Kept)
    house.clock.advance(0.001)
    again = await claim(house, body=b"other")
    assert isinstance(again, Lead)
    assert again.epoch == 2
    assert again.response_id != held.response_id
    assert not await finish(house, held)


async def test_i13_sweep_takes_so_many_at_a_time(house: Rooms) -> None:
    """The oldest first: done, released and abandoned ones; what is still known stays."""
    done, released = await lead(house, "done"), await lead(house, "released")
    await finish(house, done)
    await release(house, released)
    await lead(house, "abandoned")
    house.clock.advance(DAY + LEASE / 1e6)
    await lead(house, "new")
    assert [await sweep(house, most=2) for _ in range(3)] == [2, 1, 0]
    assert await house.row("abandoned") is None
    assert await house.row("new") is not None


async def test_i14_keys_are_erased_with_their_organization(house: Rooms) -> None:
    """Nothing is left to replay; what still runs ends as ever, and is erased then."""
    over, held = await lead(house, "over"), await lead(house)
    assert await finish(house, over)
    await claim(house, scope=Scope("org_2", "key_1"))
    assert await house.db.write(partial(store.erase, org_id="org_1")) == 1
    assert await finish(house, held)
    assert await house.db.write(partial(store.erase, org_id="org_1")) == 1
    assert await house.row("k", Scope("org_2", "key_1")) is not None


async def test_epoch_alone_is_not_trusted_when_the_row_was_forgotten_meanwhile(house: Rooms) -> None:
    """A leader that slept for days meets another life of its key, with the same epoch and another id."""
    held = await lead(house)
    house.clock.advance(DAY * 3)
    assert await sweep(house) == 1
    again = await lead(house)
    assert (again.epoch, held.epoch) == (1, 1)
    assert not await finish(house, held)


async def test_response_id_is_refused_when_it_is_taken(house: Rooms) -> None:
    """Two keys never bill under one id."""
    held = await lead(house)
    with pytest.raises((StoreConflict, DBAPIError)):
        await claim(house, "other", response_id=held.response_id)


async def test_key_is_free_for_anything_when_its_request_was_withdrawn(house: Rooms) -> None:
    """As if it had not been used; who has lost the lead withdraws nothing."""
    held = await lead(house)
    assert await house.db.write(partial(store.withdraw, lead=held))
    other = await claim(house, body=b"another")
    assert isinstance(other, Lead)
    assert not await house.db.write(partial(store.withdraw, lead=held))
    assert await finish(house, other)
    assert not await house.db.write(partial(store.withdraw, lead=other))
    assert await claim(house, body=b"another") == Kept(
        other.response_id, 200, content_type=JSON, answer=b"answer"
    )
