"""T-B-100k: a batch of very many requests on one server: taken in little memory, counted exactly at every look, answered rightly.

`INGOT_BATCH_ITEMS` sets how many; 100000 take some minutes. `python -m benchmarks.batches` measures the same, on both databases,
and `test_batches_killed` does it on several nodes that are killed.
"""

import hashlib
import json
import os
import time
from itertools import count, pairwise
from pathlib import Path
from typing import Any, Final

from batchhouse import CHAT, ENDED, read, said
from retryclient import rows
from rig import fresh_id, memory, stage
from served import PATIENCE, Served

ITEMS: Final = int(os.environ.get("INGOT_BATCH_ITEMS", "3000"))
GROWTH: Final = 64_000_000
"""Bytes by which the server may grow while it takes the batch (B01)."""
PAGE: Final = 1000
CONFIG: Final = """
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [models.mock]
    targets = ["up"]
    price = { input = 1, output = 2 }
    attempts = 1
    [worker]
    concurrency = 128
"""
OUTCOMES: Final = ("completed", "failed", "cancelled", "expired")


def digest(answers: dict[str, str]) -> str:
    """A checksum of all answers by name."""
    whole = "\n".join(f"{name} {text}" for name, text in sorted(answers.items()))
    return hashlib.sha256(whole.encode()).hexdigest()


def lines(served: Served, which: str) -> dict[str, str]:
    """What each line of the results says, read a page at a time; no name comes twice."""
    found: dict[str, str] = {}
    after = ""
    for _ in count():
        status, _, body = served.call(f"/v1/batches/{which}/results?limit={PAGE}{after}")
        assert status == 200, body
        if not body:
            return found
        page = [json.loads(line) for line in body.splitlines()]
        assert found.keys().isdisjoint(line["custom_id"] for line in page)
        found |= {line["custom_id"]: said(line) for line in page}
        after = f"&after={page[-1]['custom_id']}"
    raise AssertionError


def test_t_b_100k_every_request_has_its_answer_and_counts_are_exact(tmp_path: Path) -> None:
    """B01, B04: one ledger row for each, all answers the upstream's function of their prompts, counts that never go back."""
    mark = fresh_id()
    right = {f"r{number}": f"{mark} {number}" for number in range(ITEMS)}
    requests = [
        {
            "custom_id": name,
            "params": {"model": "mock", "messages": [{"role": "user", "content": f"echo: {text}"}]},
        }
        for name, text in right.items()
    ]
    body = json.dumps({"endpoint": CHAT, "requests": requests}).encode()
    with stage(tmp_path, CONFIG) as (served, _):
        served.chat("warm up")
        before = memory(served.process.pid)
        status, _, made = served.call("/v1/batches", body)
        assert status == 200, made
        assert memory(served.process.pid, "VmHWM") - before <= GROWTH
        which = str(json.loads(made)["id"])
        looks: list[dict[str, Any]] = []

        def over() -> bool:
            batch = read(served, which)  # its counts add up
            looks.append(batch["request_counts"])
            return batch["status"] in ENDED

        assert json.loads(made)["request_counts"]["total"] == ITEMS
        deadline = time.monotonic() + PATIENCE + ITEMS / 100
        while not over():
            assert time.monotonic() < deadline, looks[-1]
            time.sleep(0.2)
        assert looks[-1]["completed"] == ITEMS
        assert all(one[name] <= other[name] for one, other in pairwise(looks) for name in OUTCOMES)
        assert digest(lines(served, which)) == digest(right)
        billed = "SELECT count(*), count(DISTINCT billable_id) FROM ledger JOIN batch_lines ON response_id = billable_id"
        assert rows(served.data, billed) == [(ITEMS, ITEMS)]
