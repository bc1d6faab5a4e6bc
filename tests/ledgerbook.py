"""Answered requests as a settlement leaves them: responses, their metadata, ledger rows, and the hours of usage.

unguarded(conn)    lets rows of the ledger be changed within it, as somebody who owns the database can
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, insert, select, text, update

from ingot.store.schema import (
    DEFAULT_ORG,
    MICROSECOND,
    ledger,
    micros,
    organizations,
    response_metadata,
    responses,
    usage_hours,
)
from ingot.store.steps import guards

NOW = 1_764_331_200.0  # 2025-11-28 12:00 UTC
DAY = 86_400.0
BATCH = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One request; `at` in seconds since the epoch, `cost` in 1e-12 USD."""

    number: int
    at: float = NOW
    org: str = DEFAULT_ORG
    key: str = "key_one"
    public: str = ""
    surface: str = "chat"
    model: str = "mock"
    window: str = "asap"
    state: str = "completed"
    kept: bool = True
    content: str = "hello"
    metadata: Mapping[str, str] | None = None
    days: float | None = 30
    tokens: tuple[int, int, int] = (10, 4, 5)  # input, cached, output
    cost: int = 2_500_000

    @property
    def id(self) -> str:
        """Our id, in the order of time."""
        return f"resp_{micros(self.at):016x}{self.number:08x}"

    @property
    def shown(self) -> str:
        """The id as the client saw it."""
        return self.public or f"chatcmpl-{self.number}"

    def response(self) -> dict[str, Any]:
        """Its row in `responses`."""
        at, (given, cached, made) = micros(self.at), self.tokens
        return {
            "id": self.id,
            "public_id": self.shown,
            "org_id": self.org,
            "key_id": self.key,
            "surface": self.surface,
            "model": self.model,
            "target": "up",
            "status": 200 if self.state == "completed" else 502,
            "state": self.state,
            "streamed": self.number % 2,
            "fidelity": "verbatim",
            "window": self.window,
            "created_at": at,
            "finished_at": at + 1_500_000,
            "first_token_us": 250_000,
            "input_tokens": given,
            "cached_tokens": cached,
            "output_tokens": made,
            "reasoning_tokens": 1,
            "amount": self.cost,
            "kept": int(self.kept),
            "request": self.request() if self.kept else None,
            "answer": self.answer() if self.kept else None,
            "metadata": json.dumps(self.metadata) if self.metadata else None,
            "request_id": f"req_{self.number}",
            "expires_at": None if self.days is None else at + round(self.days * DAY * MICROSECOND),
        }

    def ledger(self) -> dict[str, Any]:
        """Its row in `ledger`."""
        given, cached, made = self.tokens
        return {
            "billable_id": self.id,
            "org_id": self.org,
            "key_id": self.key,
            "kind": "inference",
            "amount": -self.cost,
            "at": micros(self.at),
            "model": self.model,
            "window": self.window,
            "input_tokens": given,
            "cached_tokens": cached,
            "output_tokens": made,
            "reasoning_tokens": 1,
        }

    def request(self) -> bytes:
        """What was asked."""
        message = {"role": "user", "content": f"say {self.content}"}
        return json.dumps({"model": self.model, "messages": [message]}).encode()

    def answer(self) -> bytes:
        """What was answered."""
        return json.dumps(
            {
                "id": self.shown,
                "object": "chat.completion",
                "created": int(self.at),
                "model": self.model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": self.content, "refusal": None},
                        "logprobs": None,
                        "finish_reason": "stop",
                    }
                ],
            }
        ).encode()


@contextmanager
def unguarded(conn: Connection) -> Iterator[None]:
    """Takes the triggers of the ledger away, and puts them back."""
    of = " ON ledger" if conn.dialect.name == "postgresql" else ""
    for name in guards.GUARDS[conn.dialect.name]:
        conn.execute(text(f"DROP TRIGGER {name}{of}"))
    yield
    guards.apply(conn, 0)


def book(conn: Connection, entries: Iterable[Entry]) -> None:
    """Writes requests as settlements would: each table, and the hours one by one."""
    source = iter(entries)
    hours: dict[tuple[Any, ...], list[int]] = {}
    while batch := list(islice(source, BATCH)):
        conn.execute(insert(responses), [entry.response() for entry in batch])
        conn.execute(insert(ledger), [entry.ledger() for entry in batch])
        labels = [row for entry in batch for row in _labels(entry)]
        if labels:
            conn.execute(insert(response_metadata), labels)
        for entry in batch:
            hour = (entry.org, int(entry.at) // 3600, entry.key, entry.model, entry.window)
            given, cached, made = entry.tokens
            sums = hours.get(hour, [0] * 6)
            more = (1, given, cached, made, 1, entry.cost)
            hours[hour] = [old + new for old, new in zip(sums, more, strict=True)]
    _add_hours(conn, hours)


def _add_hours(conn: Connection, hours: Mapping[tuple[Any, ...], list[int]]) -> None:
    """Adds sums to the hours that are there, as settlements do one by one."""
    keys = [usage_hours.c[name] for name in ("org_id", "hour", "key_id", "model", "window")]
    sums = [column for column in usage_hours.columns if not column.primary_key]
    rows = []
    for hour, more in hours.items():
        row = {column.name: value for column, value in zip(keys, hour, strict=True)}
        own = [column == row[column.name] for column in keys]
        grown = {column.name: column + new for column, new in zip(sums, more, strict=True)}
        if conn.execute(update(usage_hours).where(*own).values(**grown)).rowcount == 0:
            rows.append(row | {column.name: new for column, new in zip(sums, more, strict=True)})
    for start in range(0, len(rows), BATCH):
        conn.execute(insert(usage_hours), rows[start : start + BATCH])


def add_organization(
    conn: Connection, org_id: str, *, plan: str = "plan_free", prepaid: bool = False
) -> None:
    """An organization without anything."""
    row = {"id": org_id, "name": org_id, "plan_id": plan, "prepaid": int(prepaid), "created_at": 0}
    conn.execute(insert(organizations), row)


def hours_of(conn: Connection) -> list[tuple[Any, ...]]:
    """All rows of usage by hour, in order."""
    return sorted(tuple(row) for row in conn.execute(select(usage_hours)))


def _labels(entry: Entry) -> Iterator[dict[str, str]]:
    for name, value in (entry.metadata or {}).items():
        yield {"org_id": entry.org, "name": name, "value": value, "response_id": entry.id}
