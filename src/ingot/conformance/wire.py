"""One HTTP exchange with a server, as a stranger sees it: bytes out, an answer back, nothing interpreted twice.

A connection for each call: no check depends on what another left behind. Knows no row and no preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ingot.sse import DONE, SseSplitter, event_data
from ingot.upstream.client import Client, Origin, tls_context

MOST_BYTES = 64 * 1024 * 1024

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds to connect, until the first byte, and of silence inside an answer."""

    connect: float = 10.0
    first_byte: float = 300.0
    idle: float = 60.0


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is: `path` is what all paths stand below, `host` what its Host header says."""

    origin: Origin
    path: str
    host: str

    @classmethod
    def parse(cls, url: str, *, host: str | None = None) -> "Address":
        """The address of a base URL; one without a path means its /v1. Raises ValueError."""
        parts = urlsplit(url if "//" in url else f"http://{url}")
        port = parts.port  # ValueError where it is none
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{url} is no http:// or https:// URL")
        secure = parts.scheme == "https"
        origin = Origin(parts.hostname, port or (443 if secure else 80), tls_context() if secure else None)
        return cls(origin, parts.path.rstrip("/") or "/v1", host or parts.netloc.rpartition("@")[2])


@dataclass(frozen=True)
class Answer:
    """What came back; header names are in lower case, the last of a name counts."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @cached_property
    def value(self) -> Json:
        """The JSON object; an empty one where the body is none."""
        try:
            found = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def error(self) -> Json:
        """The error object; an empty one where there is none."""
        found = self.value.get("error")
        return found if isinstance(found, dict) else {}

    @property
    def content_type(self) -> str:
        """Without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def events(self) -> list[bytes]:
        """The data of a stream's events, the dialect's end among them."""
        splitter = SseSplitter(limit=MOST_BYTES)
        events = splitter.feed(self.body + b"\n\n")
        return [data for event in events if (data := event_data(event)) is not None]

    @cached_property
    def chunks(self) -> list[Json]:
        """The events that are JSON objects."""
        return [Answer(self.status, body=data).value for data in self.events if data != DONE]

    def __str__(self) -> str:
        """In one line: the status, and what the server says of it."""
        error = self.error
        if error:
            code = error.get("code") or error.get("type")
            return f"{self.status} {code}: {str(error.get('message'))[:160]}"
        shown = self.body[:120].decode("utf-8", "replace").replace("\n", " ")
        return f"{self.status} {shown}".strip()


async def exchange(
    address: Address,
    method: str,
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str],
    patience: Patience,
) -> Answer:
    """The answer to one request; raises UpstreamFault where none comes, ValueError for what no header may carry."""
    lines = [f"{method} {address.path}{path} HTTP/1.1", f"host: {address.host}"]
    for name, value in headers.items():
        if not value.isascii() or not value.isprintable():
            raise ValueError(f"the header {name} holds characters that no header may carry")
        lines.append(f"{name}: {value}")
    if body is not None:
        lines.append(f"content-length: {len(body)}")
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
    client = Client(max_idle=1)
    try:
        reply = await client.open(address.origin, head=head, body=body or b"", timeouts=patience)
        try:
            data = b"" if method == "HEAD" else await reply.read(MOST_BYTES)
        finally:
            reply.close()
        told = {name.decode("latin-1"): value.decode("latin-1") for name, value in reply.headers}
        return Answer(reply.status, told, data)
    finally:
        await client.close()
