"""The task that sends mail: what leaves, what is tried again and when, what is given up."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from ingot.clock import ManualClock
from ingot.services.accounts.letters import Text
from ingot.services.mail import MailSender
from ingot.services.mail import sender as module
from ingot.store import outbox as store
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.outbox import OutboxRow
from ingot.store.schema import micros, outbox
from ingot.upstream.mail import Letter, MailFault
from keyhouse import Lines


@dataclass(slots=True)
class Desk:
    """A database, and a post that fails as often as it is told."""

    db: Database
    clock: ManualClock = field(default_factory=ManualClock)
    log: Lines = field(default_factory=Lines)
    sent: list[Letter] = field(default_factory=list)
    faults: list[Exception] = field(default_factory=list)
    void: bool = False

    async def send(self, letter: Letter) -> None:
        """The post."""
        if self.faults:
            raise self.faults.pop(0)
        self.sent.append(letter)

    async def write(self, row: OutboxRow, _: str) -> Text | None:
        """The writer."""
        return None if self.void else Text(row.payload["subject"], "the text")

    def sender(self) -> MailSender:
        """A sender, as each process has one."""
        return MailSender(self.db, post=self, write=self.write, clock=self.clock, log=self.log)

    async def post(self, post_id: str = "mail_1", kind: str = "mail") -> None:
        """Puts a mail into the outbox."""
        row = partial(
            store.post,
            org_id=None,
            post_id=post_id,
            kind=kind,
            address="ada@example.org",
            payload={"subject": post_id},
            at=micros(self.clock.now()),
        )
        await self.db.write(row)

    async def row(self) -> Any:
        """The one row of the outbox."""
        return await self.db.read(lambda conn: conn.execute(select(outbox)).one())


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """An empty outbox."""
    async with open_database(tmp_path) as db:
        yield Desk(db)


async def test_mail_leaves_once_when_due(desk: Desk) -> None:
    """What is in the outbox is sent, of its kind alone, and not again."""
    await desk.post()
    await desk.post("event_1", kind="event")
    sender = desk.sender()
    assert await sender.send_due() == 1
    assert await sender.send_due() == 0
    assert desk.sent == [Letter("mail_1", "ada@example.org", "mail_1", "the text")]


async def test_mail_is_tried_later_and_later_when_it_does_not_leave(desk: Desk) -> None:
    """30 s, then twice as long each time, an hour at most; the reason is kept and no address is logged."""
    await desk.post()
    sender = desk.sender()
    desk.faults = [MailFault("the mail server answered with 451", final=False) for _ in range(10)]
    waits = []
    while desk.faults:
        assert await sender.send_due() == 1
        wait = (await desk.row()).due_at / 1e6 - desk.clock.now()
        waits.append(wait)
        desk.clock.advance(wait - 1)
        assert await sender.send_due() == 0
        desk.clock.advance(1)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    assert (await desk.row()).error == "the mail server answered with 451"
    assert await sender.send_due() == 1
    assert len(desk.sent) == 1
    assert (await desk.row()).done_at is not None
    assert "ada" not in repr(desk.log.said)


@pytest.mark.parametrize("final", [True, False])
async def test_mail_is_given_up_when_it_cannot_leave(desk: Desk, *, final: bool) -> None:
    """At once where no try would help, else after sixteen; the log says so."""
    await desk.post()
    sender = desk.sender()
    desk.faults = [MailFault("refused", final=final) for _ in range(100)]
    tries = 0
    while await sender.send_due():
        tries += 1
        desk.clock.advance(module.LONGEST_DELAY)
    assert tries == (1 if final else module.MOST_TRIES)
    assert (await desk.row()).error == "refused"
    assert desk.log.said[-1][0] == "mail_given_up"


async def test_mail_is_not_sent_when_what_it_is_about_is_over(desk: Desk) -> None:
    """A writer that has nothing to say ends the row."""
    await desk.post()
    desk.void = True
    await desk.sender().send_due()
    assert desk.sent == []
    assert (await desk.row()).error == "void"


async def test_others_leave_when_one_breaks_the_writer(desk: Desk) -> None:
    """A mail that cannot be written does not hold up the next."""
    await desk.post("mail_1")
    await desk.post("mail_2")
    desk.faults = [RuntimeError("unexpected")]
    await desk.sender().send_due()
    assert [letter.id for letter in desk.sent] == ["mail_2"]
    assert "mail_failed" in [event for event, _ in desk.log.said]


async def test_mail_is_leased_to_one_when_several_processes_send(desk: Desk) -> None:
    """Two senders share the work; a lease that lapses goes to another, and its old holder changes nothing."""
    for number in range(8):
        await desk.post(f"mail_{number}")
    senders = [desk.sender(), desk.sender()]
    while sum(await asyncio.gather(*(each.send_due() for each in senders))):
        continue
    assert sorted(letter.id for letter in desk.sent) == [f"mail_{number}" for number in range(8)]


async def test_zombie_changes_nothing_when_its_lease_has_lapsed(desk: Desk) -> None:
    """Who comes back after the lease finds the row in other hands."""
    await desk.post()
    now = micros(desk.clock.now())
    first = partial(store.lease, kind="mail", owner="slow", now=now, until=now + 100)
    assert len(await desk.db.write(first)) == 1
    assert (
        await desk.db.write(partial(store.lease, kind="mail", owner="other", now=now, until=now + 100)) == []
    )
    second = partial(store.lease, kind="mail", owner="other", now=now + 100, until=now + 200)
    (row,) = await desk.db.write(second)
    assert row.attempts == 2
    assert not await desk.db.write(partial(store.finish, post_id=row.id, owner="slow", at=now))
    assert not await desk.db.write(partial(store.retry, post_id=row.id, owner="slow", due=now, error="x"))
    assert not await desk.db.write(partial(store.amend, post_id=row.id, owner="slow", payload={}))
    assert await desk.db.write(partial(store.finish, post_id=row.id, owner="other", at=now))
    assert not await desk.db.write(partial(store.finish, post_id=row.id, owner="other", at=now))


async def test_task_sends_until_it_is_closed(desk: Desk) -> None:
    """`run` takes what comes while it runs, and returns after `close`."""
    sender = desk.sender()
    running = asyncio.create_task(sender.run())
    await desk.post()
    async with asyncio.timeout(20):
        while not desk.sent:  # noqa: ASYNC110  # the post sets no event
            await asyncio.sleep(0.005)
        await sender.close()
        await running


async def test_task_waits_when_the_database_is_gone(desk: Desk) -> None:
    """A fault of the store is logged and waited out, not the end of the task."""
    await desk.db.close()
    sender = desk.sender()
    running = asyncio.create_task(sender.run())
    async with asyncio.timeout(20):
        while not desk.log.said:  # noqa: ASYNC110  # the log sets no event
            await asyncio.sleep(0.005)
        await sender.close()
        await running
    assert desk.log.said[0][0] == "mail_not_read"


async def test_rows_are_forgotten_when_they_left_a_week_ago(desk: Desk) -> None:
    """What was sent does not pile up; what waits stays."""
    await desk.post()
    sender = desk.sender()
    await sender.send_due()
    await desk.post("mail_2")
    later = micros(desk.clock.now() + module.KEPT_SECONDS)
    assert await desk.db.write(partial(store.prune, kind="mail", before=later + 1)) == 1
    assert (await desk.row()).id == "mail_2"
