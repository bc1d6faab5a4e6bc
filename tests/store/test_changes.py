"""Changes with an idempotency key on both databases: made once, kept with their answer in one commit, sealed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from sqlalchemy import Connection, func, insert, select, update

from databases import Place
from ingot.clock import ManualClock
from ingot.errors import ApiError, Conflict, IdempotencyError, NotFound, Overloaded
from ingot.sealing import Broken
from ingot.services.changes import Changes, Scope, Told, Wish, Work
from ingot.services.idempotency import Replay
from ingot.services.keeping import Keep, kept
from ingot.services.key_desk import IssuedKey, KeyOrder
from ingot.services.keys import KeyRing
from ingot.store.idempotency import KEEP, claim
from ingot.store.schema import DEFAULT_ORG, audit, idempotency
from retryhouse import SIGNER, House, fresh_id, open_retry_house

Rooms = House[ManualClock]

WISH = Wish(Scope("org_1", "key_1"), "retry-7f1c2a9e", "POST", "/admin/v1/things", {"name": "one"})
SECRET = "ik_live_shown_once"


@pytest.fixture
async def house(backend: Place) -> AsyncIterator[Rooms]:
    """An empty database."""
    opened = open_retry_house(backend)
    async with opened.db:
        yield opened


@dataclass(slots=True)
class Shop:
    """One process that makes things, a row each; while it is not `open`, its work waits between start and commit."""

    house: Rooms
    patience: float = 30.0
    begun: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    open: asyncio.Event = field(default_factory=asyncio.Event)
    changes: Changes = field(init=False)

    def __post_init__(self) -> None:
        self.open.set()
        retries = self.house.retries(patience=self.patience)
        self.changes = Changes(self.house.db, retries, digest=SIGNER.digest, clock=self.house.clock)

    async def work(self, keep: Keep[Told]) -> Told:
        """Makes a thing and tells its secret."""
        self.begun += 1
        self.started.set()
        number = self.begun
        await self.open.wait()

        def write(conn: Connection) -> Told:
            _make(conn)
            return Told(201, f'{{"key":"{SECRET}","number":{number}}}'.encode())

        return await self.house.db.write(kept(write, keep))

    async def make(self, wish: Wish = WISH, work: Work | None = None) -> Told:
        """What is told of a change."""
        return await self.changes.make(wish, work or self.work)


def _make(conn: Connection) -> None:
    row = {"actor": "key_1", "action": "thing.make", "subject": "thing", "at": 1, "detail": "{}"}
    conn.execute(insert(audit).values(row))


async def fail(house: Rooms, error: ApiError, keep: Keep[Told]) -> Told:
    """Work that makes a thing and then fails, in one transaction."""

    def write(conn: Connection) -> Told:
        _make(conn)
        raise error

    return await house.db.write(kept(write, keep))


async def made(house: Rooms) -> int:
    """How many things there are."""
    return await house.db.read(
        lambda conn: int(conn.execute(select(func.count()).select_from(audit)).scalar_one())
    )


async def test_i09_answer_comes_again_when_the_key_does(house: Rooms) -> None:
    """Same status, same bytes, marked; another process tells it, too. Nothing is made a second time."""
    shop = Shop(house)
    first = await shop.make()
    assert (first.status, first.replayed) == (201, False)
    for again in (await shop.make(), await Shop(house).make()):
        assert again == replace(first, replayed=True)
    assert (await made(house), shop.begun) == (1, 1)


async def test_i03_other_request_is_refused_when_the_key_is_taken(house: Rooms) -> None:
    """Another body, path or method; the error names the key as its client sent it."""
    shop = Shop(house)
    await shop.make()
    for other in (
        replace(WISH, body={"name": "two"}),
        replace(WISH, path="/admin/v1/others"),
        replace(WISH, method="PUT"),
    ):
        with pytest.raises(IdempotencyError, match="'retry-7f1c2a9e' was used for another request"):
            await shop.make(other)
    assert await made(house) == 1


async def test_i01_key_is_another_one_when_another_asks(house: Rooms) -> None:
    """The same text in another organization, or from another caller, is another change."""
    shop = Shop(house)
    for scope in (WISH.scope, Scope("org_2", "key_1"), Scope("org_1", "user_1")):
        assert not (await shop.make(replace(WISH, scope=scope))).replayed
    assert await made(house) == 3


async def test_i05_one_makes_it_when_twenty_ask_at_once(house: Rooms) -> None:
    """In two processes that share the database; all others get the leader's bytes."""
    shops = (Shop(house), Shop(house))
    told = await asyncio.gather(*(shops[n % 2].make() for n in range(20)))
    assert sorted(each.replayed for each in told) == [False] + [True] * 19
    assert len({each.body for each in told}) == 1
    assert await made(house) == 1


