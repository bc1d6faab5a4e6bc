"""What a client does for each kind of work: one more kind is one more row of DRIVERS.

    stream, sync     one answer, while the client waits
    background       taken at once, polled until it has ended
    batch            see `batches`

Refuses to judge what came.
"""

import asyncio
import json
from collections.abc import Mapping
from typing import Final

from faults.batches import batched
from faults.history import ENDED, now
from faults.load import PATH, Driver, Load, Operation
from faults.wire import PATIENCE
from rig import told


async def _answered(load: Load, operation: Operation) -> None:
    """One answer, whole or as a stream."""
    reply = await load.ask(operation)
    if reply is None:
        return
    if operation.kind == "stream":
        text = told(reply.body)
    else:
        text = json.loads(reply.body)["choices"][0]["message"]["content"]
    load.saw(operation, reply.body, state="completed", text=text)


async def _polled(load: Load, operation: Operation) -> None:
    """Work in the background until it has ended."""
    reply = await load.ask(operation)
    if reply is None:
        return
    load.write(operation, "admit")
    load.admitted += 1
    deadline, which = now() + PATIENCE, json.loads(reply.body)["id"]
    while True:
        reply = await load.look(operation, f"{PATH}/{which}")
        record = json.loads(reply.body)
        state, answered = record["status"], record["status"] == "completed"
        text = record["choices"][0]["message"]["content"] if answered else None
        load.saw(operation, reply.body, state=state, text=text)
        if state in ENDED:
            if not answered:
                load.fail(operation, f"{state} {(record.get('error') or {}).get('code')}")
            return
        if now() > deadline:
            raise AssertionError(f"{operation.name} never ended: {reply.body!r}")
        await asyncio.sleep(0.1 + load.draw.random() * 0.1)


DRIVERS: Final[Mapping[str, Driver]] = {
    "stream": _answered,
    "sync": _answered,
    "background": _polled,
    "batch": batched,
}
