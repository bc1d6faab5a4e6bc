"""Clients of batches: each makes one in one of three shapes, polls it, reads its results, and now and then ends it early.

    shape       its requests come          its results are read
    inline      in the body                a page at a time, and some by name while it runs
    file        in a file that is sent     from the files of answers and of errors
    messages    as Anthropic's clients     as one stream of lines

Each request is an operation of its own, and its `custom_id` is the operation's name. Decides what is asked, and how lines
are read; refuses to judge.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from faults.history import BATCH_ENDED, Event, foreign_bytes, now
from faults.load import PATH, Load, Operation
from faults.wire import PATIENCE
from rig import chat

BATCHES: Final = "/v1/batches"
MESSAGES: Final = "/v1/messages/batches"
FILES: Final = "/v1/files"
FEWEST, MOST = 5, 40
PAGE: Final = 9
"""Lines of a page: few enough that most batches have several."""
LEASE: Final = 60.0
"""Seconds for which the files of a batch are a dead process's."""
WORDS: Final[Mapping[str, str]] = {
    "succeeded": "completed",
    "errored": "failed",
    "canceled": "cancelled",
    "batch_cancelled": "cancelled",
    "batch_expired": "expired",
}
"""How Anthropic's clients and lines of errors say what became of a request, in the words of the history."""


