"""T-W-sim, F18: deliveries on both databases, over real sockets and a clock that is moved: the schedule, the breaker, whoever is dead or slow."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator

import msgspec
import pytest
from sqlalchemy import insert

from databases import Place
from hookhouse import QUICK, HookHouse, digest, new_mail_id, open_hooks
from ingot.addresses import Reach
from ingot.deliveries import FAILURES, STANDARD, derive, sign
from ingot.services.accounts.letters import Letters
from ingot.services.webhooks.sending import LEASE_SECONDS, Deliverer, Room
from ingot.store.delivery_log import Which
from ingot.store.outbox import OutboxRow
from ingot.store.schema import members, outbox, users, webhook_deliveries, webhook_places, webhook_tries
from receiver import Receiver, Reply
from unit.upstream.rawserver import Peer, serving, until


async def _canary(peer: Peer) -> None:
    """Whoever comes here was led astray; the server counts them."""
    await peer.gone()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where webhooks arrive."""
    with Receiver() as made:
        yield made


@pytest.fixture
def other() -> Iterator[Receiver]:
    """Another host."""
    with Receiver() as made:
        yield made


async def until_done(house: HookHouse, deliverer: Deliverer) -> list[float]:
    """Moves the clock from try to try until nothing is left; the waits in between."""
    waits = []
    while await house.rows(webhook_deliveries.c.id, where=webhook_deliveries.c.done_at.is_(None)):
        wait = max(await house.due(), 0)
        house.clock.advance(wait + 0.001)
        waits.append(wait)
        assert await house.run(deliverer) == 1
        assert len(waits) <= 20
    return waits


async def test_schedule_is_kept_when_the_receiver_is_dead(backend: Place, receiver: Receiver) -> None:
    """W02, W04: ten tries of the same bytes under one id, each signed anew, the waits a tenth more or less."""
    receiver.answer = lambda _, __: Reply(500)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1")
        waits = await until_done(house, house.process())
        assert len(waits) == len(STANDARD.waits) == len(receiver.posts) == 10
        for told, planned in zip(waits, STANDARD.waits, strict=True):
            assert 0.9 * planned - 0.01 <= told <= 1.1 * planned + 0.01
        assert len({(post.id, post.body) for post in receiver.posts}) == 1
        assert len({post.headers["webhook-timestamp"] for post in receiver.posts}) == 10
        for post in receiver.posts:
            at = int(post.headers["webhook-timestamp"])
            wanted = sign([derive(digest, "we_1", 1)], post.id, at=at, body=post.body)
            assert post.headers["webhook-signature"] == wanted
        [row] = await house.rows(webhook_deliveries.c.error)
        assert row.error == "the receiver answered 500"
        assert len(await house.rows(webhook_tries.c.seq)) == 10


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirect_is_a_failure_when_it_comes(
    backend: Place, receiver: Receiver, other: Receiver, status: int
) -> None:
    """W05: nobody goes there, and the next try goes to the same URL."""
    receiver.answer = lambda _, before: Reply(200 if before else status, {"location": other.url})
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1")
        assert len(await until_done(house, house.process())) == 2
        assert (len(receiver.posts), len(other.posts)) == (2, 0)


async def test_url_is_left_alone_when_it_is_gone(backend: Place, receiver: Receiver) -> None:
    """W05: 410 ends all that waits for it and disables the endpoint; enabled by hand, new events go there."""
    receiver.answer = lambda _, __: Reply(410)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        for number in range(3):
            await house.event(f"resp_{number}")
        one = house.process(room=Room(1, 1))
        assert await house.run(one) == 1
        await house.event("resp_4")
        assert await house.run(one) == 0
        assert len(receiver.posts) == 1
        receiver.answer = lambda _, __: Reply()
        await house.desk().enable("org_a", "we_1", actor="cli")
        await house.event("resp_5")
        assert await house.run(one) == 1


@pytest.mark.parametrize(
    ("asked", "least", "most"), [("600", 600, 600), ("1", 4.5, 5.5), ("86400", 3600, 3600)]
)
async def test_receiver_sets_the_pace_when_it_says_so(
    backend: Place, receiver: Receiver, asked: str, least: float, most: float
) -> None:
    """W04: retry-after counts up to an hour, and never shortens the schedule."""
    receiver.answer = lambda _, __: Reply(429, {"retry-after": asked})
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1")
        await house.run(house.process())
        assert least - 0.01 <= await house.due() <= most + 0.01


