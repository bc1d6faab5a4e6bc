"""Two servers share an organization's concurrency, and one is killed: its places are free after the lease.

The server of the limits says when a lease is over, by its own clock; nothing here is measured by the test's.
"""

import signal
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg
import pytest
import redis

from databases import Place, valkey_url
from operator_hands import Customer, Hands, house
from rig import Line, chat, post, wait_until
from served import KEY, Served

PLACES = 2
LEASE = 6
CONFIG = f"""
    [targets.up]
    base_url = "{{up}}"
    timeouts = {{ idle = 600 }}
    [models.mock]
    targets = ["up"]
    price = "free"
    attempts = 1
    [limiter]
    lease_seconds = {LEASE}
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """Two servers, where they count, and who asks them."""

    hands: Hands
    servers: list[Served]
    valkey: str

    def leases(self, org_id: str) -> dict[str, int]:
        """The leases of an organization, by when they end, that the server of the limits counts by its own clock."""
        if self.valkey:
            with redis.Redis.from_url(self.valkey, decode_responses=True) as client:
                seconds, micros = client.time()
                found = client.zrange(f"ingot:limits:{{{org_id}}}:{org_id}:leases", 0, -1, withscores=True)
            rows = [(name, int(end)) for name, end in found]
            now = int(seconds) * 1_000_000 + int(micros)
        else:
            with psycopg.connect(self.hands.place.url, autocommit=True) as conn:
                query = "SELECT lease, until FROM limit_leases WHERE partition = %s"
                rows = conn.execute(query, (org_id,)).fetchall()
                (now,) = conn.execute(
                    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
                ).fetchone() or (0,)
        return {name: end for name, end in rows if end > now}


@pytest.fixture(params=["postgres", "valkey"])
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgres: str
) -> Iterator[Scene]:
    """Two servers that count in PostgreSQL, and then in a Valkey."""
    folder = tmp_path_factory.mktemp("places")
    hands = Hands(Place("postgres", folder / "data", postgres))
    valkey = valkey_url() if request.param == "valkey" else ""
    config = CONFIG + (f'    url = "{valkey}"\n' if valkey else "")
    with house(folder, config, hands, count=2) as (servers, _):
        hands.run("plans", "create", "narrow", "--concurrency", str(PLACES))
        yield Scene(hands, servers, valkey)


def _fill(stack: ExitStack, scene: Scene, served: Served, customer: Customer) -> None:
    """Opens streams that say nothing after their first words, until they hold all places.

    More than so many where a round came too late on a slow machine: the server decided then by itself.
    """

    def full() -> bool:
        if len(scene.leases(customer.org_id)) == PLACES:
            return True
        line = stack.enter_context(Line(served.port))
        line.send(_post("words: 9 {{hang 2}}", customer, stream=True))
        assert line.read(12) in {b"HTTP/1.1 200", b"HTTP/1.1 429"}
        return False

    wait_until(full, "streams hold all places")


def _post(text: str, customer: Customer, *, stream: bool) -> bytes:
    return post(chat(text, stream=stream)).replace(KEY.encode(), customer.key.encode())


def _status(served: Served, customer: Customer) -> int:
    with Line(served.port) as line:
        line.send(_post("hello", customer, stream=False))
        return line.answer().status


def test_places_are_free_after_the_lease_when_their_server_is_killed(scene: Scene) -> None:
    """While it lives, for longer than a lease, others are refused; once it is dead they have all of its places."""
    customer = scene.hands.customer("narrow", plan="narrow", postpaid=True)
    owner, other = scene.servers
    with ExitStack() as streams:
        _fill(streams, scene, owner, customer)
        first = scene.leases(customer.org_id)
        # What ends later than this was renewed when the first leases would have been over.
        last = max(first.values()) + LEASE * 1_000_000

        def renewed() -> bool:
            leases = scene.leases(customer.org_id)
            return leases.keys() >= first.keys() and min(leases.values()) > last

        wait_until(renewed, "the leases are renewed")
        wait_until(lambda: _status(other, customer) == 429, "the other server is refused")
        owner.process.send_signal(signal.SIGKILL)
        owner.process.wait()
        wait_until(lambda: not scene.leases(customer.org_id).keys() & first.keys(), "the leases run out")
    with ExitStack() as streams:
        _fill(streams, scene, other, customer)
        wait_until(lambda: _status(other, customer) == 429, "its own streams fill the places")
    wait_until(lambda: not scene.leases(customer.org_id), "clients that leave give their places back")
    wait_until(lambda: _status(other, customer) == 200, "there is room again")