async def test_i05_one_key_is_made_when_twenty_ask_the_key_desk(house: Rooms, backend: Place) -> None:
    """A service of the admin API on either database: its own locks, the key's row and the kept answer are one write."""
    ring = await KeyRing.open(house.db, backend.data, log=house.log, clock=house.clock)
    desk = ring.desk
    shops = (Shop(house), Shop(house))

    async def work(keep: Keep[Told]) -> Told:
        def told(issued: IssuedKey) -> Told:
            return Told(201, issued.secret.encode())

        def store(conn: Connection, issued: IssuedKey) -> None:
            keep(conn, told(issued))

        return told(await desk.issue(DEFAULT_ORG, KeyOrder("app"), actor="cli", keep=store))

    answers = await asyncio.gather(*(shops[n % 2].make(work=work) for n in range(20)))
    assert sorted(each.replayed for each in answers) == [False] + [True] * 19
    assert len({each.body for each in answers}) == 1
    (info,) = await desk.list(DEFAULT_ORG)
    assert answers[0].body.decode().endswith(info.last4)


async def test_i05_asker_is_told_to_come_back_when_the_first_still_runs(house: Rooms) -> None:
    """After its patience: a 409 that says when to try again. What runs goes on."""
    slow = Shop(house)
    slow.open.clear()
    running = asyncio.create_task(slow.make())
    await slow.started.wait()
    with pytest.raises(Conflict, match="'retry-7f1c2a9e' still runs") as caught:
        await Shop(house, patience=0.0).make()
    assert (caught.value.code, caught.value.retry_after) == ("idempotency_key_in_use", 5.0)
    slow.open.set()
    assert not (await running).replayed
    assert await made(house) == 1


async def test_i06_key_is_free_when_the_change_was_refused(house: Rooms) -> None:
    """What the work raises is raised and nothing is kept: the mended body may have the key."""
    shop = Shop(house)
    refused = replace(WISH, body={"name": "too long"})
    with pytest.raises(NotFound):
        await shop.make(refused, work=partial(fail, house, NotFound("There is no such plan.")))
    assert (await made(house), await house.row(shop.changes._name(WISH), WISH.scope)) == (0, None)
    assert not (await shop.make()).replayed


async def test_i06_key_is_free_for_the_same_when_the_change_failed(house: Rooms) -> None:
    """A failure of ours may come at any moment: the same request may be sent again, another may not have its key."""
    shop = Shop(house)
    with pytest.raises(Overloaded):
        await shop.make(work=partial(fail, house, Overloaded("The disk is full.")))
    with pytest.raises(IdempotencyError):
        await shop.make(replace(WISH, body={"name": "two"}))
    assert not (await shop.make()).replayed
    assert await made(house) == 1