async def test_try_ends_when_the_receiver_says_nothing(backend: Place, receiver: Receiver) -> None:
    """A try has an end; the log says what happened, and over which kind of address nobody knows."""
    receiver.answer = lambda _, __: Reply(mute=1.0)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1", policy=QUICK)
        await house.run(house.process())
        [row] = await house.rows(webhook_tries.c.status, webhook_tries.c.family, webhook_tries.c.error)
        assert (row.status, row.family) == (None, None)
        assert "not answered" in row.error


async def test_status_counts_when_the_body_never_ends(backend: Place, receiver: Receiver) -> None:
    """A 100 MB reply and one that drips are dropped behind their status."""
    replies = [Reply(200, body=b"x" * 100_000_000), Reply(200, body=b"y" * 1000, drip=0.5)]
    receiver.answer = lambda _, __: replies.pop()
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        one = house.process()
        for number in range(2):
            await house.event(f"resp_{number}")
        await house.run(one)
        rows = await house.rows(webhook_deliveries.c.done_at, webhook_deliveries.c.error)
        assert [row.error for row in rows] == [None, None]
        assert all(row.done_at is not None for row in rows)


async def test_other_hosts_are_served_when_one_is_slow(
    backend: Place, receiver: Receiver, other: Receiver
) -> None:
    """W06: at most four calls wait at one host, and all of another's leave meanwhile."""
    gate: list[bool] = []

    def slow(_: object, __: int) -> Reply:
        while not gate:
            time.sleep(0.005)
        return Reply()

    receiver.answer = slow
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.endpoint(other, org_id="org_b", name="we_2")
        for number in range(20):
            await house.event(f"resp_{number}")
        for number in range(20):
            await house.event(f"resp_b{number}", org_id="org_b")
        one = house.process()
        running = asyncio.create_task(one.run())
        try:
            await until(lambda: len(other.posts) == 20 and len(receiver.posts) >= 4)
            assert len(receiver.posts) == receiver.most_open == 4
            gate.append(True)
            await until(lambda: len(receiver.posts) == 20)
            assert receiver.most_open == 4
        finally:
            gate.append(True)
            await one.close()
            await running


async def test_host_is_only_probed_when_it_failed_ten_times(
    backend: Place, receiver: Receiver, other: Receiver
) -> None:
    """W06: one try in five minutes, whatever waits; the first success opens it for all. Others notice nothing."""
    receiver.answer = lambda _, __: Reply(503)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.endpoint(other, org_id="org_b", name="we_2")
        for number in range(30):
            await house.event(f"resp_{number}")
        one = house.process()
        await house.run(one)
        assert FAILURES <= len(receiver.posts) < FAILURES + 4
        failed = len(receiver.posts)
        house.clock.advance(200)
        assert await house.run(one) == 0
        await house.event("resp_b", org_id="org_b")
        assert await house.run(one) == 1
        house.clock.advance(101)
        assert await house.run(one) == 1
        assert len(receiver.posts) == failed + 1
        receiver.answer = lambda _, __: Reply()
        house.clock.advance(301)
        assert await house.run(one) >= 30 - FAILURES
        house.clock.advance(400)
        await house.run(one)
        assert len({post.id for post in receiver.posts}) == 30
        assert await house.rows(webhook_places.c.place) == []


