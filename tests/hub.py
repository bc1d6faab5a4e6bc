"""A model hub on a loopback port: the hub's list of files, weights with ranges, and all that goes wrong on the way."""

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hub:
    """What the hub has and how it behaves; `log` has a line for each request."""

    files: dict[str, bytes] = field(default_factory=dict)
    licence: str | None = "apache-2.0"
    token: str | None = None
    cuts: list[int] = field(default_factory=list)
    """The next answers with weights end after so many bytes."""
    pause_at: int | None = None
    """Answers with weights stop after so many bytes until `go_on` is set."""
    go_on: threading.Event = field(default_factory=threading.Event)
    busy: int = 0
    """So many answers with weights are a 503."""
    ranges: bool = True
    etag: str | None = '"v1"'
    sha256: str | None = None
    """A sum that the list promises instead of the true one."""
    redirect: str | None = None
    """Where requests for weights are sent."""
    url: str = ""
    log: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def asked(self, part: str) -> list[dict[str, str]]:
        """The headers of requests whose path has this in it."""
        return [headers for path, headers in self.log if part in path]


class HubHandler(BaseHTTPRequestHandler):
    """The requests of one hub."""

    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Says nothing: the hub has a log."""

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.hub.log.append((self.path, headers))
        if (
            self.hub.token
            and headers.get("authorization") != f"Bearer {self.hub.token}"
            and "cdn" not in self.path
        ):
            self.answer(403 if "authorization" in headers else 401, b"{}")
        elif "/tree/" in self.path:
            self.answer(200, json.dumps(self.tree()).encode())
        elif self.path.startswith("/api/models/"):
            tags = [f"license:{self.hub.licence}"] if self.hub.licence else []
            self.answer(200, json.dumps({"tags": ["gguf", *tags]}).encode())
        else:
            self.weights(headers)

    def tree(self) -> list[dict[str, Any]]:
        """The hub's list of files."""
        entries: list[dict[str, Any]] = [{"type": "directory", "path": "docs", "size": 0, "oid": "0"}]
        for path, data in self.hub.files.items():
            digest = self.hub.sha256 or hashlib.sha256(data).hexdigest()
            lfs = {"oid": digest, "size": len(data), "pointerSize": 130}
            entries.append({"type": "file", "path": path, "size": len(data), "oid": "0" * 40, "lfs": lfs})
        return entries

    def weights(self, headers: dict[str, str]) -> None:
        """A file or the rest of it."""
        data = self.hub.files.get(self.path.partition("?")[0].rpartition("/")[2])
        if self.hub.redirect and "cdn" not in self.path:
            self.answer(302, b"", {"Location": f"{self.hub.redirect}/cdn{self.path}"})
        elif data is None:
            self.answer(404, b"{}")
        elif self.hub.busy:
            self.hub.busy -= 1
            self.answer(503, b"later")
        else:
            self.send(data, headers)

    def send(self, data: bytes, headers: dict[str, str]) -> None:
        """Weights, from where a range says, until where a cut says."""
        tag = {"ETag": self.hub.etag} if self.hub.etag else {}
        begin = 0
        wanted = headers.get("range", "")
        fits = headers.get("if-range") in {None, self.hub.etag}
        if self.hub.ranges and wanted and fits:
            begin = int(wanted.removeprefix("bytes=").rstrip("-"))
            if begin >= len(data):
                self.answer(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            tag["Content-Range"] = f"bytes {begin}-{len(data) - 1}/{len(data)}"
        cut = self.hub.cuts.pop(0) if self.hub.cuts else None
        self.answer(206 if begin else 200, data[begin:], tag, cut=cut)

    def answer(
        self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: int | None = None
    ) -> None:
        """An answer, or its beginning."""
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        pause = self.hub.pause_at if len(body) > (self.hub.pause_at or 0) else None
        with contextlib.suppress(ConnectionError):  # the client may have left
            self.wfile.write(body[: cut if pause is None else pause])
            if pause is not None:
                self.hub.go_on.wait(60.0)
                self.wfile.write(body[pause:])
        if cut is not None:
            self.close_connection = True


@contextmanager
def running(hub: Hub) -> Iterator[Hub]:
    """The hub, reachable at `hub.url`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (HubHandler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
