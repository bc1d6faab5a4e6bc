"""T-Q-poison, F20 inside of a batch: requests that bring down whoever works on them, never end, or answer more than memory holds.

Each of them fails by itself (Q09), and all others of the batch are answered and billed once.
"""

import os
import resource
import signal
import textwrap
from pathlib import Path
from typing import Any, Final

from batchhouse import ENDED, chat, make, read, results, said
from ingot.store.suspects import MOST_LAPSES, PROVEN
from retryclient import rows
from rig import Backstage, memory, wait_until
from served import PATIENCE, Served, serving

GOOD: Final = 24
LARGE: Final = 400_000_000
"""Bytes of an answer."""
ROOM: Final = 250_000_000
"""Bytes by which the server may grow."""
CONFIG: Final = """
    [engine]
    enabled = false
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [targets.odd]
    base_url = "{up}"
    timeouts = { first_byte = 0.5 }
    breaker = { failures = 1000 }
    [models]
    mock = { targets = ["up"], windows = ["standard"], price = { input = 1, output = 2 }, attempts = 1 }
    odd = { targets = ["odd"], windows = ["brief"], price = { input = 1, output = 2 }, attempts = 1 }
    [windows.brief]
    seconds = 60
    batch_seconds = 2.0
    [worker]
    concurrency = 16
    lease_seconds = 3
"""


def requests() -> list[dict[str, Any]]:
    """A batch of good requests and bad ones."""
    good = {f"good-{number}": f"{{{{delay 0.1}}}} echo: answer {number}" for number in range(GOOD)}
    made = [{"custom_id": name, "params": chat(text)} for name, text in good.items()]
    made.insert(3, {"custom_id": "crash", "params": chat("{{silent}} crash")})
    made.insert(9, {"custom_id": "hang", "params": chat("{{silent}} hang", model="odd")})
    made.insert(15, {"custom_id": "large", "params": chat(f"{{{{huge {LARGE}}}}} large", model="odd")})
    return made


def narrowed(served: Served) -> None:
    """The server may not have the memory that the large answer needs."""
    size = memory(served.process.pid, "VmSize")
    resource.prlimit(served.process.pid, resource.RLIMIT_AS, (size + ROOM, size + ROOM))


def begun(upstream: Backstage) -> int:
    """How often the poison was begun."""
    return sum(b"{{silent}} crash" in each.body for each in list(upstream.up.log))


def read_end(served: Served, which: str) -> bool:
    """Whether the batch has ended."""
    return read(served, which)["status"] in ENDED


def begun_again(served: Served, upstream: Backstage, which: str, *, deaths: int) -> bool:
    """Whether the poison was begun once more than it killed; False where the batch ended without."""
    wait_until(
        lambda: begun(upstream) > deaths or read_end(served, which), "the poison is begun, or all is done"
    )
    return begun(upstream) > deaths


def test_t_q_poison_only_poison_fails_when_it_is_in_a_batch(tmp_path: Path) -> None:
    """Q09: whoever begins one request dies of it at once, whatever it works on beside it; another never ends, a third one is larger
    than memory: the rest is done.
    """
    which, deaths = "", 0
    with Backstage() as upstream:
        config = textwrap.dedent(CONFIG).replace("{up}", upstream.url)
        for deaths in range(MOST_LAPSES + 1):
            with serving(config, tmp_path) as served:
                narrowed(served)
                if not which:
                    status, _, made = make(served, requests(), endpoint="/v1/chat/completions")
                    assert status == 200, made
                    which = str(made["id"])
                if not begun_again(served, upstream, which, deaths=deaths):
                    break
                os.kill(served.process.pid, signal.SIGKILL)
                served.process.wait(PATIENCE)
        with serving(config, tmp_path) as served:
            assert read_end(served, which), read(served, which)
            counts = read(served, which)["request_counts"]
            found = results(served, which)
            good = {name: line for name, line in found.items() if name.startswith("good-")}
            assert {name: said(line) for name, line in good.items()} == {
                f"good-{number}": f"answer {number}" for number in range(GOOD)
            }
            assert counts["completed"] == GOOD
            assert PROVEN <= deaths <= MOST_LAPSES
            assert found.keys() - good.keys() == {"crash", "hang", "large"}
            assert found["crash"]["response"]["body"]["error"]["code"] == "worker_crashed"
            billed = "SELECT count(*), count(DISTINCT billable_id) FROM ledger JOIN batch_lines ON response_id = billable_id"
            assert rows(served.data, billed) == [(GOOD, GOOD)]
