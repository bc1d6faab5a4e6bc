"""F01, B04, Q08, T-B-100k for batches: processes that work on one are killed in the middle; each request is answered, and billed once.

On SQLite one server is killed and started again, also while it takes a batch in; on PostgreSQL one server takes the batch and
several work on it. What happens when is drawn from a seed, which is told. `python -m benchmarks.crashes` does it at length.
"""

import contextlib
import http.client
import json
import os
import random
import signal
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from batchhouse import results, said
from databases import postgres_url
from retryclient import rows
from rig import Backstage, fresh_id, wait_until
from served import Served, serving

SEED = int(os.environ.get("INGOT_SEED", "20261127"))
REQUESTS = int(os.environ.get("INGOT_CHAOS_REQUESTS_BATCH", "400"))
KILLS = 3
LEASE = 3
CONFIG = f"""
    [engine]
    enabled = false
    [targets.up]
    base_url = "{{up}}"
    breaker = {{ failures = 1000 }}
    [models.mock]
    targets = ["up"]
    price = {{ input = 1, output = 2 }}
    attempts = 1
    [worker]
    concurrency = 16
    lease_seconds = {LEASE}
    [batches]
    job_requests = 16
"""


def batch_of(served: Served, mark: str, *, count: int = REQUESTS) -> str:
    """A batch of so many requests, each with words of its own; its id."""
    requests = [
        {
            "custom_id": f"r{number}",
            "params": {
                "model": "mock",
                "messages": [{"role": "user", "content": f"{{{{delay 0.02}}}} echo: {mark} {number}"}],
            },
        }
        for number in range(count)
    ]
    status, _, answer = served.call("/v1/batches", {"endpoint": "/v1/chat/completions", "requests": requests})
    assert status == 200, answer
    return str(json.loads(answer)["id"])


def counts(served: Served, which: str) -> Any:
    """The batch as it stands; its counts add up, whatever happened."""
    batch = json.loads(served.call(f"/v1/batches/{which}")[2])
    found = batch["request_counts"]
    assert sum(held for name, held in found.items() if name != "total") == found["total"] == REQUESTS
    return batch


def check(served: Served, which: str, mark: str, *, upstream: Backstage, billed: list[str]) -> None:
    """Every request has its own answer and one ledger row; repeats are no more than what was cut off."""
    page, found = results(served, which, "?limit=10000"), {}
    found.update({name: said(line) for name, line in page.items()})
    assert found == {f"r{number}": f"{mark} {number}" for number in range(REQUESTS)}
    assert len(billed) == len(set(billed)) == REQUESTS
    asked = sum(mark.encode() in seen.body for seen in list(upstream.up.log))
    assert REQUESTS <= asked <= REQUESTS + KILLS * 16 * 2


def after(served: Served, which: str, *, done: int) -> Callable[[], bool]:
    """Whether so many requests have ended."""
    return lambda: counts(served, which)["request_counts"]["completed"] >= done


def test_f01_batch_goes_on_when_the_server_is_killed(tmp_path: Path) -> None:
    """SIGKILL a few times on SQLite: after each start the counts add up, and the rest is done."""
    draw = random.Random(SEED)  # noqa: S311  # a seed, so that a run can be repeated
    mark, which = fresh_id(), ""
    with Backstage() as upstream:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        for turn in range(KILLS):
            with serving(config, tmp_path) as served:
                which = which or batch_of(served, mark)
                done = REQUESTS * (turn + 1) // (KILLS + 1) - draw.randrange(REQUESTS // 8)
                wait_until(after(served, which, done=done), f"{done} are done, seed {SEED}")
                served.process.send_signal(signal.SIGKILL)
                served.process.wait()
        with serving(config, tmp_path) as served:
            wait_until(lambda: counts(served, which)["status"] == "completed", f"all is done, seed {SEED}")
            query = "SELECT billable_id FROM ledger JOIN batch_lines ON response_id = billable_id"
            billed = [str(each) for (each,) in rows(served.data, query)]
            check(served, which, mark, upstream=upstream, billed=billed)


def test_b01_batch_is_whole_or_not_there_when_the_server_is_killed_taking_it(tmp_path: Path) -> None:
    """SIGKILL at any moment of a batch's coming: its client finds all of it or nothing, and a retry makes it once."""
    draw = random.Random(SEED + 2)  # noqa: S311  # a seed, so that a run can be repeated
    mark, key = fresh_id(), {"idempotency-key": fresh_id()}
    text = [{"role": "user", "content": f"echo: {mark}"}]
    requests = [
        {"custom_id": f"r{number}", "params": {"model": "mock", "messages": text}} for number in range(5000)
    ]
    body = json.dumps({"endpoint": "/v1/chat/completions", "requests": requests}).encode()
    with Backstage() as upstream:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        for _ in range(KILLS):
            with serving(config, tmp_path, options=("--no-worker",)) as served:
                line = http.client.HTTPConnection("127.0.0.1", served.port)
                with contextlib.suppress(OSError):
                    line.request(
                        "POST", "/v1/batches", body, {"authorization": f"Bearer {served.key}", **key}
                    )
                    time.sleep(draw.uniform(0.0, 0.6))
                served.process.send_signal(signal.SIGKILL)
                served.process.wait()
                line.close()
        with serving(config, tmp_path, options=("--no-worker",)) as served:
            status, _, first = served.call("/v1/batches", body, headers=key)
            assert status == 200, first
            batch = json.loads(first)
            assert batch["request_counts"]["total"] == 5000
            assert [each["id"] for each in json.loads(served.call("/v1/batches")[2])["data"]] == [batch["id"]]
            staged = "SELECT count(*) FROM jobs WHERE batch_id NOT IN (SELECT id FROM batches WHERE state = 'in_progress')"
            assert rows(served.data, staged) == [(0,)]


@pytest.mark.parametrize("nodes", [2])
def test_f01_batch_goes_on_when_nodes_are_killed(tmp_path: Path, nodes: int) -> None:
    """On PostgreSQL nodes that serve and work die one after the other, and others take up what they had."""
    draw = random.Random(SEED + 1)  # noqa: S311  # a seed, so that a run can be repeated
    mark, url = fresh_id(), postgres_url()
    with Backstage() as upstream, contextlib.ExitStack() as stack:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url) + f'[server]\ndatabase = "{url}"\n'
        first = stack.enter_context(serving(config, tmp_path, options=("--no-worker",)))

        def hire(number: int) -> Served:
            folder = tmp_path / f"node{number}"
            folder.mkdir()
            (folder / "data").symlink_to(first.data)  # the same pepper
            return stack.enter_context(serving(config, folder))

        alive = [hire(number) for number in range(nodes)]
        which = batch_of(first, mark)
        for turn in range(KILLS):
            done = REQUESTS * (turn + 1) // (KILLS + 2)
            wait_until(after(first, which, done=done), f"{done} are done, seed {SEED}")
            victim = alive.pop(draw.randrange(len(alive)))
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
            alive.append(hire(nodes + turn))
        wait_until(lambda: counts(first, which)["status"] == "completed", f"all is done, seed {SEED}")
        with psycopg.connect(url) as conn:
            query = "SELECT billable_id FROM ledger JOIN batch_lines ON response_id = billable_id"
            billed = [str(row[0]) for row in conn.execute(query)]
        check(first, which, mark, upstream=upstream, billed=billed)
