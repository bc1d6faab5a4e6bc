"""Golden transcripts between dialects: what a target gets of another dialect's client, and the client of its answer.

translated/<client>_to_<target>/<case>/
  request.json     the client's          outgoing.json    the target's
  upstream.json    the target's          answer.json      the client's
  upstream.sse     the target's          client.sse       the client's
  losses.json      paths and reasons, for requests, answers and streams; what is not there is empty
  target.json      optional: the version of the wire, and what the target is known to refuse
  model.json       optional: the constitution that the model carries, and what its refusals begin with
"""

import json
from pathlib import Path
from typing import Any

import pytest

from ingot.canonical import Losses, Origin, Request
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec, Destination, Reply
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.messages import MESSAGES_CODEC, MESSAGES_CODECS
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.principles import MarkedEvents, marked, principled
from ingot.events import AnyEvent
from ingot.rawjson import Body, parse
from ingot.sse import SseSplitter, event_data

HERE = Path(__file__).parent / "translated"
CODECS = {"chat": CHAT_CODEC, "messages": MESSAGES_CODEC, "responses": RESPONSES_CODEC}
CASES = sorted(path.parent for path in HERE.glob("*/*/request.json"))


def named(case: Path) -> str:
    """A case in a test's id."""
    return f"{case.parent.name}/{case.name}"


def codecs(case: Path) -> tuple[Codec, Codec, Quirks]:
    """Those of the client and of the target, and how the target differs."""
    client, target = case.parent.name.split("_to_")
    path = case / "target.json"
    row = json.loads(path.read_bytes()) if path.exists() else {}
    speaks = MESSAGES_CODECS[row["version"]] if "version" in row else CODECS[target]
    return CODECS[client], speaks, Quirks(reject=frozenset(row.get("reject", ())))


def asked(case: Path, client: Codec) -> tuple[Request, Body]:
    """The client's request."""
    data = (case / "request.json").read_bytes()
    body = CHAT.decode(data).body if client.name == "chat" else parse(data)
    request, losses = client.decode_request(body)
    assert losses == ()
    return request, body


def carried(case: Path) -> dict[str, str]:
    """What the model carries."""
    path = case / "model.json"
    return dict(json.loads(path.read_bytes())) if path.exists() else {}


def listed(losses: Losses) -> list[list[str]]:
    """Losses as the transcripts have them."""
    return [[loss.path, loss.reason] for loss in losses]


def expected(case: Path, of: str) -> Any:
    """The losses that the case lists."""
    path = case / "losses.json"
    return json.loads(path.read_bytes()).get(of, []) if path.exists() else []


@pytest.mark.parametrize("case", CASES, ids=named)
def test_request_when_translated(case: Path) -> None:
    """The target gets what its dialect can say, and the rest is listed by its place in the client's body."""
    client, target, quirks = codecs(case)
    request, _ = asked(case, client)
    model = carried(case)
    if model:
        request = principled(request, model["constitution"], breakpoints=target.name == "messages")
    to = Destination(Origin(target.name, "target"), "upstream-model", quirks, stream=request.stream)
    data, losses = target.encode_request(request, to)
    assert json.loads(data) == json.loads((case / "outgoing.json").read_bytes())
    assert listed(losses) == expected(case, "request")
    if target.name == "chat":
        CHAT.decode(data)
    else:
        target.decode_request(parse(data))


@pytest.mark.parametrize("case", [case for case in CASES if (case / "upstream.json").exists()], ids=named)
def test_answer_when_translated(case: Path) -> None:
    """The client gets the target's answer in its own dialect."""
    client, target, _ = codecs(case)
    request, body = asked(case, client)
    answer, unread = target.decode_answer(
        (case / "upstream.json").read_bytes(), Origin(target.name, "target")
    )
    model = carried(case)
    marks: Losses = ()
    if model:
        answer, marks = marked(answer, model["refusal_mark"])
    data, losses = client.encode_answer(answer, Reply("id-1", "demo", 1_790_000_000, request, body))
    assert json.loads(data) == json.loads((case / "answer.json").read_bytes())
    assert listed(unread + marks + losses) == expected(case, "answer")


@pytest.mark.parametrize("case", [case for case in CASES if (case / "upstream.sse").exists()], ids=named)
def test_stream_when_translated(case: Path) -> None:
    """The client gets the target's stream in its own dialect, event by event."""
    client, target, _ = codecs(case)
    request, body = asked(case, client)
    decoder = target.decode_stream(Origin(target.name, "target"), 1)
    encoder = client.encode_stream(Reply("id-1", "demo", 1_790_000_000, request, body))
    model = carried(case)
    marks = MarkedEvents(model["refusal_mark"] if model else "no mark")
    told = b""
    for event in SseSplitter().feed((case / "upstream.sse").read_bytes()):
        data = event_data(event)
        if data is not None:
            told += encoder.feed(marks.feed(decoder.feed(data)))
    last: list[AnyEvent] = decoder.close()
    told += encoder.feed(marks.feed(last))
    assert told.decode() == (case / "client.sse").read_text()
    assert listed(decoder.losses + marks.losses + encoder.losses) == expected(case, "stream")
