"""Translation end to end: one server before the mock upstream, which speaks chat, asked on each of its three surfaces.

The processor time of the whole server for an answer and for a chunk, with 50 connections, in rounds that visit the
surfaces in turn; chat is passed on as it is, the other two are translated. Nothing is recorded, and nothing costs.
"""

import statistics
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.gateways import open_gateway
from benchmarks.load import CHUNKS, PLAIN, STREAM, drive
from benchmarks.processes import free_port, settle, stop

CONNECTIONS = 50
SECONDS = 4
SERVER_CORE, LOAD_CORE = 0, 1

Json = dict[str, Any]


def on_messages(body: Json) -> Json:
    """A chat request as a client of messages writes it."""
    system = [message["content"] for message in body["messages"] if message["role"] == "system"]
    rest = [message for message in body["messages"] if message["role"] != "system"]
    return {**body, "messages": rest, **({"system": system[0]} if system else {})}


def on_responses(body: Json) -> Json:
    """The same as a client of responses writes it."""
    told: Json = {
        "model": body["model"],
        "input": body["messages"],
        "max_output_tokens": body["max_tokens"],
        "store": False,
    }
    told |= {name: body[name] for name in ("temperature", "stream") if name in body}
    return told


SURFACES = {
    "chat": ("/v1/chat/completions", PLAIN, STREAM),
    "messages": ("/v1/messages", on_messages(PLAIN), on_messages(STREAM)),
    "responses": ("/v1/responses", on_responses(PLAIN), on_responses(STREAM)),
}


def measure(rounds: int) -> dict[str, tuple[float, float]]:
    """Microseconds of processor time for a plain answer and for a chunk, by surface: medians over the rounds."""
    found: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in SURFACES}
    with tempfile.TemporaryDirectory() as folder:
        mock = open_gateway("direct", Path(folder), upstream=free_port(), core=LOAD_CORE)
        try:
            server = open_gateway("relay", Path(folder), upstream=mock.port, core=SERVER_CORE)
            try:
                for _ in range(rounds):
                    for name, (path, plain, stream) in SURFACES.items():
                        url = f"http://127.0.0.1:{server.port}{path}"
                        for body, times, parts in (
                            (plain, found[name][0], 1),
                            (stream, found[name][1], CHUNKS),
                        ):
                            times.append(once(url, server.process.pid, body) / parts)
            finally:
                stop(server.process)
        finally:
            stop(mock.process)
    return {
        name: (statistics.median(plain), statistics.median(chunk)) for name, (plain, chunk) in found.items()
    }


def once(url: str, pid: int, body: Json) -> float:
    """Microseconds of processor time for an answer."""
    settle(pid)
    run = drive(url, pid, body=body, connections=CONNECTIONS, seconds=SECONDS, core=LOAD_CORE)
    if run.errors or not run.requests:
        raise SystemExit(f"{url}: {run.errors} errors, {run.requests} answers")
    # The streams under way at the end have used time too.
    answers = run.requests + (CONNECTIONS / 2 if body.get("stream") else 0)
    return run.cpu / answers * 1e6


def table(told: dict[str, tuple[float, float]]) -> str:
    """The figures, and what they are more than chat's."""
    lines = ["| surface | plain: CPU us | over chat | chunk: CPU us | over chat |", "|---|---|---|---|---|"]
    plain, chunk = told["chat"]
    lines += [
        f"| {name} | {mine:.0f} | {mine - plain:.0f} | {each:.1f} | {each - chunk:.1f} |"
        for name, (mine, each) in told.items()
    ]
    return "\n".join(lines)
