"""What the tests of retries from outside share: calls with an idempotency key, and a look behind the server.

The scriptable upstream counts the calls; prompts are distinctive, so that a test knows its own. The ledger is read
from the database's file.
"""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from rig import Backstage, chat, fresh_id
from served import Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [models.mock]
    targets = ["up"]
    price = { input = 0.15, cached_input = 0.03, output = 0.60 }
    attempts = 1
"""
CHAT = "/v1/chat/completions"

Told = tuple[int, dict[str, str], bytes]


def ask(
    served: Served,
    text: str,
    *,
    key: str,
    header: str = "Idempotency-Key",
    as_key: str | None = None,
    **fields: Any,
) -> Told:
    """A chat call with an idempotency key."""
    return served.call(
        CHAT, json.loads(chat(text, **fields)), headers={header: key}, key=as_key or served.key
    )


def unique(form: str = "echo:") -> str:
    """A prompt of twelve words that no other test has, nor a part of."""
    return f"{form} <{fresh_id()}> two three four five six seven eight nine ten eleven twelve"


def calls(upstream: Backstage, text: str) -> int:
    """How often the upstream was asked with this text."""
    return sum(text.encode() in record.body for record in list(upstream.up.log))


def rows(data: Path, query: str, *values: str) -> list[tuple[Any, ...]]:
    """Rows of the server's database."""
    with closing(sqlite3.connect(data / "ingot.db")) as conn:
        return conn.execute(query, values).fetchall()


def ledger(served: Served) -> int:
    """How many inferences were billed so far."""
    return int(rows(served.data, "SELECT count(*) FROM ledger WHERE kind = 'inference'")[0][0])


def state(data: Path, key: str) -> str:
    """How the database says that a key stands; "" where it does not know it."""
    found = rows(data, "SELECT state FROM idempotency WHERE key = ?", key)
    return str(found[0][0]) if found else ""


def is_replay(answer: Told) -> bool:
    """Whether an answer is marked as one that was given before."""
    return answer[1].get("idempotent-replayed") == "true"
