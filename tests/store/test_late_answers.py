"""Answers that end after their organization was deleted, on both databases: charged as ever, and nothing of them is kept."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import Connection, select

from databases import Place, open_store
from ingot.ids import new_id, ordered_id
from ingot.pricing import Tokens, frozen
from ingot.services.accounts.organizations import Organizations
from ingot.services.accounts.records import Caller
from ingot.services.accounts.sessions import Sessions
from ingot.services.idempotency import Lead, Retries, Scope
from ingot.services.ledger import Ledger
from ingot.services.recording import Recorder
from ingot.services.retention import Retention
from ingot.store.database import Database
from ingot.store.idempotency import finish
from ingot.store.schema import idempotency, ledger, response_metadata, responses
from ingot.store.settle import Settlement, settle
from treasury import PRICE, Treasury

GONE, LIVE = "org_gone", "org_live"
OPERATOR = Caller("key", "key_operator", operator=True)
GUARD_SECONDS = 30
"""A safety net, no expectation."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Two organizations that pay later, a recorder, and who deletes them, as another process would."""

    place: Place
    treasury: Treasury
    retries: Retries
    recorder: Recorder
    organizations: Organizations

    def answered(self, org_id: str, **more: object) -> Settlement:
        """An answer with content, which cost ten units."""
        now = self.treasury.now
        made = Settlement(
            id=ordered_id("resp", self.treasury.clock.now()),
            public_id=new_id("chatcmpl"),
            org_id=org_id,
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
            input_tokens=10,
            amount=PRICE.cost(Tokens(input=10), window="asap"),
            price=frozen(PRICE, window="asap"),
            request=b'{"messages":[]}',
            answer=b'{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":0}}',
            metadata={"team": "a"},
            expires_at=now + 10**12,
        )
        return replace(made, **more)

    async def lead(self, key: str) -> Lead:
        """The lead of a request with this key that the organization has sent."""
        begun = await self.retries.begin(
            Scope(GONE, "key_a"),
            key,
            path="/v1/chat/completions",
            fingerprint=b"f" * 32,
            response_id=f"resp_{key}",
        )
        assert isinstance(begun, Lead)
        return begun

    async def delete(self) -> None:
        """Ends the one organization, and all content that it has by then."""
        await self.organizations.delete(GONE, caller=OPERATOR)
        await self.organizations.close()

    async def kept(self) -> dict[str, set[str]]:
        """The responses of which something is kept, by organization."""

        def read(conn: Connection) -> dict[str, set[str]]:
            found: dict[str, set[str]] = {GONE: set(), LIVE: set()}
            labelled = set(conn.execute(select(response_metadata.c.response_id)).scalars())
            for row in conn.execute(select(responses)):
                held = [row.request, row.answer, row.metadata, row.expires_at]
                if row.id in labelled or any(each is not None for each in held):
                    found[row.org_id].add(row.id)
            return found

        return await self.treasury.db.read(read)

    async def billed(self, org_id: str) -> int:
        """How many calls the ledger has of an organization."""
        query = select(ledger.c.seq).where(ledger.c.kind == "inference", ledger.c.org_id == org_id)
        return len(await self.treasury.db.read(lambda conn: conn.execute(query).all()))


@pytest.fixture
async def scene(backend: Place) -> AsyncIterator[Scene]:
    """The scene on one database, through two stores."""
    async with open_store(backend) as db, open_store(backend) as other:
        treasury = Treasury(db)
        for org_id in (GONE, LIVE):
            await treasury.organization(org_id, prepaid=False)
        retries = Retries(db, clock=treasury.clock, log=treasury.log)
        recorder = Recorder(db, purse=treasury.purse("p"), retries=retries, log=treasury.log)
        yield Scene(backend, treasury, retries, recorder, _organizations(other, treasury))
        await recorder.close()


def _organizations(db: Database, treasury: Treasury) -> Organizations:
    sessions = Sessions(db, clock=treasury.clock)
    return Organizations(
        db, plan="free", sessions=sessions, clock=treasury.clock, log=treasury.log, new_id=new_id
    )


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"amount": 0, "price": '{"input":0,"output":0}'},
        {"billable": False, "state": "failed", "status": 502, "amount": 0, "price": None, "answer": None},
    ],
    ids=["paid", "free", "failed"],
)
async def test_s16_nothing_is_kept_when_the_organization_is_gone(scene: Scene, more: dict[str, Any]) -> None:
    """No sweep is waited for: the record itself comes without content. It is charged as any other."""
    await scene.delete()
    late, live = scene.answered(GONE, **more), scene.answered(LIVE)
    await asyncio.gather(*map(scene.recorder.record, (late, live)))
    assert await scene.kept() == {GONE: set(), LIVE: {live.id}}
    assert await scene.billed(GONE) == int(late.billable)
    assert await scene.treasury.figures(GONE) == (-late.amount, 0)
    assert (await Ledger(scene.treasury.db).verify(deep=True)).holds


async def test_s16_answer_for_retries_is_not_kept_when_the_organization_is_gone(scene: Scene) -> None:
    """A request that came with a key while the deletion was on its way."""
    await scene.delete()
    lead = await scene.retries.begin(
        Scope(GONE, "key_a"), "once", path="/v1/chat/completions", fingerprint=b"f" * 32, response_id="resp_1"
    )
    assert isinstance(lead, Lead)
    await scene.recorder.record(scene.answered(GONE, id=lead.response_id, lead=lead, given=b"content"))
    left = select(idempotency.c.key)
    assert await scene.treasury.db.read(lambda conn: conn.execute(left).all()) == []
    assert await scene.kept() == {GONE: set(), LIVE: set()}
    assert await scene.billed(GONE) == 1


