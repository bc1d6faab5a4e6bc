"""T-W-crash and the flapping receiver: the server is killed between a post and its note, the receiver fails at random; every event arrives.

Nothing is missing, and what comes again has its id and its bytes. What fails when is drawn from a seed, which is told.
"""

import json
import os
import random
import signal
import textwrap
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ingot.store.webhooks import event_id
from receiver import Post, Receiver, Reply
from retryclient import rows
from rig import Backstage, fresh_id, wait_until
from served import PATIENCE, Served, serving

SEED = int(os.environ.get("INGOT_SEED", "20261127"))
EVENTS = int(os.environ.get("INGOT_CHAOS_WEBHOOKS", "1000"))
KILLS = 2
AT_ONCE = 12
CONFIG = """
    [engine]
    enabled = false
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
    [webhooks]
    http = true
    networks = ["127.0.0.0/8"]
    ports = [{port}]
    per_host = 16
"""


def ask(served: Served, receiver: Receiver, text: str) -> str:
    """A response that orders a webhook; its id."""
    body = {"model": "mock", "input": f"echo: {text}", "metadata": {"completion_webhook": receiver.url}}
    status, _, answer = served.call("/v1/responses", body)
    assert status == 200, answer
    return str(json.loads(answer)["id"])


def distinct(receiver: Receiver) -> set[str]:
    """The ids that have come."""
    return {post.id for post in list(receiver.posts)}


def open_deliveries(served: Served) -> int:
    """How many are not done."""
    return len(rows(served.data, "SELECT id FROM webhook_deliveries WHERE done_at IS NULL"))


def test_every_event_arrives_when_the_receiver_flaps(tmp_path: Path) -> None:
    """1,000 events; a third of the first tries fails by status, by silence or by a cut: each arrives, under its id."""
    draw = random.Random(SEED)  # noqa: S311  # a seed, so that a run can be repeated
    fates: dict[str, Reply] = defaultdict(
        lambda: draw.choices(
            [Reply(), Reply(500), Reply(503, {"retry-after": "1"}), Reply(mute=0.05)], [6, 1, 1, 1]
        )[0]
    )
    with Backstage() as upstream, Receiver() as receiver:
        receiver.answer = lambda post, before: Reply() if before else fates[post.id]
        text = textwrap.dedent(CONFIG).replace("{up}", upstream.url).replace("{port}", str(receiver.port))
        with serving(text, tmp_path) as served:
            mark = fresh_id()
            with ThreadPoolExecutor(8) as pool:
                ids = list(pool.map(lambda n: ask(served, receiver, f"{mark} {n}"), range(EVENTS)))
            wanted = {event_id("completion", each) for each in ids}
            assert len(wanted) == EVENTS
            wait_until(lambda: not open_deliveries(served), f"all are delivered, INGOT_SEED={SEED}")
            check(receiver, wanted)
            assert rows(served.data, "SELECT id FROM webhook_deliveries WHERE error IS NOT NULL") == []
            assert len(receiver.posts) > EVENTS
            failed = sum(fate != Reply() for fate in fates.values())
            tries = rows(served.data, "SELECT error FROM webhook_tries")
            assert sum(error is not None for (error,) in tries) == failed


def held(gate: threading.Semaphore) -> Callable[[Post, int], Reply]:
    """An answer that waits until the gate lets it through."""

    def answer(_: Post, __: int) -> Reply:
        gate.acquire()
        return Reply()

    return answer


def until_held(receiver: Receiver, before: int) -> None:
    """A post has come that was not there before."""
    wait_until(lambda: len(receiver.posts) > before, f"a post is held, INGOT_SEED={SEED}")


def check(receiver: Receiver, wanted: set[str]) -> None:
    """Each id has come, no other, and each with one body."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    for post in list(receiver.posts):
        bodies[post.id].add(post.body)
    assert set(bodies) == wanted
    assert {len(each) for each in bodies.values()} == {1}


def test_no_event_is_missing_when_the_server_is_killed_between_post_and_note(tmp_path: Path) -> None:
    """SIGKILL while the receiver has a post in its hands: after the next start it comes again under the same id."""
    draw = random.Random(SEED)  # noqa: S311  # as above
    wanted: set[str] = set()
    with Backstage() as upstream, Receiver() as receiver:
        text = textwrap.dedent(CONFIG).replace("{up}", upstream.url).replace("{port}", str(receiver.port))
        for turn in range(KILLS + 1):
            with serving(text, tmp_path) as served:
                gate, before = threading.Semaphore(0), len(receiver.posts)
                receiver.answer = held(gate)
                ids = [ask(served, receiver, f"{fresh_id()} {n}") for n in range(AT_ONCE)]
                wanted |= {event_id("completion", each) for each in ids}
                if turn < KILLS:
                    until_held(receiver, before)
                    for _ in range(draw.randrange(4)):
                        gate.release()
                    os.kill(served.process.pid, signal.SIGKILL)
                    served.process.wait(PATIENCE)
                for _ in range(2 * EVENTS):
                    gate.release()
                if turn < KILLS:
                    assert open_deliveries(served) > 0
                else:
                    wait_until(lambda: not open_deliveries(served), f"all are delivered, INGOT_SEED={SEED}")
        check(receiver, wanted)
        assert len(receiver.posts) > len(wanted)
        assert distinct(receiver) == wanted
