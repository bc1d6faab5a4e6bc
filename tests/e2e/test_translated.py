"""OpenAI's client in front of targets that speak Anthropic's format alone: the same answers, bills and errors as ever."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam

import upstream_messages as anthropic
from messagehouse import row
from rig import Backstage, Line, chat, ends_in_error, fresh_id, logged, post, stage, told, wait_until
from served import Served
from standing import says
from upstream_script import Step

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["messages"], api_key = "sk-ant-upstream-0123456789", breaker = { failures = 1000 } }
    native = { base_url = "{up}", dialects = ["chat"], breaker = { failures = 1000 } }
    [models]
    claude = { targets = [{ target = "up", model = "their-claude" }], price = { input = 3, cached_input = 0.3, cache_write = 3.75, output = 15 }, attempts = 2 }
    strict = { targets = ["up"], price = "free" }
    lax = { targets = ["up"], price = "free", on_loss = "warn" }
    both = { targets = ["up", "native"], price = "free" }
    fallback = { targets = ["native", "up"], price = "free", attempts = 2, on_loss = "warn" }
    fussy = { targets = ["native", "up"], price = "free", attempts = 2 }
"""
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {}}}},
}

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("translated"), CONFIG) as both:
        yield both


@pytest.fixture
def client(scene: Stage) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


def _ask(
    served: Served, text: str, *, key: str | None = None, **fields: Any
) -> tuple[int, dict[str, str], bytes, str]:
    request_id = fresh_id()
    headers = {"x-request-id": request_id} | ({} if key is None else {"idempotency-key": key})
    body = json.loads(chat(text, **{"model": "claude", "max_tokens": 64, **fields}))
    return *served.call("/v1/chat/completions", body, headers=headers), request_id


# ---- what is asked and answered


def test_answer_is_translated_when_the_target_speaks_messages(scene: Stage, client: OpenAI) -> None:
    """The target is asked at its path, with its headers, for its model; the client reads a chat completion of ours."""
    served, upstream = scene
    request_id = fresh_id()
    raw = client.chat.completions.with_raw_response.create(
        model="claude",
        messages=[{"role": "system", "content": "Be brief."}, *says("echo: Hello there")],
        max_tokens=64,
        extra_headers={"x-request-id": request_id},
    )
    answer = raw.parse()
    assert answer.id.startswith("chatcmpl-")
    assert (answer.object, answer.model) == ("chat.completion", "claude")
    choice = answer.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("stop", "Hello there")
    (record,) = upstream.seen(request_id)
    assert record.path == "/v1/messages"
    assert record.headers["x-api-key"] == "sk-ant-upstream-0123456789"
    assert record.headers["anthropic-version"] == "2023-06-01"
    assert record.json is not None
    assert (record.json["model"], record.json["max_tokens"]) == ("their-claude", 64)
    assert logged(served, request_id)["fidelity"] == "translated"
    assert "x-ingot-loss" not in raw.headers


