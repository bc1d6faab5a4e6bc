"""The key ring: who is let in, how long a lookup holds, and how keys come and go."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ingot.errors import Conflict, InvalidRequest, NotFound
from ingot.services import keys as service
from ingot.services.keys import KeyRing
from ingot.signing import checksum
from ingot.store.engine import FILE_NAME, open_database
from ingot.store.faults import StoreError
from keyhouse import House, Lines, issue, open_house, refusal, revoke, token

_GUARD_SECONDS = 30
_BOOTSTRAP = "a-key-for-automation"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    """An empty database with its ring."""
    async with open_house(tmp_path) as opened:
        yield opened


async def test_key_is_known_when_issued(house: House) -> None:
    """Its text names the one who holds it, and nobody else."""
    key = await issue(house.ring, "app")
    principal = await house.ring.authenticate(token(key))
    assert (principal.key_id, principal.kid, principal.name) == (key.info.id, key.info.kid, "app")
    assert key.secret.startswith(f"ik_live_{key.info.kid}_")
    assert key.info.last4 == key.secret[-4:]
    assert key.info.created_at == int(house.clock.now())


async def test_prefix_is_used_when_set(house: House) -> None:
    """A preset names its keys; keys with another prefix stay valid."""
    old = await issue(house.ring, "old")
    ring = await KeyRing.open(house.db, house.data, log=house.log, clock=house.clock, prefix="metal_sk")
    new = await issue(ring, "new")
    assert new.secret.startswith("metal_sk_live_")
    assert [(await ring.authenticate(token(key))).name for key in (old, new)] == ["old", "new"]


async def test_secret_is_nowhere_when_stored(house: House) -> None:
    """Neither the database nor its log, neither a list nor a repr holds the text of a key."""
    key = await issue(house.ring, "app")
    await house.ring.ensure_first_key(_BOOTSTRAP)
    await house.ring.authenticate(token(key))
    await house.ring.close()
    stored = b"".join(file.read_bytes() for file in house.data.glob(f"{FILE_NAME}*"))
    assert key.info.kid.encode() in stored
    for secret in (key.secret, key.secret[19:51], _BOOTSTRAP):
        assert secret.encode() not in stored
        assert secret not in repr(await house.ring.desk.list_all())
    assert key.secret[19:51] not in repr(key)


async def test_database_is_not_asked_when_the_key_is_cached(house: House) -> None:
    """For 5 seconds after a lookup a key costs no read."""
    presented = token(await issue(house.ring, "app"))
    assert house.ring.authenticate_cached(presented) is None
    principal = await house.ring.authenticate(presented)
    reads = house.db.tally.reads
    for _ in range(10):
        assert house.ring.authenticate_cached(presented) is principal
        assert await house.ring.authenticate(presented) is principal
    assert house.db.tally.reads == reads
    house.clock.advance(service.STALE_SECONDS)
    assert house.ring.authenticate_cached(presented) is None
    await house.ring.authenticate(presented)
    assert house.db.tally.reads == reads + 1


async def test_key_is_looked_up_ahead_when_in_use(house: House) -> None:
    """From the 4th second on one lookup runs in the background; no request waits, then or later."""
    presented = token(await issue(house.ring, "app"))
    await house.ring.authenticate(presented)
    reads = house.db.tally.reads
    for _ in range(5):
        house.clock.advance(service.REFRESH_SECONDS)
        assert [house.ring.authenticate_cached(presented) is None for _ in range(3)] == [False] * 3
        await house.ring.close()  # the lookup lands
    assert house.db.tally.reads == reads + 5


async def test_one_lookup_serves_all_when_many_ask_at_once(house: House) -> None:
    """Twenty requests with the same key are one read."""
    presented = token(await issue(house.ring, "app"))
    reads = house.db.tally.reads
    found = await asyncio.gather(*(house.ring.authenticate(presented) for _ in range(20)))
    assert {principal.name for principal in found} == {"app"}
    assert house.db.tally.reads == reads + 1


async def test_lookup_goes_on_when_the_first_who_asked_leaves(house: House) -> None:
    """A client that hangs up takes the lookup from nobody."""
    presented = token(await issue(house.ring, "app"))
    first = asyncio.create_task(house.ring.authenticate(presented))
    await asyncio.sleep(0)
    second = asyncio.create_task(house.ring.authenticate(presented))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).name == "app"
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_key_is_refused_at_once_when_revoked_here(house: House) -> None:
    """The process that revokes forgets the key with it; the text says what happened."""
    key = await issue(house.ring, "app")
    await house.ring.authenticate(token(key))
    revoked = await revoke(house.ring, "app")
    assert revoked.revoked_at == int(house.clock.now())
    assert house.ring.authenticate_cached(token(key)) is None
    assert "was revoked on 1970-01-12" in await refusal(house.ring, token(key))


async def test_key_is_refused_within_five_seconds_when_revoked_elsewhere(house: House) -> None:
    """Another process revokes: idle or in constant use, the key ends no later than 5 s after."""
    keys = [await issue(house.ring, name) for name in ("idle", "busy")]
    for key in keys:
        await house.ring.authenticate(token(key))
    async with open_database(house.data) as db:
        other = await house.another(db)
        for key in keys:
            await revoke(other, key.info.kid)
    for _ in range(10):
        house.clock.advance(service.STALE_SECONDS / 10)
        house.ring.authenticate_cached(token(keys[1]))
        await house.ring.close()  # what the request set off in the background
    for key in keys:
        assert house.ring.authenticate_cached(token(key)) is None
        assert "was revoked" in await refusal(house.ring, token(key))


async def test_key_is_refused_from_the_moment_when_it_expires(house: House) -> None:
    """The cache does not outlive the key; the text says that it expired, and when."""
    key = await issue(house.ring, "guest", expires=house.clock.now() + 2)
    await house.ring.authenticate(token(key))
    house.clock.advance(1.9)
    assert house.ring.authenticate_cached(token(key)) is not None
    house.clock.advance(0.1)
    assert house.ring.authenticate_cached(token(key)) is None
    assert "expired on 1970-01-12" in await refusal(house.ring, token(key))


async def test_expiry_is_refused_when_in_the_past(house: House) -> None:
    """A key that could never be used is a mistake."""
    with pytest.raises(InvalidRequest, match="future"):
        await issue(house.ring, "late", expires=house.clock.now())


async def test_database_is_not_asked_when_the_checksum_is_wrong(house: House) -> None:
    """A mistyped key is told apart from an unknown one, without a read."""
    presented = token(await issue(house.ring, "app"))
    reads = house.db.tally.reads
    assert "mistyped" in await refusal(
        house.ring, presented[:-1] + (b"0" if presented[-1:] != b"0" else b"1")
    )
    assert house.db.tally.reads == reads


@pytest.mark.parametrize("kind", ["unknown kid", "wrong secret", "foreign", "empty", "not text"])
async def test_text_is_the_same_when_a_key_is_unknown(house: House, kind: str) -> None:
    """Who guesses learns nothing: a known kid with another secret reads like no key at all."""
    kid = (await issue(house.ring, "app")).info.kid if kind == "wrong secret" else "Z" * 10
    body = f"ik_live_{kid}_{'s' * 32}".encode()
    tokens = {"foreign": b"sk-something-of-another-server", "empty": b"", "not text": b"\xff\x00" * 9}
    presented = tokens.get(kind, body + b"_" + checksum(body).encode())
    assert (await refusal(house.ring, presented)).startswith("Unknown API key.")


async def test_refusal_is_remembered_for_a_moment_when_repeated(house: House) -> None:
    """A client that hammers with a bad key costs one read a second; what is remembered is bounded."""
    reads = house.db.tally.reads
    for _ in range(5):
        await refusal(house.ring, b"a-bad-key-again-and-again")
    assert house.db.tally.reads == reads + 1
    house.clock.advance(service.REFUSAL_SECONDS)
    await refusal(house.ring, b"a-bad-key-again-and-again")
    assert house.db.tally.reads == reads + 2


def test_cache_stays_bounded_when_it_is_full() -> None:
    """The oldest entry makes room; one that is renewed becomes the newest."""
    cache: dict[bytes, int] = {}
    for n in (1, 2, 3, 1, 4):
        service._put(cache, bytes([n]), n, limit=3)
    assert list(cache.values()) == [3, 1, 4]


async def test_requests_go_on_when_the_database_fails_in_the_background(house: House) -> None:
    """A lookup ahead that fails is logged and harms no request while the last answer is fresh."""
    presented = token(await issue(house.ring, "app"))
    await house.ring.authenticate(presented)
    await house.ring.close()
    await house.db.close()
    house.clock.advance(service.REFRESH_SECONDS)
    assert house.ring.authenticate_cached(presented) is not None
    await house.ring.close()
    assert [event for event, _ in house.log.said] == ["key_lookup_failed"]
    house.clock.advance(1)
    with pytest.raises(StoreError, match="closed"):
        await house.ring.authenticate(presented)


async def test_use_is_noted_seldom_when_a_key_is_busy(house: House) -> None:
    """The last use is right to 5 minutes, and costs one write in that time."""
    key = await issue(house.ring, "app")
    start = int(house.clock.now())
    noted = []
    writes = house.db.tally.writes
    for _ in range(120):
        await house.ring.authenticate(token(key))
        await house.ring.close()
        noted.append((await house.ring.desk.list_all())[0].last_used_at)
        house.clock.advance(5)
    assert sorted({at for at in noted if at is not None}) == [start, start + service.TOUCH_SECONDS]
    assert house.db.tally.writes == writes + 2


async def test_request_does_not_wait_when_its_use_is_noted(house: House) -> None:
    """The answer comes while the writer is busy with something else."""
    key = await issue(house.ring, "app")
    release = threading.Event()
    slow = asyncio.create_task(house.db.write(lambda _: release.wait(_GUARD_SECONDS)))
    assert (await house.ring.authenticate(token(key))).name == "app"
    assert not slow.done()
    release.set()
    await slow
    await house.ring.close()
    assert (await house.ring.desk.list_all())[0].last_used_at == int(house.clock.now())


async def test_keys_are_listed_in_order_when_some_are_revoked(house: House) -> None:
    """The list tells everything but the secret, of ended keys too."""
    for name in ("one", "two"):
        await issue(house.ring, name)
        house.clock.advance(1)
    await revoke(house.ring, "one")
    one, two = await house.ring.desk.list_all()
    assert (one.name, two.name) == ("one", "two")
    assert one.revoked_at is not None
    assert two.revoked_at is None


async def test_key_is_found_when_named_by_id_kid_or_name(house: House) -> None:
    """Revoking again is no error and changes nothing."""
    keys = [await issue(house.ring, name) for name in ("one", "two", "three")]
    which = [keys[0].info.id, keys[1].info.kid, "three"]
    ended = [await revoke(house.ring, each) for each in which]
    assert [info.name for info in ended] == ["one", "two", "three"]
    house.clock.advance(100)
    assert [await revoke(house.ring, each) for each in which] == ended


async def test_revocation_is_refused_when_the_name_is_unknown_or_shared(house: House) -> None:
    """The text says how to go on; ended keys of the same name are not in the way."""
    with pytest.raises(NotFound, match="list of keys"):
        await revoke(house.ring, "nobody")
    first, second = [await issue(house.ring, "twin") for _ in range(2)]
    with pytest.raises(Conflict, match="2 keys") as caught:
        await revoke(house.ring, "twin")
    assert first.info.kid in caught.value.message
    await revoke(house.ring, first.info.kid)
    assert (await revoke(house.ring, "twin")).id == second.info.id


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "two\nlines", "bell\a"])
async def test_name_is_refused_when_it_cannot_be_shown(house: House, name: str) -> None:
    """Names appear in tables and logs."""
    with pytest.raises(InvalidRequest, match="printable"):
        await issue(house.ring, name)


async def test_first_key_is_made_once_when_there_was_none(house: House) -> None:
    """It is shown at the first start alone; an operator who revoked all keys gets no new one unasked."""
    key = await house.ring.ensure_first_key(None)
    assert key is not None
    assert (await house.ring.authenticate(token(key))).name == "first"
    assert await house.ring.ensure_first_key(None) is None
    await revoke(house.ring, "first")
    assert await house.ring.ensure_first_key("") is None


async def test_one_first_key_is_made_when_two_processes_start_together(house: House) -> None:
    """Both agree on the pepper, and one of them shows the key."""
    async with open_database(house.data) as db:
        other = await house.another(db)
        made = await asyncio.gather(house.ring.ensure_first_key(None), other.ensure_first_key(None))
    assert len([key for key in made if key is not None]) == 1
    assert len(await house.ring.desk.list_all()) == 1


async def test_peppers_agree_when_two_first_starts_race(tmp_path: Path) -> None:
    """One makes the pepper, the other finds it."""
    async with open_database(tmp_path) as one, open_database(tmp_path) as two:
        rings = await asyncio.gather(*(KeyRing.open(db, tmp_path, log=Lines()) for db in (one, two)))
        key = await issue(rings[0], "app")
        assert (await rings[1].authenticate(token(key))).name == "app"
        for ring in rings:
            await ring.close()


async def test_ring_is_refused_when_the_pepper_is_another(house: House) -> None:
    """A database and a pepper from different places would refuse every key: said at once."""
    await issue(house.ring, "app")
    (house.data / "pepper").write_bytes(b"x" * 32)
    with pytest.raises(StoreError, match="same backup"):
        await KeyRing.open(house.db, house.data, log=house.log)
    (house.data / "pepper").unlink()
    with pytest.raises(StoreError, match="is missing"):
        await KeyRing.open(house.db, house.data, log=house.log)


async def test_pepper_is_kept_when_the_first_start_was_cut(house: House, tmp_path: Path) -> None:
    """A pepper without a record in the database, as a crash may leave it, is taken into use."""
    data = tmp_path / "other"
    data.mkdir()
    (data / "pepper").write_bytes(b"p" * 32)
    (data / "pepper").chmod(0o600)
    async with open_database(data) as db:
        ring = await KeyRing.open(db, data, log=house.log)
        await issue(ring, "app")
    assert (data / "pepper").read_bytes() == b"p" * 32