@dataclass(slots=True)
class _Batch:
    """One batch in the hands of its client."""

    operation: Operation
    items: dict[str, Operation]
    shape: str
    which: str = ""
    admitted: bool = False
    ends_at: int | None = None
    """The poll after which its client ends it."""
    polls: int = 0
    ended: bool = False
    """Whether its client has ended it."""
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it is told of."""
        return f"{MESSAGES if self.shape == 'messages' else BATCHES}/{self.which}"

    @property
    def state(self) -> str:
        """How it stood at the last poll."""
        if self.shape != "messages":
            return str(self.seen["status"])
        told, canceled = str(self.seen["processing_status"]), self.seen["cancel_initiated_at"]
        return ("cancelled" if canceled else "completed") if told == "ended" else told

    @property
    def counts(self) -> dict[str, int]:
        """What it counted at the last poll; a total where the shape tells one."""
        return {WORDS.get(name, name): count for name, count in self.seen["request_counts"].items()}


@dataclass(frozen=True, slots=True)
class Line:
    """What a line of results says of a request."""

    name: str
    state: str
    text: str | None
    why: str = ""


async def batched(load: Load, operation: Operation) -> None:
    """A batch until it has ended and all of its results were read."""
    batch = _drawn(load, operation)
    if batch.shape == "file" and not await _uploaded(load, batch):
        return
    reply = await load.ask(operation)
    if reply is None:
        return
    batch.which, batch.seen = json.loads(reply.body)["id"], json.loads(reply.body)
    deadline = now() + PATIENCE + LEASE
    while not await _polled(load, batch):
        if now() > deadline:
            raise AssertionError(f"{operation.name} never ended: {batch.seen}")
        await asyncio.sleep(0.1 + load.draw.random() * 0.1)
    if batch.admitted:
        await _read(load, batch)
    elif not (
        batch.ended and batch.state == "cancelled"
    ):  # its file was not read yet when its client ended it
        load.fail(operation, f"batch {batch.state}", said=json.dumps(batch.seen).encode())


def _drawn(load: Load, operation: Operation) -> _Batch:
    """What is asked: its shape, its requests, when it is ended."""
    draw, tenant = load.draw, operation.tenant
    shape = draw.choice(("inline", "file", "messages"))
    items = {}
    for number in range(draw.randrange(FEWEST, MOST + 1)):
        name = f"{operation.name}i{number}"
        prompt, right = load.prompt(tenant, name)
        most = load.mix.most or (400 if shape == "messages" else 0)
        fields = {"max_tokens": most} if most else {}
        body = json.loads(chat(prompt, model=load.mix.model, **fields))
        items[name] = Operation(name, tenant, "item", body, right, keyed=False)
    found = [{"custom_id": name, "params": item.body} for name, item in items.items()]
    if shape == "inline":
        operation.path, operation.body = BATCHES, {"endpoint": PATH, "requests": found}
    elif shape == "messages":
        operation.path, operation.body = MESSAGES, {"requests": found}
    ends_at = draw.randrange(6) if draw.random() < load.mix.cancels else None
    for item in items.values():
        load.write(item, "submit", state="item", text=item.right)
    return _Batch(operation, items, shape, ends_at=ends_at)


async def _uploaded(load: Load, batch: _Batch) -> bool:
    """Sends the file of its requests; one that came twice lies there unused."""
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": PATH, "body": item.body}).encode()
        for name, item in batch.items.items()
    ]
    form = (
        b'--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
        b'--b\r\ncontent-disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
        + b"\n".join(lines)
        + b"\r\n--b--\r\n"
    )
    own = batch.operation
    file = Operation(f"{own.name}u", own.tenant, "upload", form, "", keyed=True, path=FILES)
    reply = await load.ask(file)
    load.asking.pop(file.name, None)
    if reply is None:
        return False
    named = {"input_file_id": json.loads(reply.body)["id"], "endpoint": PATH, "completion_window": "24h"}
    own.path, own.body = BATCHES, named
    return True


async def _polled(load: Load, batch: _Batch) -> bool:
    """Looks how it stands, and writes that down; whether it has ended."""
    own = batch.operation
    reply = await load.look(own, batch.path)
    batch.seen = json.loads(reply.body)
    batch.polls += 1
    load.saw(own, reply.body)
    load.journal.write(
        Event(
            at=now(),
            what="poll",
            op=own.name,
            tenant=own.tenant.name,
            run=batch.which,
            state=batch.state,
            counts=batch.counts,
        )
    )
    if not batch.admitted and sum(batch.counts.values()) > 0:
        batch.admitted = True
        load.admitted += 1
        for item in batch.items.values():
            load.write(item, "admit")
    if batch.state in BATCH_ENDED:
        return True
    if batch.ends_at is not None and batch.polls > batch.ends_at:
        batch.ends_at = None
        # 409: it has ended meanwhile.
        reply = await load.look(own, f"{batch.path}/cancel", method="POST", fine=(200, 409))
        batch.ended = reply.status == 200
    elif batch.shape == "inline":
        await _peek(load, batch)
    return False


async def _peek(load: Load, batch: _Batch) -> None:
    """Reads a request by its name. Before it has ended it stands as its job does, which may go back to the queue."""
    item = batch.items[load.draw.choice(list(batch.items))]
    reply = await load.look(item, f"{batch.path}/{item.name}")
    told = json.loads(reply.body)
    state = told.get("status", "completed")
    ended = state in {"completed", "failed", "cancelled"}
    text = told["choices"][0]["message"]["content"] if state == "completed" else None
    load.saw(item, reply.body, state=state if ended else "", text=text)


async def _read(load: Load, batch: _Batch) -> None:
    """All of its results, each written down once for each line that it has."""
    for data in [line for body in await _bodies(load, batch) for line in body.splitlines()]:
        line = read_line(data)
        item = batch.items.get(line.name, batch.operation)
        load.journal.write(
            Event(
                at=now(),
                what="result",
                op=line.name,
                tenant=item.tenant.name,
                run=batch.operation.name,
                state=line.state,
                text=line.text,
                foreign=foreign_bytes(data, tenant=item.tenant.name, op=line.name),
            )
        )
        if line.state in {"failed", "expired"} and line.name in batch.items:
            load.fail(item, f"{line.state} {line.why}", said=data)


async def _bodies(load: Load, batch: _Batch) -> Sequence[bytes]:
    """The bytes that hold its lines, whole."""
    own = batch.operation
    if batch.shape == "file":
        files = [batch.seen[name] for name in ("output_file_id", "error_file_id")]
        return [(await load.look(own, f"{FILES}/{each}/content")).body for each in files if each]
    if batch.shape == "messages":
        return [(await load.look(own, f"{batch.path}/results")).body]
    bodies: list[bytes] = []
    after = ""
    while True:
        page = (await load.look(own, f"{batch.path}/results?limit={PAGE}{after}")).body
        if not page:
            return bodies
        bodies.append(page)
        after = f"&after={read_line(page.splitlines()[-1]).name}"


def read_line(data: bytes) -> Line:
    """What a line says, in whatever shape."""
    told: dict[str, Any] = json.loads(data)
    name = str(told["custom_id"])
    if "result" in told:
        result = told["result"]
        state = WORDS.get(result["type"], result["type"])
        text = result["message"]["content"][0]["text"] if state == "completed" else None
        return Line(name, state, text, why=str(result.get("error", {}).get("error", {}).get("type")))
    if told["error"] is not None:
        code = told["error"]["code"]
        return Line(name, WORDS.get(code, code), None, why=code)
    status, body = told["response"]["status_code"], told["response"]["body"]
    if status == 200:
        return Line(name, "completed", body["choices"][0]["message"]["content"])
    return Line(name, "failed", None, why=f"{status}")
