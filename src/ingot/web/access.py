"""One log line a request: ids, sizes, timings, status; no prompt, no key, no query.

The JSON form is laid out by hand, many lines in a row (measured: 2.5 us each, where the general logger takes
9 us), as every value in it is a number or was made or checked by us. The console form goes through the logger.
"""

import functools
import time
from collections.abc import Callable

import msgspec

from ingot.logs import LineSink, Log
from ingot.services.door import Outcome


class Served:
    """A request as the log tells it; filled while the request is served."""

    __slots__ = ("code", "ending", "key", "method", "model", "outcome", "path", "request_id", "status")

    def __init__(self, request_id: str, path: str, method: str) -> None:
        self.request_id = request_id
        self.path = path
        self.method = method
        self.status = 0
        self.code: str | None = None
        self.key: str | None = None
        self.model: str | None = None
        self.ending = b""
        """The header lines that announce the end of its model."""
        self.outcome = Outcome()


Access = Callable[[Served, float, float], None]
"""Takes a finished request, the wall time, and the seconds that it took."""


def json_access(sink: LineSink) -> Access:
    """Access lines as JSON, written with the other lines."""
    stamp = Stamper()
    where = functools.lru_cache(4096)(_where)
    write_later = sink.write_later

    def lay_out(request: Served, now: float, seconds: float) -> bytes:
        outcome = request.outcome
        line = b'{"time":"%b","level":"info","event":"request","request_id":"%b","status":%d,"ms":%.3f%b' % (
            stamp(now),
            request.request_id.encode(),
            request.status,
            seconds * 1000,
            where(
                request.method,
                request.path,
                request.key,
                request.model,
                outcome.target,
                outcome.fidelity,
                outcome.attempts,
                request.code,
            ),
        )
        usage = outcome.usage
        if usage is not None:
            line += b',"input_tokens":%d,"output_tokens":%d' % (usage.input, usage.output)
            if usage.estimated:
                line += b',"usage_estimated":true'
        if outcome.first_token is not None:
            line += b',"first_token_ms":%.3f' % (outcome.first_token * 1000)
        return line + b"}"

    def write(request: Served, now: float, seconds: float) -> None:
        write_later((lay_out, request, now, seconds))

    return write


def _where(
    method: str,
    path: str,
    key: str | None,
    model: str | None,
    target: str,
    fidelity: str,
    attempts: int,
    code: str | None,
) -> bytes:
    """The part of a line that many requests share: bounded in number, as no value here is a client's own."""
    known = {"method": method, "path": path, "key": key, "model": model, "code": code}
    fields: dict[str, str | int] = {name: value for name, value in known.items() if value is not None}
    if target:
        fields |= {"target": target, "fidelity": fidelity, "attempts": attempts}
    return b"," + msgspec.json.encode(fields)[1:-1]


def console_access(log: Log) -> Access:
    """Access lines for a person at a terminal."""

    def write(request: Served, now: float, seconds: float) -> None:  # noqa: ARG001  # the logger stamps the line itself
        outcome = request.outcome
        fields = {
            "model": request.model,
            "target": outcome.target or None,
            "key": request.key,
            "code": request.code,
        }
        if outcome.usage is not None:
            fields["tokens"] = f"{outcome.usage.input}+{outcome.usage.output}"
        shown = {name: value for name, value in fields.items() if value is not None}
        log.info(
            "request",
            method=request.method,
            path=request.path,
            status=request.status,
            ms=round(seconds * 1000, 1),
            request_id=request.request_id,
            **shown,
        )

    return write


class Stamper:
    """Formats wall time as ISO 8601 with milliseconds; the part down to the second is made once a second."""

    def __init__(self) -> None:
        self._second = -1
        self._prefix = b""

    def __call__(self, now: float) -> bytes:
        second = int(now)
        if second != self._second:
            self._second = second
            self._prefix = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
        return b"%b.%03dZ" % (self._prefix, (now - second) * 1000)
