"""One HTTP exchange of a client that notices everything: what came, whether it was whole, and how it ended where it was not."""

import asyncio
import contextlib
import os
from dataclasses import dataclass

from rig import payloads

PATIENCE = 60.0 + 3 * float(os.environ.get("INGOT_CHAOS_HOLD", "0"))
"""Seconds; a safety net, longer where outages are."""


class Refused(Exception):
    """No connection: nothing was sent."""


class Broken(Exception):
    """The connection ended before the answer did."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__("the connection ended before the answer did")
        self.body = body


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


async def exchange(port: int, raw: bytes, *, leaves_after: int | None = None) -> Reply:
    """Sends a request and reads its answer; raises Refused or Broken. `leaves_after` so many pieces the client is gone."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    except OSError as error:
        raise Refused from error
    body = b""
    try:
        async with asyncio.timeout(PATIENCE):
            writer.write(raw)
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(":") for line in head[1:] if line)
            headers = {name.lower(): value.strip() for name, _, value in fields}
            reply = Reply(int(head[0].split(" ", 2)[1]), headers, b"")
            if headers.get("transfer-encoding") != "chunked":
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                return Reply(reply.status, headers, body)
            pieces = 0
            while size := int(await reader.readuntil(b"\r\n"), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
                pieces += 1
                if pieces == leaves_after:
                    raise Broken(body)
            return Reply(reply.status, headers, body)
    except (OSError, asyncio.IncompleteReadError) as error:
        raise Broken(body) from error
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def ending(stream: bytes) -> str:
    """How a stream of events ended: `done`, `error`, or `silent`, which no client can tell from an answer's end."""
    events = payloads(stream)
    if events and events[-1] == b"[DONE]":
        return "done"
    return "error" if events and b'"error"' in events[-1] else "silent"
