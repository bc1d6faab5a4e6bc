"""Golden transcripts: each folder is one exchange, as bytes in and bytes expected.

    request.json      what the client sent, well-formed or not
    target.json       optional: what the target calls the model, and its quirks
    expected.json     either {"status", "error"}, or {"call", "outgoing"} and, for a plain answer, {"usage"}
    upstream.json     optional: the target's plain answer; answer.json is what the client gets of it
    upstream.sse      optional: the target's stream; client.sse is what the client gets of it

Answers that carry an id of ours get `resp_ours`. Where no file for the client is there, it gets the target's very bytes. What codecs make of these is `test_codecs`'s.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Dialect, Stamp
from ingot.dialects.messages import MESSAGES
from ingot.dialects.opaque import COMPLETIONS, EMBEDDINGS
from ingot.dialects.responses import RESPONSES
from ingot.errors import ApiError
from ingot.sse import SseSplitter, event_data

HERE = Path(__file__).parent
DIALECTS = {dialect.name: dialect for dialect in (CHAT, EMBEDDINGS, COMPLETIONS)} | {
    "messages_relay": MESSAGES,
    "responses_relay": RESPONSES,
}
CASES = sorted(path.parent for name in DIALECTS for path in HERE.glob(f"{name}/*/request.json"))
NAMES = [f"{case.parent.name}/{case.name}" for case in CASES]


def told(call: Call) -> dict[str, Any]:
    """A call as the transcripts write it."""
    return {
        "model": call.model,
        "stream": call.stream,
        "wants_usage": call.wants_usage,
        "n": call.n,
        "max_tokens": call.max_tokens,
    }


def target(case: Path, call: Call) -> tuple[str, Quirks]:
    """What the case's target calls the model, and its quirks."""
    path = case / "target.json"
    row = json.loads(path.read_bytes()) if path.exists() else {}
    quirks = row.get("quirks", {})
    return row.get("model", call.model), Quirks(
        rename=quirks.get("rename", {}),
        drop=frozenset(quirks.get("drop", ())),
        set=quirks.get("set", {}),
        reject=frozenset(quirks.get("reject", ())),
        usage=tuple(quirks.get("usage", "usage").split(".")),
        stream_options=quirks.get("stream_options", True),
    )


def given_to_client(case: Path, name: str, *, upstream: str) -> bytes:
    """The bytes that a client gets of the target's."""
    path = case / name
    return (path if path.exists() else case / upstream).read_bytes()


def exchange(dialect: Dialect, case: Path) -> dict[str, Any]:
    """What became of the case's request, as `expected.json` has it."""
    call = dialect.decode((case / "request.json").read_bytes())
    if dialect.stamp_answer is not None:
        call = replace(call, stamp=Stamp(id="resp_ours", asked=call.body, now=lambda: 1_790_000_000.5))
    model, quirks = target(case, call)
    dialect.check_target(call, quirks, call.model)
    outgoing = dialect.prepare(call, model=model, quirks=quirks)
    outcome: dict[str, Any] = {"call": told(call)}
    outcome["outgoing"] = "verbatim" if outgoing is call.body.data else json.loads(outgoing)
    usage = None
    if (case / "upstream.json").exists():
        answer = (case / "upstream.json").read_bytes()
        usage = dialect.read_usage(answer, path=quirks.usage)
        given = given_to_client(case, "answer.json", upstream="upstream.json")
        if dialect.stamp_answer is None:
            assert dialect.patch_answer(answer, call.model) == given
        else:
            assert dialect.stamp_answer(answer, call, call.model) == given.rstrip()
    if (case / "upstream.sse").exists():
        tap = dialect.tap(call, model=model, public=call.model, usage=quirks.usage)
        given = b""
        for event in SseSplitter().feed((case / "upstream.sse").read_bytes()):
            data = event_data(event)
            kept = None if data is None else tap.feed(data)
            given += event if data is None or kept is data else b"" if kept is None else tap.frame(kept)
        assert given == given_to_client(case, "client.sse", upstream="upstream.sse")
        usage = tap.usage
        outcome["stream"] = {
            "done": tap.done,
            "finished": tap.finished,
            "failed": tap.failed,
            "deltas": tap.deltas,
        }
    if usage is not None:
        outcome["usage"] = {
            name: getattr(usage, name) for name in ("input", "cached_input", "output", "reasoning")
        }
        if usage.cache_write:
            outcome["usage"]["cache_write"] = usage.cache_write
    return outcome


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_transcript_when_replayed(case: Path) -> None:
    """The exchange goes as it is written down."""
    dialect = DIALECTS[case.parent.name]
    expected = json.loads((case / "expected.json").read_bytes())
    try:
        outcome = exchange(dialect, case)
    except ApiError as error:
        status, body = dialect.encode_error(error, "")
        outcome = {"status": status, **json.loads(body)}
    assert outcome == expected


def test_transcripts_when_counted() -> None:
    """Each surface has transcripts, and each error code of the dialects has one."""
    codes = {json.loads((case / "expected.json").read_bytes()).get("error", {}).get("code") for case in CASES}
    assert {case.parent.name for case in CASES} == set(DIALECTS)
    assert codes >= {
        "array_above_max_length",
        "decimal_above_max_value",
        "decimal_below_min_value",
        "empty_array",
        "empty_string",
        "integer_above_max_value",
        "integer_below_min_value",
        "invalid_json",
        "invalid_type",
        "invalid_value",
        "missing_required_parameter",
        "object_above_max_properties",
        "string_above_max_length",
        "unsupported_parameter",
        "unsupported_value",
    }
