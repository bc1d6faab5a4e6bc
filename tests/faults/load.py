"""The clients of a run: they ask all the time, each with a canary of its own, and write down what they see.

An operation with a key is sent until it is answered; one without is sent once, and its failure is told. Everything is drawn
from a seed. Decides who asks what and when; refuses to know what a client does for each kind of work, which `drivers` says,
and to judge what came.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final, Self

from faults.history import Event, Journal, What, canary, foreign_bytes, now
from faults.wire import PATIENCE, Broken, Refused, Reply, ending, exchange
from rig import chat, post, wait_until
from served import KEY

PATH: Final = "/v1/chat/completions"
AGAIN: Final = frozenset({409, 429, 500, 502, 503, 504, 529})
"""Statuses after which a client with a key sends its request again."""
FORM: Final = b"multipart/form-data; boundary=b"


@dataclass(frozen=True, slots=True)
class Tenant:
    """Who asks."""

    name: str
    org_id: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What is asked: how many clients of each kind at once, and of what nature their operations are."""

    clients: Mapping[str, int]
    keyed: float = 1.0
    """The part of streams and plain calls that have an idempotency key; work that waits always has one."""
    model: str = "mock"
    markers: Sequence[str] = ("{{gap 0.02}}", "{{delay 0.1}}", "")
    words: int = 24
    """Most words of an answer beside its canary."""
    window: str = ""
    tenants: Sequence[str] = ()
    """Whose work it is; nobody named: everybody's."""
    leaves: bool = False
    """Streams: their clients leave in the middle."""
    rest: float = 0.1
    """Most seconds between two operations of one client."""
    hook: str = ""
    """Where the end of work in the background is told, if anywhere."""
    heard: bool = True
    """Whether somebody is there who hears it."""
    most: int = 0
    """Tokens that an answer of queued work may have at most; 0: as many as it likes."""
    cancels: float = 0.2
    """The part of batches that their clients end early."""


@dataclass(slots=True)
class Operation:
    """One thing that a client wants; a body of bytes is a form."""

    name: str
    tenant: Tenant
    kind: str
    body: dict[str, Any] | bytes
    right: str
    keyed: bool
    leaves: int | None = None
    path: str = PATH
    tries: int = 0

    def raw(self) -> bytes:
        """The bytes of the next try, with a request id of its own."""
        self.tries += 1
        more = f"x-request-id: {self.name}.{self.tries}\r\n"
        if self.keyed:
            more += f"idempotency-key: {self.name}\r\n"
        form = isinstance(self.body, bytes)
        data = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        whole = post(data, path=self.path, more=more).replace(KEY.encode(), self.tenant.key.encode())
        return whole.replace(b"application/json", FORM, 1) if form else whole

    def ask(self, path: str, *, method: str = "GET") -> bytes:
        """The bytes of a request without a body."""
        length = "content-length: 0\r\n" if method == "POST" else ""
        return (
            f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {self.tenant.key}\r\n{length}\r\n"
        ).encode()


Driver = Callable[["Load", Operation], Awaitable[None]]
"""What a client does for one kind of work."""