async def test_host_is_disabled_when_it_failed_for_five_days(backend: Place, receiver: Receiver) -> None:
    """W06: its owner gets one mail; nothing goes there until a person says otherwise, then what is new and what is replayed."""
    receiver.answer = lambda _, __: Reply(500)
    async with open_hooks(backend) as house:
        await house.db.write(
            lambda conn: (
                conn.execute(insert(users), {"id": "user_1", "email": "ada@example.org", "created_at": 1}),
                conn.execute(
                    insert(members),
                    {"org_id": "org_a", "user_id": "user_1", "role": "owner", "created_at": 1},
                ),
            )
        )
        await house.endpoint(receiver)
        one = house.process()
        for day in range(7):
            for number in range(4):
                await house.event(f"resp_{day}_{number}")
            for _ in range(12):
                await house.run(one)
                house.clock.advance(7200)
        [place] = await house.rows(webhook_places.c.place, webhook_places.c.disabled_at)
        assert place.disabled_at is not None
        mails = await house.rows(outbox.c.address, outbox.c.payload, where=outbox.c.kind == "mail")
        assert [row.address for row in mails] == ["ada@example.org"]
        assert receiver.url.removesuffix("/hook") in mails[0].payload
        letters = Letters(house.db, url="https://ai.example.org", clock=house.clock, new_id=new_mail_id)
        row = OutboxRow("mail_1", None, "mail", mails[0].address, msgspec.json.decode(mails[0].payload), 1)
        written = await letters.write(row, "own")
        assert written is not None
        assert "/admin/v1/organizations/org_a/webhooks/enable" in written.body
        seen = len(receiver.posts)
        house.clock.advance(86_400)
        assert await house.run(one) == 0
        await one.sweep()
        receiver.answer = lambda _, __: Reply()
        await house.desk().enable("org_a", place.place, actor="cli")
        await house.event("resp_new")
        assert await house.run(one) >= 1
        again = await house.desk().redeliver("org_a", Which(since=0), actor="cli")
        assert again.deliveries >= 28
        await house.run(one)
        assert {f"resp_{day}_{number}" for day in range(7) for number in range(4)} <= {
            post.body.decode().partition('"data":{"id":"')[2].removesuffix('"}}')
            for post in receiver.posts[seen:]
        }


async def test_event_is_delivered_once_when_several_processes_work(
    backend: Place, receiver: Receiver
) -> None:
    """A lease keeps processes apart."""
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        for number in range(60):
            await house.event(f"resp_{number}")
        processes = [house.process(seed=seed, room=Room(64, 16)) for seed in range(3)]
        while sum(await asyncio.gather(*(each.turn() for each in processes))):
            await asyncio.gather(*(each.idle() for each in processes))
        assert Counter(post.id for post in receiver.posts).most_common(1)[0][1] == 1
        assert len(receiver.posts) == 60


async def test_event_comes_again_when_its_process_ended_before_the_note(
    backend: Place, receiver: Receiver
) -> None:
    """A lease that nobody kept ends: the same event is delivered by another, under the same id."""
    receiver.answer = lambda _, before: Reply(mute=0 if before else 0.5)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1")
        first = house.process()
        await first.turn()
        await until(lambda: bool(receiver.posts))
        for task in list(first._tasks):
            task.cancel()  # as if the process were gone, between its post and its note
        second = house.process()
        assert await house.run(second) == 0
        house.clock.advance(LEASE_SECONDS + 1)
        assert await house.run(second) == 1
        assert [post.id for post in receiver.posts] == [receiver.posts[0].id] * 2
        [row] = await house.rows(webhook_deliveries.c.error, webhook_deliveries.c.attempts)
        assert (row.error, row.attempts) == (None, 2)


async def test_delivery_is_given_back_when_its_process_closes(backend: Place, receiver: Receiver) -> None:
    """A rolling restart loses nothing and waits for no lease."""
    receiver.answer = lambda _, before: Reply(mute=0 if before else 2.0)
    async with open_hooks(backend) as house:
        await house.endpoint(receiver)
        await house.event("resp_1")
        first = house.process()
        await first.turn()
        await until(lambda: bool(receiver.posts))
        await first.close()
        assert await house.run(house.process()) == 1


async def test_canary_is_never_called_when_a_stored_url_leads_home(backend: Place) -> None:
    """W09: what was fine when it was ordered is judged again at each try, by the address that would be connected to."""
    async with serving(_canary) as canary, open_hooks(backend) as house:
        await house.endpoint(url=f"http://localhost:{canary.port}/hook")
        await house.event("resp_1")
        closed = house.process(reach=Reach(http=True, ports=frozenset(range(1, 65536))))
        await house.run(closed)
        assert canary.accepted == 0
        [row] = await house.rows(webhook_tries.c.error, webhook_tries.c.status)
        assert (row.status, row.error) == (
            None,
            "the URL leads to an address that is not on the public internet",
        )
