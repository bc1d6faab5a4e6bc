"""The recorder and the settlement on both databases: grouped, whole or not at all, billed once, told when it is durable."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from functools import partial

import pytest
from msgspec.structs import replace as changed
from sqlalchemy import Connection, select

from databases import Place, open_store
from ingot.ids import new_id, ordered_id
from ingot.pricing import Tokens, frozen
from ingot.services.idempotency import Lead, Retries, Scope
from ingot.services.ledger import Ledger
from ingot.services.purse import Hold, Purse
from ingot.services.recording import Fenced, Recorder
from ingot.store import idempotency
from ingot.store.faults import StoreError
from ingot.store.schema import ledger, response_metadata, responses, usage_hours
from ingot.store.settle import Settlement
from treasury import PRICE, Treasury

ORG = "org_a"


@dataclass(frozen=True, slots=True)
class Scene:
    """A recorder with what it tells, on one database."""

    treasury: Treasury
    purse: Purse
    retries: Retries
    recorder: Recorder

    def answered(self, tokens: int = 10, *, hold: Hold | None = None, **more: object) -> Settlement:
        """The settlement of an answer whose tokens cost a unit each."""
        now = self.treasury.now
        made = Settlement(
            id=ordered_id("resp", self.treasury.clock.now()),
            public_id=new_id("chatcmpl"),
            org_id=ORG,
            key_id="key_a",
            surface="chat",
            model="m",
            target="up",
            status=200,
            state="completed",
            window="asap",
            fidelity="verbatim",
            created_at=now,
            finished_at=now,
            request_id="req_1",
            input_tokens=tokens,
            amount=PRICE.cost(Tokens(input=tokens), window="asap"),
            price=frozen(PRICE, window="asap"),
            prepaid=hold is not None,
            reserved=0 if hold is None else hold.amount,
            parts=() if hold is None else hold.parts,
        )
        return changed(made, **more)

    async def count(self) -> tuple[int, int, int]:
        """Rows of responses, rows of the ledger, and the requests that usage counts."""

        def read(conn: Connection) -> tuple[int, int, int]:
            stored = len(conn.execute(select(responses.c.id)).all())
            billed = len(conn.execute(select(ledger.c.seq).where(ledger.c.kind == "inference")).all())
            used = conn.execute(select(usage_hours.c.requests)).scalars().all()
            return stored, billed, sum(used)

        return await self.treasury.db.read(read)

    async def sound(self) -> bool:
        """Whether everything that can be derived again agrees."""
        return not (await Ledger(self.treasury.db).verify()).findings


@pytest.fixture
async def scene(backend: Place) -> AsyncIterator[Scene]:
    """A prepaid organization with 1,000 units, and a recorder."""
    async with open_store(backend) as db:
        treasury = Treasury(db)
        await treasury.organization(ORG, amount=1_000)
        purse = treasury.purse("p1")
        retries = Retries(db, clock=treasury.clock, log=treasury.log)
        recorder = Recorder(db, purse=purse, retries=retries, log=treasury.log)
        yield Scene(treasury, purse, retries, recorder)
        await recorder.close()
        await purse.close()


async def test_answers_of_one_turn_are_one_commit(scene: Scene) -> None:
    """A hundred that end together share the disk, each has its rows, and the sums are those of the rows."""
    before = scene.treasury.db.tally.commits
    await asyncio.gather(*(scene.recorder.record(scene.answered()) for _ in range(100)))
    assert scene.treasury.db.tally.commits - before == 1
    assert await scene.count() == (100, 100, 100)
    assert await scene.treasury.figures(ORG) == (0, 0)
    assert await scene.sound()


async def test_those_that_come_meanwhile_are_the_next_commit(scene: Scene) -> None:
    """While one commit runs the next group gathers."""
    before = scene.treasury.db.tally.commits
    first = scene.recorder.record(scene.answered(1))
    await asyncio.sleep(0)  # the first is on its way now
    rest = [scene.recorder.record(scene.answered(1)) for _ in range(40)]
    await asyncio.gather(first, *rest)
    assert scene.treasury.db.tally.commits - before == 2
    assert await scene.count() == (41, 41, 41)


async def test_one_bad_record_takes_nobody_with_it(scene: Scene) -> None:
    """An id that is billed already is refused alone; the others of its group are written."""
    good = [scene.answered() for _ in range(5)]
    await scene.recorder.record(good[0])
    told = await asyncio.gather(*map(scene.recorder.record, [good[0], *good[1:]]), return_exceptions=True)
    assert isinstance(told[0], StoreError)
    assert told[1:] == [None] * 4
    assert await scene.count() == (5, 5, 5)
    assert await scene.sound()


async def test_what_was_reserved_and_not_spent_is_free_again(scene: Scene) -> None:
    """The hold covers the charge; its rest comes back with the commit."""
    hold = await scene.purse.reserve(ORG, 600)
    await scene.recorder.record(scene.answered(100, hold=hold), hold)
    again = await scene.purse.reserve(ORG, 900)
    scene.purse.release(again)
    await scene.purse.close()
    assert await scene.treasury.figures(ORG) == (900, 0)
    assert await scene.sound()


async def test_a_hold_is_released_when_its_record_fails(scene: Scene) -> None:
    """Nothing was charged, so nothing stays reserved."""
    taken = scene.answered()
    await scene.recorder.record(taken)
    hold = await scene.purse.reserve(ORG, 600)
    with pytest.raises(StoreError):
        await scene.recorder.record(changed(scene.answered(hold=hold), id=taken.id), hold)
    await scene.purse.close()
    assert await scene.treasury.figures(ORG) == (990, 0)


async def test_i07_a_leader_that_was_overtaken_writes_nothing(scene: Scene) -> None:
    """The result of a lost lead is dropped with all that it would bill, and its caller is told to ask again."""
    lead = await scene.retries.begin(
        Scope(ORG, "key_a"), "once", path="/v1/chat/completions", fingerprint=b"f" * 32, response_id="resp_1"
    )
    assert isinstance(lead, Lead)
    overtaken = changed(
        scene.answered(id=lead.response_id), lead=replace(lead, epoch=lead.epoch + 1), given=b"{}"
    )
    other = scene.answered()
    told = await asyncio.gather(
        scene.recorder.record(overtaken), scene.recorder.record(other), return_exceptions=True
    )
    assert isinstance(told[0], Fenced)
    assert told[1] is None
    assert await scene.count() == (1, 1, 1)
    kept = changed(overtaken, lead=lead, content_type="application/json")
    await scene.recorder.record(kept)
    assert await scene.count() == (2, 2, 2)
    found = await scene.treasury.db.read(
        partial(idempotency.find, scope=lead.scope, key="once", now=scene.treasury.now)
    )
    assert isinstance(found, idempotency.Kept)
    assert (found.response_id, found.answer) == (lead.response_id, b"{}")


async def test_what_gave_no_answer_is_recorded_and_not_billed(scene: Scene) -> None:
    """A failed call has a response and no ledger row."""
    await scene.recorder.record(
        scene.answered(state="failed", status=502, billable=False, amount=0, price=None)
    )
    assert await scene.count() == (1, 0, 0)
    assert await scene.sound()


async def test_a_stream_is_kept_as_the_whole_answer(scene: Scene) -> None:
    """Events become one completion; what cannot be folded stays as it went out. Metadata can be searched."""
    chunk = (
        b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":'
        b'[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    )
    whole = scene.answered(
        streamed=True, request=b"{}", answer=chunk, metadata={"team": "a"}, expires_at=scene.treasury.now + 1
    )
    odd = scene.answered(streamed=True, request=b"{}", answer=b"data: 1\n\n", expires_at=1)
    await asyncio.gather(scene.recorder.record(whole), scene.recorder.record(odd))

    def read(conn: Connection) -> tuple[dict[str, bytes], list[tuple[str, str, str]]]:
        rows = conn.execute(select(responses.c.id, responses.c.answer)).all()
        pairs = conn.execute(
            select(response_metadata.c.name, response_metadata.c.value, response_metadata.c.response_id)
        ).all()
        return {row.id: bytes(row.answer) for row in rows}, [tuple(pair) for pair in pairs]

    answers, pairs = await scene.treasury.db.read(read)
    assert b'"object":"chat.completion"' in answers[whole.id].replace(b": ", b":")
    assert answers[odd.id] == b"data: 1\n\n"
    assert pairs == [("team", "a", whole.id)]


async def test_everything_is_told_when_the_store_is_closed(backend: Place) -> None:
    """After the end of the store a record fails with its reason, and nothing hangs."""
    db = open_store(backend)
    treasury = Treasury(db)
    await treasury.organization(ORG)
    retries = Retries(db, clock=treasury.clock, log=treasury.log)
    recorder = Recorder(db, purse=treasury.purse("p"), retries=retries, log=treasury.log)
    scene = Scene(treasury, treasury.purse("q"), retries, recorder)
    await db.close()
    with pytest.raises(StoreError, match="closed"):
        await recorder.record(scene.answered())
    await recorder.close()


async def test_f14_one_request_a_second_finds_out_while_nothing_can_be_written(backend: Place) -> None:
    """No target is paid for answers that cannot be kept; the first that is kept opens the door again."""
    db = open_store(backend)
    treasury = Treasury(db)
    await treasury.organization(ORG)
    retries = Retries(db, clock=treasury.clock, log=treasury.log)
    recorder = Recorder(db, purse=treasury.purse("p"), retries=retries, log=treasury.log)
    scene = Scene(treasury, treasury.purse("q"), retries, recorder)
    assert [recorder.may_try() for _ in range(3)] == [True] * 3
    broken = recorder._db
    recorder._db = open_store(backend)
    await recorder._db.close()
    with pytest.raises(StoreError):
        await recorder.record(scene.answered())
    assert _fails(recorder)
    recorder._tried_at -= 1.0
    assert [recorder.may_try() for _ in range(3)] == [True, False, False]
    recorder._db = broken
    await recorder.record(scene.answered())
    assert not _fails(recorder)
    assert recorder.may_try()
    await recorder.close()
    await db.close()


def _fails(recorder: Recorder) -> bool:
    return recorder.failing_since is not None
