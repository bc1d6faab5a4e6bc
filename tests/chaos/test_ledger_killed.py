"""F02, F15: the server is killed again and again under load: no answer is without its ledger row, and none is billed twice.

`INGOT_CHAOS_KILLS` sets how often, `INGOT_CHAOS_SEED` the moments and the load; both are printed with a failure.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from databases import Place
from operator_hands import Customer, Hands
from rig import Backstage, chat, payloads, post
from served import KEY, PATIENCE, Served, serving

KILLS = int(os.environ.get("INGOT_CHAOS_KILLS", "5"))
SEED = int(os.environ.get("INGOT_CHAOS_SEED", "20261127"))
AT_ONCE = 24
LONGEST = 1.2
"""Seconds of load before a kill, at most."""
CONFIG = """
    [engine]
    enabled = false
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [models.mock]
    targets = ["up"]
    price = { input = 0.15, cached_input = 0.03, output = 0.60 }
    attempts = 1
"""
PROMPTS = ["words: 8", "words: 30", "words: 8 {{delay 0.02}}", "words: 40 {{gap 0.002}}", "words: 300"]


@dataclass(slots=True)
class Request:
    """One request as its client sees it; with a retry key it is sent until it is answered, and once more."""

    name: str
    body: bytes
    stream: bool
    key: str
    retry: bool = False
    leaves: bool = False
    tries: int = 0
    answers: list[bytes] = field(default_factory=list)

    def raw(self) -> bytes:
        """The bytes of the next try; each has a request id of its own."""
        self.tries += 1
        more = f"x-request-id: {self.name}.{self.tries}\r\n"
        if self.retry:
            more += f"idempotency-key: {self.name}\r\n"
        return post(self.body, more=more).replace(KEY.encode(), self.key.encode())


@dataclass(slots=True)
class Load:
    """Requests without end, and what became of them."""

    rng: random.Random
    keys: tuple[str, ...]
    again: list[Request] = field(default_factory=list)
    done: list[Request] = field(default_factory=list)
    refused: Counter[int] = field(default_factory=Counter)
    made: int = 0

    def next(self) -> Request:
        """A new request, or one that is to be sent again."""
        if self.again and self.rng.random() < 0.5:
            return self.again.pop(self.rng.randrange(len(self.again)))
        self.made += 1
        stream = self.rng.random() < 0.5
        retry = self.rng.random() < 0.4
        text = self.rng.choice(PROMPTS)
        fields: dict[str, Any] = {"stream": True} if stream else {}
        return Request(
            f"r{self.made}",
            chat(text, metadata={"r": str(self.made)}, **fields),
            stream,
            self.rng.choice(self.keys),
            retry=retry,
            leaves=not retry and self.rng.random() < 0.1,
        )

    def answered(self, request: Request, body: bytes) -> None:
        """The client saw a whole answer; the first one with a key is asked for again."""
        request.answers.append(body)
        if request.retry and len(request.answers) == 1:
            self.again.append(request)
        else:
            self.done.append(request)

    def lost(self, request: Request) -> None:
        """The connection ended before the answer did."""
        if request.retry:
            self.again.append(request)
        else:
            self.done.append(request)


async def _ask(port: int, request: Request, rng: random.Random) -> tuple[int, bytes]:
    """Status and body of a whole answer; raises where it does not come whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    try:
        writer.write(request.raw())
        if request.leaves:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(-1), rng.random() * 0.05)
            raise ConnectionError
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if b"transfer-encoding: chunked" not in head.lower():
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                return status, await reader.readexactly(length)
            body = b""
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            return status, body
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def _client(port: int, load: Load, seed: float, *, drain: bool) -> None:
    """Asks until the server is gone; or, to drain, until nothing is left to be sent again."""
    rng = random.Random(seed)  # noqa: S311  # a seeded storm
    while not drain or load.again:
        request = load.again.pop() if drain else load.next()
        try:
            status, body = await _ask(port, request, rng)
        except (ConnectionError, asyncio.IncompleteReadError):
            load.lost(request)
            if request.leaves:
                continue
            return
        whole = status == 200 and (not request.stream or payloads(body)[-1] == b"[DONE]")
        if whole:
            load.answered(request, body)
        else:
            load.refused[status] += 1
            load.lost(request)
            await asyncio.sleep(0.02)


