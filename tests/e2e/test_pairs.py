"""A coding agent's forty turns through a real server, from each surface to a target of each dialect, whole and streamed.

What arrives, and what comes back, is what `tests/contract` shows of the pure functions: byte for byte where the dialects
are the same, else translated, with the losses in the header.
"""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ingot.services.losses import header_line, joined
from pairs.exchange import PAIRS, STREAMED, answer, dumped, events, send, stream
from pairs.longtalk import ANSWERS, TALKS
from pairs.streams import STREAMS
from pairs.words import Json
from served import Served, serving

PATHS = {"chat": "/v1/chat/completions", "messages": "/v1/messages", "responses": "/v1/responses"}
# What a response says of us, whoever made it.
OURS = {"id", "created_at", "completed_at", "store"}
CONFIG = """
    [engine]
    enabled = false
    [targets]
    chat = { base_url = "{up}", dialects = ["chat"] }
    messages = { base_url = "{up}", dialects = ["messages"] }
    responses = { base_url = "{up}", dialects = ["responses"] }
    [models]
    chat = { targets = ["chat"], price = "free" }
    messages = { targets = ["messages"], price = "free" }
    responses = { targets = ["responses"], price = "free", unknown_thoughts = "relay" }
"""


@dataclass
class Target:
    """A server that gives the same answer to every request of a dialect, and keeps what it was sent."""

    url: str = ""
    bodies: list[tuple[str, bytes]] = field(default_factory=list)


def told(dialect: str) -> Json:
    """The answer of a target under its own name, which is the dialect's."""
    return {**ANSWERS[dialect], "model": dialect}


@contextlib.contextmanager
def target() -> Iterator[Target]:
    """A target on a loopback port."""
    seen = Target()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Says nothing."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.bodies.append((self.path, body))
            dialect = next(name for name, path in PATHS.items() if path == self.path)
            streams = json.loads(body).get("stream") is True
            data = STREAMS[dialect](told(dialect)) if streams else dumped(told(dialect))
            self.send_response(200)
            self.send_header("content-type", "text/event-stream" if streams else "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
        yield seen
        server.shutdown()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, Target]]:
    """One server for the module, and its targets."""
    folder: Path = tmp_path_factory.mktemp("pairs")
    with target() as behind, serving(CONFIG.replace("{up}", behind.url), folder) as served:
        yield served, behind


def ask(served: Served, client: str, body: Json) -> tuple[dict[str, str], bytes]:
    """Headers and body of a good answer."""
    status, headers, given = served.call(PATHS[client], dumped(body))
    assert status == 200, given
    return headers, given


def without_ours(response: Json) -> Json:
    """A response without what it says of us."""
    return {name: held for name, held in response.items() if name not in OURS}


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "speaks"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_conversation_when_the_target_speaks_another_dialect(
    scene: tuple[Served, Target], client: str, speaks: str, *, streamed: bool
) -> None:
    """The target gets the conversation in its own dialect, the client its answer, and a header names what was lost."""
    served, behind = scene
    body = {**TALKS[client], "model": speaks, **(STREAMED[client] if streamed else {})}
    headers, given = ask(served, client, body)
    path, arrived = behind.bodies[-1]
    sent = send(TALKS[client], client, speaks, stream=streamed)
    assert path == PATHS[speaks]
    assert json.loads(arrived) == {**json.loads(sent.data), "model": speaks}
    if streamed:
        data, _ = stream(STREAMS[speaks](told(speaks)), sent, client, speaks)
        assert headers["x-ingot-loss"].encode() in header_line(sent.losses)
        assert [_kind(event) for event in events(given)] == [_kind(event) for event in events(data)]
    else:
        data, unsaid = answer(told(speaks), sent, client, speaks)
        assert headers["x-ingot-loss"].encode() in header_line(joined(sent.losses, unsaid))
        assert _bare(json.loads(given)) == _bare(json.loads(data))


def _kind(event: Any) -> Any:
    """An event without ids, times and names of models, which the pure functions were given others of."""
    if not isinstance(event, dict):
        return event
    kept = {name: held for name, held in event.items() if name not in {"id", "created", "model", "item_id"}}
    for holder in ("response", "message", "item"):
        if holder in kept:
            kept[holder] = _bare(kept[holder])
    return kept


def _bare(whole: Json) -> Json:
    told_of = {name: held for name, held in without_ours(whole).items() if name not in {"created", "model"}}
    if "output" in told_of:
        told_of["output"] = [{**item, "id": ""} for item in told_of["output"]]
    return told_of


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("name", PATHS)
def test_conversation_when_the_target_speaks_the_same_dialect(
    scene: tuple[Served, Target], name: str, *, streamed: bool
) -> None:
    """Every byte reaches the target, and every byte comes back, but for what a response says of us."""
    served, behind = scene
    body = {**TALKS[name], "model": name, **(STREAMED[name] if streamed else {})}
    headers, given = ask(served, name, body)
    assert behind.bodies[-1] == (PATHS[name], dumped(body))
    assert "x-ingot-loss" not in headers
    whole = STREAMS[name](told(name)) if streamed else dumped(told(name))
    if name != "responses":
        assert given == whole
    elif streamed:
        for mine, theirs in zip(events(given), events(whole), strict=True):
            if "response" in mine:
                assert (
                    theirs["response"].items()
                    <= {**mine["response"], "id": "resp_41", "created_at": 1_790_000_001}.items()
                )
            else:
                assert mine == theirs
    else:
        assert without_ours(json.loads(given)).items() >= without_ours(told(name)).items()