REFUSED = {"billable": False, "state": "failed", "status": 400, "amount": 0, "price": None}
BARE = {"request": None, "answer": None, "metadata": None, "expires_at": None}


@pytest.mark.parametrize("more", [{}, REFUSED | BARE], ids=["answered", "refused"])
async def test_s16_request_with_a_key_is_settled_when_the_organization_goes_while_it_runs(
    scene: Scene, more: dict[str, Any]
) -> None:
    """Charged once as one without a key is, also where another of the organization ends first; no answer is kept."""
    leads = [await scene.lead(key) for key in ("one", "two")]
    await scene.delete()
    for number, lead in enumerate(leads, start=1):
        entry = scene.answered(GONE, id=lead.response_id, lead=lead, given=b"content", **more)
        await scene.recorder.record(entry)
        left = select(idempotency.c.state)
        states = await scene.treasury.db.read(partial(_scalars, query=left))
        assert states == ["running"] * (len(leads) - number)
    assert await scene.kept() == {GONE: set(), LIVE: set()}
    assert await scene.billed(GONE) == (0 if more else 2)
    assert (await Ledger(scene.treasury.db).verify(deep=True)).holds


async def test_s16_sweep_takes_what_is_kept_when_a_change_ends_after_the_organization(scene: Scene) -> None:
    """What keeps its answer apart from a settlement, and what was given up: nothing of it stays."""
    leads = [await scene.lead(key) for key in ("done", "free", "runs")]
    await scene.delete()
    now = scene.treasury.now
    told = partial(finish, lead=leads[0], status=201, content_type="application/json", answer=b"{}", now=now)
    assert await scene.treasury.db.write(told)
    await scene.retries.release(leads[1])
    sweeper = Retention(scene.treasury.db, clock=scene.treasury.clock, log=scene.treasury.log, pause=0)
    await sweeper.turn()
    left = select(idempotency.c.key, idempotency.c.answer)
    rows = await scene.treasury.db.read(lambda conn: conn.execute(left).all())
    assert [tuple(row) for row in rows] == [("runs", None)]


async def test_s16_nothing_is_left_when_the_organization_is_deleted_in_the_middle_of_a_record(
    scene: Scene,
) -> None:
    """The deletion waits for a record that is being written, and then finds it."""
    entry = scene.answered(GONE)
    written, go_on = threading.Event(), threading.Event()

    def slowly(conn: Connection) -> None:
        settle(conn, [entry])
        written.set()
        assert go_on.wait(GUARD_SECONDS)

    record = asyncio.ensure_future(scene.treasury.db.write(slowly, locks=(GONE,)))
    assert await asyncio.to_thread(written.wait, GUARD_SECONDS)
    deletion = asyncio.create_task(scene.delete())
    while scene.place.postgres and not deletion.done():
        if scene.place.run("SELECT 1 FROM pg_locks WHERE NOT granted"):
            break
        await asyncio.sleep(0.01)
    go_on.set()
    await asyncio.gather(record, deletion)
    assert await scene.kept() == {GONE: set(), LIVE: set()}
    assert await scene.billed(GONE) == 1


async def test_s16_nothing_is_left_when_answers_end_while_the_organization_is_deleted(scene: Scene) -> None:
    """Whichever comes first of each and the deletion."""
    told = []
    for number in range(40):
        told.append(scene.recorder.record(scene.answered(GONE)))
        if number == 10:
            deletion = asyncio.create_task(scene.delete())
        await asyncio.sleep(0.002)
    await asyncio.gather(deletion, *told)
    assert await scene.kept() == {GONE: set(), LIVE: set()}
    assert await scene.billed(GONE) == 40
    assert (await Ledger(scene.treasury.db).verify()).holds


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_no_statement_is_spent_on_it_when_the_organizations_are_alive(scene: Scene) -> None:
    """A group of answers is four statements: responses, ledger, balance, hourly sums. SQLite tells of them."""
    seen: list[str] = []

    def watched(conn: Connection) -> None:
        driver = conn.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.set_trace_callback(seen.append)
        settle(conn, [scene.answered(LIVE, metadata=None) for _ in range(4)])
        driver.set_trace_callback(None)

    await scene.treasury.db.write(watched)
    assert sorted(each.split()[0] for each in seen) == ["INSERT", "INSERT", "INSERT", "UPDATE"]


async def test_i06_outcome_is_kept_when_its_lead_is_given_up_meanwhile(scene: Scene) -> None:
    """A request that is over gives its lead up while its record waits for the commit before it: the record wins."""
    lead = await scene.retries.begin(
        Scope(LIVE, "key_a"), "once", path="/v1/chat/completions", fingerprint=b"f" * 32, response_id="resp_1"
    )
    assert isinstance(lead, Lead)
    first = scene.recorder.record(scene.answered(LIVE))
    await asyncio.sleep(0)  # its commit is on its way
    told = scene.recorder.record(scene.answered(LIVE, id=lead.response_id, lead=lead, given=b"{}"))
    await scene.retries.release(lead)
    await asyncio.gather(first, told)
    assert await scene.billed(LIVE) == 2
    states = select(idempotency.c.state)
    assert await scene.treasury.db.read(partial(_scalars, query=states)) == ["done"]


def _scalars(conn: Connection, query: Any) -> list[Any]:
    return list(conn.execute(query).scalars())