@dataclass(slots=True)
class Load:
    """Clients that ask until they are stopped; `with` starts them on a thread and waits for their last answers."""

    run: str
    mix: Mix
    tenants: Sequence[Tenant]
    ports: Callable[[], Sequence[int]]
    journal: Journal
    draw: random.Random
    drivers: Mapping[str, Driver]
    at_least: int = 0
    """Operations before it stops, whatever else."""
    at_most: int = 1_000_000
    begun: int = 0
    admitted: int = 0
    """Pieces of work that the server has taken."""
    done: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    asking: dict[str, int] = field(default_factory=dict)
    """The ports that operations with a key wait for, or last heard nothing good from."""
    _stopping: bool = False
    _pool: ThreadPoolExecutor = field(init=False)
    _going: Future[None] = field(init=False)

    def __enter__(self) -> Self:
        self._pool = ThreadPoolExecutor(1)
        self._going = self._pool.submit(asyncio.run, self._all())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stopping = True
        if kind is not None:
            self.at_least = 0
        wait([self._going], PATIENCE * 2)
        self._pool.shutdown(wait=False, cancel_futures=True)
        if kind is None:
            self._going.result(0)

    def until_done(self, count: int) -> None:
        """Returns once so many operations more have ended, or nobody asks any more."""
        goal = self.done + count
        wait_until(lambda: self.done >= goal or self._going.done(), f"{goal} operations are done")

    def until_begun(self, count: int) -> None:
        """Returns once so many operations more were begun, or nobody asks any more."""
        goal = self.begun + count
        wait_until(lambda: self.begun >= goal or self._going.done(), f"{goal} operations are begun")

    async def _all(self) -> None:
        async with asyncio.TaskGroup() as group:
            for kind, count in self.mix.clients.items():
                for _ in range(count):
                    group.create_task(self._client(kind))

    async def _client(self, kind: str) -> None:
        while self.begun < self.at_most and (not self._stopping or self.begun < self.at_least):
            operation = self._next(kind)
            self.write(operation, "submit", state=kind, text=operation.right, hook=self._hooked(kind))
            await self.drivers[kind](self, operation)
            self.asking.pop(operation.name, None)
            self.done += 1
            await asyncio.sleep(self.draw.random() * self.mix.rest)

    def _next(self, kind: str) -> Operation:
        mix, draw = self.mix, self.draw
        name = f"{self.run}n{self.begun}"
        self.begun += 1
        named = [each for each in self.tenants if not mix.tenants or each.name in mix.tenants]
        tenant = draw.choice(named)
        if kind == "batch":
            return Operation(name, tenant, kind, {}, "", keyed=True)
        prompt, right = self.prompt(tenant, name)
        fields: dict[str, Any] = {}
        if kind == "stream":
            fields = {"stream": True}
        elif kind == "background":
            fields = {"background": True}
            told = {"completion_window": mix.window, "completion_webhook": mix.hook}
            fields["metadata"] = {name: value for name, value in told.items() if value}
            fields |= {"max_tokens": mix.most} if mix.most else {}
        body = json.loads(chat(prompt, model=mix.model, **fields))
        keyed = kind == "background" or draw.random() < mix.keyed
        leaves = draw.randrange(1, 4) if mix.leaves and kind == "stream" else None
        return Operation(name, tenant, kind, body, right, keyed, leaves)

    def _hooked(self, kind: str) -> bool:
        return kind == "background" and bool(self.mix.hook) and self.mix.heard

    # ---- for the drivers

    def prompt(self, tenant: Tenant, name: str) -> tuple[str, str]:
        """A prompt with the canary of an operation, and what is right to answer."""
        draw = self.draw
        words = [f"w{draw.randrange(1000)}" for _ in range(draw.randrange(1, self.mix.words))]
        right = " ".join([canary(tenant.name, name, draw), *words])
        return f"{draw.choice(self.mix.markers)} echo: {right}", right

    def write(
        self,
        operation: Operation,
        what: What,
        *,
        state: str = "",
        text: str | None = None,
        hook: bool = False,
    ) -> None:
        """Writes down what a client did or saw."""
        event = Event(
            at=now(),
            what=what,
            op=operation.name,
            tenant=operation.tenant.name,
            state=state,
            text=text,
            hook=hook,
        )
        self.journal.write(event)

    def saw(self, operation: Operation, data: bytes, *, state: str = "", text: str | None = None) -> None:
        """Writes down what a client read; what has no state is no answer, and counts where it was another's."""
        tenant = operation.tenant.name
        foreign = foreign_bytes(data, tenant=tenant, op=operation.name)
        if state or foreign:
            self.journal.write(
                Event(
                    at=now(),
                    what="read",
                    op=operation.name,
                    tenant=tenant,
                    state=state,
                    text=text,
                    foreign=foreign,
                )
            )

    def fail(self, operation: Operation, why: str, *, said: bytes = b"") -> None:
        """The operation has failed for good, as its client sees it; `said` is what it was told."""
        self.failures[why] += 1
        self.write(operation, "failed", state=why, text=said[-500:].decode("utf-8", "replace"))

    async def send(
        self, make: Callable[[], bytes], *, leaves_after: int | None = None, asks: str = ""
    ) -> Reply:
        """An exchange with a node; one that takes no connection is left for another. `asks` names an operation."""
        deadline = now() + PATIENCE
        while True:
            ports = self.ports()
            try:
                if ports:
                    port = self.draw.choice(ports)
                    if asks:
                        self.asking[asks] = port
                    return await exchange(port, make(), leaves_after=leaves_after)
            except Refused:
                if now() > deadline:
                    raise
            await asyncio.sleep(0.05)

    async def look(
        self, operation: Operation, path: str, *, method: str = "GET", fine: Collection[int] = (200,)
    ) -> Reply:
        """The answer to what may be asked as often as one likes: whatever is in its way passes."""
        deadline = now() + PATIENCE
        said = b""
        while now() < deadline:
            try:
                reply = await self.send(lambda: operation.ask(path, method=method))
            except Broken:
                continue
            if reply.status in fine:
                return reply
            said = reply.body
            if reply.status not in AGAIN:
                break
            await asyncio.sleep(0.05 + self.draw.random() * 0.15)
        raise AssertionError(f"{operation.name}: {method} {path} gives {said[:300]!r}")

    async def ask(self, operation: Operation) -> Reply | None:
        """The answer to an operation's request; None, and told, where it failed for good."""
        deadline = now() + PATIENCE
        while True:
            stays = False
            try:
                reply = await self.send(
                    operation.raw,
                    leaves_after=operation.leaves,
                    asks=operation.name if operation.keyed else "",
                )
            except Broken as broken:
                why, body = ("left" if operation.leaves else "broken"), broken.body
            else:
                if reply.status == 200 and operation.kind == "stream":
                    why = ending(reply.body)
                    if why == "done":
                        return reply
                    # An answer that broke off and was billed is what every retry gets (I06).
                    stays = reply.headers.get("idempotent-replayed") == "true"
                elif reply.status == 200:
                    return reply
                else:
                    why = f"{reply.status}"
                    if reply.status in {429, 503, 529} and "retry-after" not in reply.headers:
                        why = f"{reply.status} without retry-after"
                body = reply.body
            self.saw(operation, body)
            final = stays or why == "left" or (why.isdigit() and int(why) not in AGAIN)
            if not operation.keyed or final:
                self.fail(operation, why, said=body)
                return None
            if now() > deadline:
                raise AssertionError(f"{operation.name} was never answered: {why}, {body[:300]!r}")
            await asyncio.sleep(0.05 + self.draw.random() * 0.15)
