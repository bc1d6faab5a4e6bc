"""How many keys an organization may have (rule S05), on both databases and from several processes."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from sqlalchemy import insert, select, update

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.errors import Forbidden
from ingot.services.key_desk import IssuedKey, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.faults import StoreConflict
from ingot.store.schema import DEFAULT_ORG, organizations, slots
from keyhouse import House, Lines, add_org, furnished, run, token

ORG = "org_acme"


@pytest.fixture
async def house(backend: Place) -> AsyncIterator[House]:
    """A database with an organization on the free plan, which allows 3 keys."""
    clock = ManualClock()
    async with open_store(backend, clock=clock) as db, furnished(db, backend.data, clock=clock) as opened:
        await add_org(db, ORG)
        yield opened


async def _issue(ring: KeyRing, name: str, *, org_id: str = ORG, expires: float | None = None) -> IssuedKey:
    return await ring.desk.issue(org_id, KeyOrder(name, expires=expires), actor="cli")


async def _revoke(ring: KeyRing, which: str) -> None:
    await ring.desk.revoke(ORG, which, actor="cli")


async def _held(house: House) -> list[int]:
    query = select(slots.c.slot).where(slots.c.org_id == ORG).order_by(slots.c.slot)
    return await house.db.read(lambda conn: list(conn.execute(query).scalars()))


async def _move(house: House, plan: str) -> None:
    values = update(organizations).where(organizations.c.id == ORG).values(plan_id=f"plan_{plan}")
    await run(house.db, values)


async def test_s05_three_keys_are_made_when_twenty_are_asked_for_at_once(
    house: House, backend: Place
) -> None:
    """T-S-keys: 20 creates over 4 open stores, as those of 4 processes; what is refused says what to do."""
    async with AsyncExitStack() as stack:
        rings = [house.ring]
        for _ in range(3):
            db = await stack.enter_async_context(open_store(backend))
            rings.append(await KeyRing.open(db, backend.data, log=Lines(), clock=house.clock))
        asked = (_issue(rings[n % 4], f"key {n}") for n in range(20))
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
    made = [each for each in outcomes if isinstance(each, IssuedKey)]
    refused = [each for each in outcomes if isinstance(each, Forbidden)]
    assert (len(made), len(refused)) == (3, 17)
    assert {error.code for error in refused} == {"key_limit_reached"}
    assert "may have: 3. Revoke one" in refused[0].message
    assert await _held(house) == [1, 2, 3]
    assert [(await house.ring.authenticate(token(key))).org_id for key in made] == [ORG] * 3


_CHILD = """
import asyncio, sys
from pathlib import Path
from ingot.errors import Forbidden
from ingot.logs import LineSink, configure
from ingot.services.key_desk import KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.engine import open_database

async def main(data, url):
    async with open_database(Path(data), url) as db:
        log = configure(LineSink(sys.stderr.buffer), form="json", level="warning")
        ring = await KeyRing.open(db, Path(data), log=log)
        print("ready", flush=True)
        sys.stdin.readline()
        asked = (ring.desk.issue("org_acme", KeyOrder("app"), actor="cli") for _ in range(5))
        done = await asyncio.gather(*asked, return_exceptions=True)
        print([None if not isinstance(e, Exception) else type(e).__name__ for e in done].count(None))
        odd = [e for e in done if isinstance(e, Exception) and not isinstance(e, Forbidden)]
        assert not odd, odd