async def test_i08_retry_takes_over_when_the_process_died_before_its_commit(house: Rooms) -> None:
    """A lead whose lease has lapsed stands for nothing that was made: the retry makes it, at the next epoch."""
    shop = Shop(house)
    changes = shop.changes
    dead = partial(
        claim,
        scope=WISH.scope,
        key=changes._name(WISH),
        path=WISH.path,
        fingerprint=b"",
        response_id=fresh_id(),
        owner="dead",
        now=house.now,
    )
    await shop.make(replace(WISH, key="to-learn-its-fingerprint"))
    known = await house.row(changes._name(replace(WISH, key="to-learn-its-fingerprint")), WISH.scope)
    await house.db.write(partial(dead, fingerprint=bytes(known.fingerprint)))
    await house.lapse("dead")
    assert not (await shop.make()).replayed
    row = await house.row(changes._name(WISH), WISH.scope)
    assert (row.state, row.epoch, await made(house)) == ("done", 2, 2)


async def test_i07_change_is_undone_when_another_took_over(house: Rooms) -> None:
    """A process that slept past its lease makes nothing: it gets the answer of who took over."""
    sleeper, other = Shop(house), Shop(house)
    sleeper.open.clear()
    running = asyncio.create_task(sleeper.make())
    await sleeper.started.wait()
    gone = update(idempotency).values(lease_until=0)
    await house.db.write(lambda conn: conn.execute(gone))
    told = await other.make()
    assert (told.replayed, await made(house)) == (False, 1)
    sleeper.open.set()
    assert await running == replace(told, replayed=True)
    assert (await made(house), sleeper.begun, other.begun) == (1, 1, 1)


async def test_i12_change_is_whole_when_its_caller_leaves(house: Rooms) -> None:
    """Cancelled before its commit it has made nothing and its key is free; cancelled while the write waits, both are there."""
    shop = Shop(house)
    shop.open.clear()
    early = asyncio.create_task(shop.make())
    await shop.started.wait()
    early.cancel()
    await asyncio.gather(early, return_exceptions=True)
    assert (await made(house), (await house.row(shop.changes._name(WISH), WISH.scope)).state) == (
        0,
        "released",
    )

    shop.open.set()
    reached = asyncio.Event()

    async def work(keep: Keep[Told]) -> Told:
        reached.set()
        return await shop.work(keep)

    late = asyncio.create_task(shop.make(work=work))
    await reached.wait()
    late.cancel()  # its write is queued
    await asyncio.gather(late, return_exceptions=True)
    assert (await shop.make()).replayed
    assert await made(house) == 1


async def test_i13_key_is_forgotten_when_its_day_is_over(house: Rooms) -> None:
    """24 hours after the outcome the same key makes another change."""
    shop = Shop(house)
    await shop.make()
    house.clock.advance(KEEP / 1e6)
    assert not (await shop.make()).replayed
    assert await made(house) == 2


async def test_answer_is_kept_when_the_work_did_not_keep_it(house: Rooms) -> None:
    """In a write of its own, after the change."""
    shop = Shop(house)

    async def work(keep: Keep[Told]) -> Told:  # noqa: ARG001  # what this test is about
        await house.db.write(_make)
        return Told(200, b"{}")

    assert await shop.make(work=work) == Told(200, b"{}")
    assert await shop.make(work=work) == Told(200, b"{}", replayed=True)
    assert await made(house) == 1


async def test_row_tells_neither_secret_nor_key_when_it_is_read(house: Rooms) -> None:
    """Only a digest of the idempotency key is stored, and the answer opens for nobody who does not have the key."""
    shop = Shop(house)
    told = await shop.make()
    row = await house.row(shop.changes._name(WISH), WISH.scope)
    stored = b"|".join(str(each).encode() if not isinstance(each, bytes) else each for each in row)
    assert SECRET.encode() in told.body
    for clear in (SECRET, WISH.key, "shown_once"):
        assert clear.encode() not in stored
    replay = Replay(row.response_id, row.status, content_type=row.content_type, answer=bytes(row.answer))
    assert shop.changes._opened(WISH, replay).body == told.body
    for other in (replace(WISH, key="another"), replace(WISH, scope=Scope("org_1", "key_2"))):
        with pytest.raises(Broken):
            shop.changes._opened(other, replay)
    assert SECRET not in repr(told)