def test_stream_is_translated_when_it_is_asked_for(client: OpenAI) -> None:
    """Chunks of one id, the same text as whole, and counts at the end only where they were asked for."""
    chunks = list(
        client.chat.completions.create(
            model="claude",
            messages=says("words: 9"),
            max_tokens=64,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    whole = client.chat.completions.create(model="claude", messages=says("words: 9"), max_tokens=64)
    assert len({chunk.id for chunk in chunks}) == 1
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 9
    bare = client.chat.completions.create(
        model="claude", messages=says("words: 9"), max_tokens=64, stream=True
    )
    assert all(chunk.usage is None and chunk.choices for chunk in bare)


@pytest.mark.parametrize("usage", ["negative", "text", "null"])
@pytest.mark.parametrize("streamed", [False, True])
def test_counts_are_estimated_when_the_targets_cannot_be_believed(
    scene: Stage, client: OpenAI, usage: str, *, streamed: bool
) -> None:
    """The client is told what is billed, and the ledger says that it is an estimate."""
    served, _ = scene
    more: Any = {"stream": True, "stream_options": {"include_usage": True}} if streamed else {}
    asked = says(f"echo: one two three {{{{usage={usage}}}}}")
    raw = client.chat.completions.with_raw_response.create(model="claude", messages=asked, **more)
    counts = list(raw.parse())[-1].usage if streamed else raw.parse().usage
    found = row(served, raw.headers["x-request-id"])
    assert counts is not None
    with closing(sqlite3.connect(served.data / "ingot.db")) as conn:
        billed = conn.execute("SELECT estimated FROM ledger WHERE billable_id = ?", (found["id"],)).fetchall()
    assert billed == [(1,)]
    assert (counts.prompt_tokens, counts.completion_tokens) == (found["input_tokens"], found["output_tokens"])
    assert counts.completion_tokens > 0


def test_tools_are_called_when_they_are_offered(client: OpenAI) -> None:
    """A call comes whole and streamed, and its result goes back under its id."""
    asked = says('call weather with {"city": "Oslo"}')
    first = client.chat.completions.create(model="claude", messages=asked, tools=[WEATHER], max_tokens=64)
    assert first.choices[0].finish_reason == "tool_calls"
    [call] = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert (call.function.name, json.loads(call.function.arguments)) == ("weather", {"city": "Oslo"})
    with client.chat.completions.stream(
        model="claude", messages=asked, tools=[WEATHER], max_tokens=64
    ) as stream:
        final = stream.get_final_completion()
    [streamed] = final.choices[0].message.tool_calls or []
    assert streamed.type == "function"
    assert json.loads(streamed.function.arguments) == {"city": "Oslo"}
    second = client.chat.completions.create(
        model="claude",
        messages=[
            *asked,
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": call.id,
                        "type": "function",
                        "function": {"name": call.function.name, "arguments": call.function.arguments},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": call.id, "content": "rain"},
        ],
        tools=[WEATHER],
        max_tokens=64,
    )
    assert "rain" in (second.choices[0].message.content or "")


def test_thoughts_are_told_when_the_target_thinks(scene: Stage) -> None:
    """As `reasoning_content`; that their seal cannot go along is reported."""
    served, _ = scene
    status, headers, body, request_id = _ask(served, "think: deep thoughts")
    assert status == 200
    message = json.loads(body)["choices"][0]["message"]
    assert message["reasoning_content"] == "deep thoughts"
    assert "seal" in headers["x-ingot-loss"]
    assert any("seal" in loss["reason"] for loss in row(served, request_id)["losses"])


# ---- what it costs, and what is kept


@pytest.mark.parametrize("streamed", [False, True])
def test_bill_is_the_targets_count_when_caches_were_used(scene: Stage, *, streamed: bool) -> None:
    """Cached and written tokens each at their own price, in one ledger row; the stored answer is a chat completion."""
    served, _ = scene
    text = f"echo: one two three four five six seven {fresh_id()} {{{{cached=3 written=4}}}}"
    status, _, _, request_id = _ask(served, text, stream=streamed)
    assert status == 200
    asked = {"messages": [{"role": "user", "content": text}], "model": "m", "max_tokens": 64}
    counts = anthropic.message(asked, step=Step(cached=3, written=4))["usage"]
    found = row(served, request_id)
    assert (found["input_tokens"], found["cached_tokens"]) == (counts["input_tokens"] + 7, 3)
    assert (found["output_tokens"], found["surface"], found["fidelity"]) == (
        counts["output_tokens"],
        "chat",
        "translated",
    )
    cost = counts["input_tokens"] * 3 + 3 * 0.3 + 4 * 3.75 + counts["output_tokens"] * 15
    assert float(found["cost_usd"]) == pytest.approx(cost / 1_000_000)
    with closing(sqlite3.connect(served.data / "ingot.db")) as conn:
        billed = conn.execute("SELECT estimated FROM ledger WHERE billable_id = ?", (found["id"],)).fetchall()
    assert billed == [(0,)]
    _, _, stored = served.call(f"/v1/chat/completions/{found['response_id']}")
    kept = json.loads(stored)
    assert (kept["object"], kept["model"]) == ("chat.completion", "claude")
    assert kept["choices"][0]["message"]["content"].startswith("one two three")


@pytest.mark.parametrize("streamed", [False, True])
def test_answer_is_given_again_when_the_key_comes_again(scene: Stage, *, streamed: bool) -> None:
    """The target is asked once, and the retry gets the same answer."""
    served, upstream = scene
    text, key = f"echo: again {fresh_id()} please", fresh_id()
    first = _ask(served, text, key=key, stream=streamed)
    again = _ask(served, text, key=key, stream=streamed)
    assert again[1]["idempotent-replayed"] == "true"
    assert len(upstream.seen(first[3])) == 1
    assert not upstream.seen(again[3])
    if streamed:
        assert told(again[2]) == told(first[2])
        assert again[2].endswith(b"data: [DONE]\n\n")
    else:
        assert again[2] == first[2]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("stored", [True, False])
def test_losses_are_told_again_when_the_key_comes_again(
    scene: Stage, *, stored: bool, streamed: bool
) -> None:
    """The same header, whether the content is kept or not; the request log tells them only where it is."""
    served, _ = scene
    text, key = f"echo: lost {fresh_id()}", fresh_id()
    wanted: dict[str, Any] = {"model": "lax", "seed": 7, "store": stored, "stream": streamed}
    first = _ask(served, text, key=key, **wanted)
    again = _ask(served, text, key=key, **wanted)
    assert again[1]["idempotent-replayed"] == "true"
    assert first[1]["x-ingot-loss"].startswith("seed=")
    assert again[1]["x-ingot-loss"] == first[1]["x-ingot-loss"]
    assert bool(row(served, first[3])["losses"]) is stored


# ---- what goes wrong


@pytest.mark.parametrize("fault", ["cut 6", "rst 6", "error-at 6", "bad-json 6"])
def test_stream_ends_in_an_error_when_the_target_breaks_off(scene: Stage, fault: str) -> None:
    """An error event of the client's dialect, no clean end; what came is billed by estimate, the input as it was counted."""
    served, _ = scene
    status, _, body, request_id = _ask(served, f"words: 20 {{{{{fault}}}}}", stream=True)
    assert status == 200
    error = ends_in_error(body)
    assert error["type"] == "server_error"
    found = row(served, request_id)
    assert (found["state"], found["fidelity"]) == ("failed", "translated")
    assert found["output_tokens"] > 0
    entry = logged(served, request_id)
    assert entry["usage_estimated"]
    whole = anthropic.message({"messages": [{"role": "user", "content": "words: 20"}], "model": "m"})
    assert found["input_tokens"] == whole["usage"]["input_tokens"]


def test_stream_is_whole_when_only_its_end_is_missing(scene: Stage) -> None:
    """The message had its stop reason: the client gets a clean end."""
    served, _ = scene
    _, _, body, request_id = _ask(served, "words: 5 {{no-done}}", stream=True)
    assert body.endswith(b"data: [DONE]\n\n")
    assert row(served, request_id)["state"] == "completed"


def test_error_wears_the_clients_envelope_when_the_target_refuses(client: OpenAI) -> None:
    """What the client can mend is told in the target's words, which says that they are about a translation."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model="claude",
            messages=says('echo: x {{fail=400 message="max_tokens:64>1" code=invalid_request_error}}'),
            max_tokens=64,
        )
    assert caught.value.param is None
    assert "messages dialect" in caught.value.message


@pytest.mark.parametrize("streamed", [False, True])
def test_try_is_repeated_when_the_target_is_overloaded(scene: Stage, *, streamed: bool) -> None:
    """529 or 503 before the first byte: another try answers."""
    served, upstream = scene
    fault = "{{fail 529 times=1}}" if streamed else "{{fail 503 times=1}}"
    status, _, _, request_id = _ask(served, f"echo: back {fault}", stream=streamed)
    assert status == 200
    assert len(upstream.seen(request_id)) == 2


def test_answer_is_an_error_when_the_targets_is_none_of_its_dialect(scene: Stage) -> None:
    """A 200 that cannot be read is the target's fault."""
    served, _ = scene
    status, _, body, _ = _ask(served, "echo: x {{body malformed}}")
    assert (status, json.loads(body)["error"]["type"]) == (502, "server_error")


def test_target_is_let_go_when_the_client_leaves(scene: Stage) -> None:
    """What came is billed, and the call to the target ends."""
    served, upstream = scene
    request_id = fresh_id()
    with Line(served.port) as line:
        body = chat("words: 500 {{gap 0.02}}", model="claude", max_tokens=900, stream=True)
        line.send(post(body, more=f"x-request-id: {request_id}\r\n"))
        while b"delta" not in line.read(4096):
            pass
        line.leave(reset=True)
    (record,) = upstream.until_seen(request_id)
    wait_until(lambda: record.aborted, "the target's call ends")
    found = row(served, request_id)
    assert (found["state"], found["fidelity"]) == ("cancelled", "translated")
    assert 0 < found["output_tokens"] < 500


# ---- losses


@pytest.mark.parametrize("streamed", [False, True])
def test_losses_are_told_when_something_cannot_be_translated(scene: Stage, *, streamed: bool) -> None:
    """In a header, by their place in the client's body, and in the request log."""
    served, _ = scene
    status, headers, _, request_id = _ask(
        served, "echo: hi", model="lax", seed=7, frequency_penalty=1, stream=streamed
    )
    assert status == 200
    assert headers["x-ingot-loss"].split("; ")[0].startswith("frequency_penalty=the messages dialect has no")
    assert {loss["path"] for loss in row(served, request_id)["losses"]} >= {"seed", "frequency_penalty"}


def test_request_is_refused_when_something_of_it_would_be_lost(scene: Stage) -> None:
    """400 with the place and the key that allows it, and no target is asked; mere hints are told, and pass."""
    served, upstream = scene
    status, _, body, request_id = _ask(served, "echo: hi", model="strict", seed=7)
    error = json.loads(body)["error"]
    assert (status, error["param"], error["code"]) == (400, "seed", "unsupported_parameter")
    assert "messages dialect" in error["message"]
    assert "'strict'" in error["message"]
    assert 'on_loss = "warn"' in error["message"]
    assert not upstream.seen(request_id)
    status, headers, _, _ = _ask(
        served, "echo: hi", model="strict", prompt_cache_key="k", metadata={"a": "b"}
    )
    assert status == 200
    assert headers["x-ingot-loss"].startswith("prompt_cache_key=")
    assert "metadata=" in headers["x-ingot-loss"]


# ---- which target


def test_target_of_the_clients_dialect_is_asked_when_there_is_one(scene: Stage) -> None:
    """Even where the other one stands first."""
    served, upstream = scene
    _, _, _, request_id = _ask(served, "echo: near", model="both")
    (record,) = upstream.seen(request_id)
    assert record.path == "/v1/chat/completions"
    assert logged(served, request_id)["fidelity"] == "verbatim"


def test_translation_helps_out_when_the_clients_dialect_fails(scene: Stage) -> None:
    """The next try goes to the other target; where that would lose something and must not, it is not asked."""
    served, upstream = scene
    status, _, _, request_id = _ask(served, "echo: far {{fail 500 times=1}}", model="fallback", seed=7)
    assert status == 200
    assert [record.path for record in upstream.seen(request_id)] == ["/v1/chat/completions", "/v1/messages"]
    status, _, _, request_id = _ask(served, "echo: fussy {{fail 500}}", model="fussy", seed=7)
    assert status == 502
    assert [record.path for record in upstream.seen(request_id)] == ["/v1/chat/completions"] * 2


def test_key_stays_free_when_no_target_takes_the_request(scene: Stage) -> None:
    """A loss that is refused, and a surface that the model does not serve: the mended request may have the key."""
    served, key = scene[0], fresh_id()
    body = {"model": "strict", "input": "hi"}
    refused = served.call("/v1/embeddings", body, headers={"idempotency-key": key})
    assert json.loads(refused[2])["error"]["code"] == "unsupported_endpoint"
    status, _, told_, _ = _ask(served, "echo: hi", key=key, model="strict", seed=1)
    assert (status, json.loads(told_)["error"]["param"]) == (400, "seed")
    assert _ask(served, "echo: hi", key=key, model="strict")[0] == 200


def test_missing_bound_is_told_and_not_refused_when_it_is_demanded(scene: Stage) -> None:
    """Nothing that the client said is lost: it is told which bound was sent."""
    served = scene[0]
    status, headers, _, _ = _ask(served, "echo: hi", model="strict", max_tokens=None)
    assert status == 200
    assert headers["x-ingot-loss"].startswith("max_completion_tokens=")
    status, _, body, _ = _ask(served, "echo: hi", model="strict", max_tokens=None, seed=1)
    error = json.loads(body)["error"]
    assert (status, error["param"]) == (400, "seed")
    assert "more" not in error["message"]