async def _storm(served: Served, load: Load, *, kill: bool) -> None:
    seeds = [load.rng.random() for _ in range(AT_ONCE)]
    async with asyncio.TaskGroup() as group:
        for seed in seeds:
            group.create_task(_client(served.port, load, seed, drain=not kill))
        if kill:
            await asyncio.sleep(0.1 + load.rng.random() * (LONGEST - 0.1))
            served.process.send_signal(signal.SIGKILL)


@pytest.fixture
def hands(tmp_path: Path) -> Hands:
    """A database that outlives all servers."""
    return Hands(Place("sqlite", tmp_path / "data", ""))


@pytest.fixture
def prepaid(hands: Hands) -> tuple[Customer, Customer]:
    """An organization with plenty of credit, and one that runs out of it."""
    hands.run("plans", "create", "bulk")
    return (
        hands.customer("rich", plan="bulk", credit="1000"),
        hands.customer("poor", plan="bulk", credit="0.05"),
    )


@contextlib.contextmanager
def _killed_or_stopped(hands: Hands, upstream: Backstage) -> Iterator[Served]:
    config = textwrap.dedent(CONFIG).replace("{up}", upstream.url)
    with serving(config, hands.place.data.parent) as served:
        yield served
        served.process.wait(PATIENCE) if served.process.poll() is not None else served.stop()


def _check(hands: Hands, load: Load, *, whole: bool) -> None:
    """Everything adds up, each answer has its one row, no request has two; `whole`: every retry came to its end."""
    hands.verified()
    billed: Counter[str] = Counter()
    for request_id, count in hands.rows(
        "SELECT request_id, (SELECT count(*) FROM ledger WHERE billable_id = responses.id AND kind = 'inference') "
        "FROM responses"
    ):
        billed[request_id.partition(".")[0]] += count
    assert max(billed.values()) == 1
    known = load.done + load.again
    assert not [each.name for each in known if each.answers and billed[each.name] != 1]
    assert not [each.name for each in known if len(set(each.answers)) > 1 and not each.stream]
    if whole:
        assert not [each.name for each in known if each.retry and not each.answers]


def test_every_answer_is_billed_once_when_the_server_is_killed(
    hands: Hands, prepaid: tuple[Customer, Customer]
) -> None:
    """After each restart the ledger proves right; a retry with its key gets one answer, whatever died in between."""
    print(f"seed {SEED}, {KILLS} kills")  # noqa: T201 - pytest shows it with a failure
    load = Load(random.Random(SEED), (KEY, *(each.key for each in prepaid)))  # noqa: S311  # a seeded storm
    with Backstage() as upstream:
        for _ in range(KILLS):
            with _killed_or_stopped(hands, upstream) as served:
                if load.made:
                    _check(hands, load, whole=False)
                asyncio.run(_storm(served, load, kill=True))
        with _killed_or_stopped(hands, upstream) as served:
            _check(hands, load, whole=False)
            poor = [each for each in load.again if each.key == prepaid[1].key]
            load.again = [each for each in load.again if each not in poor]
            asyncio.run(_storm(served, load, kill=False))
            _check(hands, load, whole=True)
            assert served.stop() == 0
        _check(hands, load, whole=True)
    answers = sum(len(each.answers) for each in load.done)
    resumed = sum(each.retry and each.tries > 2 for each in load.done)
    print(f"{answers} answers, {resumed} retries after a kill, refused: {json.dumps(load.refused)}")  # noqa: T201 - as above
    assert answers > KILLS * 10
    assert resumed
    assert set(load.refused) <= {402}
    assert hands.standing(prepaid[1].org_id)[0] >= 0