asyncio.run(main(*sys.argv[1:]))
"""


async def test_s05_three_keys_are_made_when_four_processes_ask(house: House, backend: Place) -> None:
    """T-S-keys: real processes, which begin together."""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(backend.data), backend.url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    made = [int(child.communicate(timeout=60)[0]) for child in children]
    assert [child.returncode for child in children] == [0] * 4
    assert sum(made) == 3
    assert await _held(house) == [1, 2, 3]


async def test_s05_database_refuses_when_a_place_is_taken(house: House) -> None:
    """Not a count but a unique index: even a statement that skips all our checks cannot add a key to a place."""
    await _issue(house.ring, "app")
    row = {"org_id": ORG, "slot": 1, "key_id": "key_of_a_thief"}
    with pytest.raises(StoreConflict):
        await run(house.db, insert(slots).values(row))


@pytest.mark.parametrize("end", ["revoked", "expired"])
async def test_s05_place_is_free_again_when_a_key_has_ended(house: House, end: str) -> None:
    """An ended key counts no longer."""
    for name in ("one", "two"):
        await _issue(house.ring, name)
    await _issue(house.ring, "three", expires=house.clock.now() + 60)
    with pytest.raises(Forbidden):
        await _issue(house.ring, "four")
    if end == "revoked":
        await _revoke(house.ring, "one")
    else:
        house.clock.advance(60)
    await _issue(house.ring, "four")
    assert await _held(house) == [1, 2, 3]
    with pytest.raises(Forbidden):
        await _issue(house.ring, "five")


async def test_s05_key_keeps_its_place_when_rolled(house: House) -> None:
    """The new key and the old one, which is valid for a day more, are one key to the limit."""
    for name in ("one", "two", "three"):
        await _issue(house.ring, name)
    await house.ring.desk.roll(ORG, "two", actor="cli")
    assert await _held(house) == [1, 2, 3]
    with pytest.raises(Forbidden):
        await _issue(house.ring, "four")
    house.clock.advance(25 * 3600)
    with pytest.raises(Forbidden):
        await _issue(house.ring, "four")
    await _revoke(house.ring, "two")
    await _issue(house.ring, "four")


async def test_s05_no_place_is_taken_when_the_plan_has_no_limit(house: House) -> None:
    """The operator's own organization has as many keys as it wants."""
    for n in range(5):
        await _issue(house.ring, f"key {n}", org_id=DEFAULT_ORG)
    every = await house.db.read(lambda conn: list(conn.execute(select(slots.c.slot)).scalars()))
    assert every == []


async def test_s05_all_keys_count_when_an_organization_comes_to_a_smaller_plan(house: House) -> None:
    """Those from before stay valid, with or without a place; a new one is made only once there are fewer than 3."""
    await _move(house, "operator")
    for n in range(5):
        await _issue(house.ring, f"key {n}")
    await _move(house, "free")
    for n in range(3):
        with pytest.raises(Forbidden):
            await _issue(house.ring, "more")
        await _revoke(house.ring, f"key {n}")
    await _issue(house.ring, "more")
    with pytest.raises(Forbidden):
        await _issue(house.ring, "too many")


async def test_s05_lower_number_counts_when_plan_and_preset_both_limit(house: House) -> None:
    """The preset's 3 keys hold for a plan with 20, and for the operator's organization; keys begin as it says."""
    await _move(house, "pro")
    async with furnished(house.db, house.data, clock=house.clock, prefix="mk", limit=3) as aurora:
        for org_id in (ORG, DEFAULT_ORG):
            keys = [await _issue(aurora.ring, f"key {n}", org_id=org_id) for n in range(3)]
            assert all(key.secret.startswith("mk_live_") for key in keys)
            with pytest.raises(Forbidden, match="as it may have: 3"):
                await _issue(aurora.ring, "four", org_id=org_id)
        # What automation sets is never refused and takes nobody's place.
        await aurora.ring.ensure_first_key("a-key-for-automation")
        assert (await aurora.ring.authenticate(b"a-key-for-automation")).name == "bootstrap"


async def test_one_first_key_is_made_when_four_start_together(backend: Place) -> None:
    """Several processes on one database agree on the pepper, and one of them shows the key."""
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(open_store(backend)) for _ in range(4)]
        rings = await asyncio.gather(*(KeyRing.open(db, backend.data, log=Lines()) for db in stores))
        made = await asyncio.gather(*(ring.ensure_first_key(None) for ring in rings))
        assert len([key for key in made if key is not None]) == 1
        assert len(await rings[0].desk.list_all()) == 1
