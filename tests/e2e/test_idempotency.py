"""Retries with an `Idempotency-Key`, from outside: one inference, one ledger row, the same answer for everybody."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

from retryclient import CHAT, CONFIG, ask, calls, is_replay, ledger, state, unique
from rig import Backstage, Line, chat, fresh_id, payloads, post, stage, told, wait_until
from served import Served
from standing import says

Stage = tuple[Served, Backstage]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module, in front of the scriptable upstream."""
    with stage(tmp_path_factory.mktemp("idempotency"), CONFIG) as both:
        yield both


def _new_key(served: Served, *options: str) -> str:
    """The text of another API key, made on the command line."""
    made = subprocess.run(
        [sys.executable, "-m", "ingot", "keys", "create", "--name", fresh_id(), "--json", *options],
        env=os.environ | {"INGOT_DATA": str(served.data), "NO_COLOR": "1"},
        cwd=served.data.parent,
        capture_output=True,
        check=True,
    )
    return str(json.loads(made.stdout)["key"])


def test_s3_02_key_is_taken_up_to_its_length(scene: Stage) -> None:
    """255 characters are fine, 256 are not; the error names the header, and nothing is asked upstream."""
    served, upstream = scene
    text = unique()
    assert ask(served, text, key="k" * 255)[0] == 200
    for key in ("k" * 256, "two words", '""'):
        status, _, body = ask(served, text, key=key)
        error = json.loads(body)["error"]
        assert (status, error["type"], error["param"]) == (400, "invalid_request_error", "Idempotency-Key")
    assert calls(upstream, text) == 1


def test_request_is_refused_when_it_carries_two_keys(scene: Stage) -> None:
    """Two headers that differ are a 400 which names the header, and nothing runs; the same key twice is one."""
    served, upstream = scene
    text = unique()
    key = fresh_id()
    for other, status in ((fresh_id(), 400), (f'"{key}"', 200)):
        with Line(served.port) as line:
            line.send(post(chat(text), more=f"idempotency-key: {key}\r\nidempotency-key: {other}\r\n"))
            answer = line.answer()
        assert answer.status == status
        if status == 400:
            assert answer.error["param"] == "Idempotency-Key"
            assert "came 2 times" in answer.error["message"]
    assert calls(upstream, text) == 1


def test_s3_03_answer_is_the_same_when_the_key_comes_again(scene: Stage) -> None:
    """Equal bytes, equal id, one upstream call, one ledger row; keys in quotes and reordered bodies are the same."""
    served, upstream = scene
    text, key, billed = unique(), fresh_id(), ledger(served)
    first = ask(served, text, key=key, temperature=0.5)
    again = ask(served, text, key=f'"{key}"', temperature=0.5, stream=False)
    body = (
        b'{ "temperature":0.5, "messages":[{"content":"%b","role":"user"}], "model":"mock"}' % text.encode()
    )
    third = served.call(CHAT, body, headers={"Idempotency-Key": key})
    assert [answer[0] for answer in (first, again, third)] == [200, 200, 200]
    assert [is_replay(answer) for answer in (first, again, third)] == [False, True, True]
    assert first[2] == again[2] == third[2]
    assert (calls(upstream, text), ledger(served)) == (1, billed + 1)


def test_s3_04_key_is_another_one_under_another_api_key(scene: Stage) -> None:
    """The same text under a second API key is a second inference."""
    served, upstream = scene
    text, key = unique(), fresh_id()
    for token in (served.key, _new_key(served)):
        answer = ask(served, text, key=key, as_key=token)
        assert (answer[0], is_replay(answer)) == (200, False)
    assert calls(upstream, text) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_c_01_other_body_is_refused_when_the_key_is_taken(scene: Stage, *, stream: bool) -> None:
    """400 `idempotency_error`, not to be retried; `stream` is part of what was asked."""
    served, upstream = scene
    text, key = unique(), fresh_id()
    assert ask(served, text, key=key)[0] == 200
    fields = {"stream": True} if stream else {"temperature": 0.25}
    status, headers, body = ask(served, text, key=key, **fields)
    error = json.loads(body)["error"]
    assert (status, error["type"], error["code"]) == (400, "idempotency_error", "idempotency_key_reused")
    assert headers["x-should-retry"] == "false"
    assert "its body was another one" in error["message"]
    status, _, body = served.call(
        "/v1/completions", {"model": "mock", "prompt": text}, headers={"idempotency-key": key}
    )
    assert status == 400
    assert b"the first went to /v1/chat/completions, this one to /v1/completions" in body
    assert calls(upstream, text) == 1


def test_c_01_key_stays_free_when_the_request_was_refused_before(scene: Stage) -> None:
    """A body that is wrong reserves nothing: the mended one may have the key."""
    served, _ = scene
    key = fresh_id()
    assert ask(served, "echo: hi", key=key, temperature=7)[0] == 400
    assert state(served.data, key) == ""
    assert ask(served, "echo: hi", key=key, temperature=1)[0] == 200


@pytest.mark.parametrize(("options", "status"), [(("--tpm", "100"), 429), (("--cap", "0.0001"), 402)])
def test_c_01_key_stays_free_when_no_target_was_asked(
    scene: Stage, options: tuple[str, str], status: int
) -> None:
    """Beyond a limit or too dear: nothing was done, so that a mended request may have the key."""
    served, upstream = scene
    key, token, text = fresh_id(), _new_key(served, *options), unique()
    assert ask(served, text, key=key, as_key=token, max_tokens=30_000)[0] == status
    assert (state(served.data, key), calls(upstream, text)) == ("", 0)
    assert ask(served, text, key=key, as_key=token, max_tokens=20)[0] == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"model": "mock", "prompt": "once"}),
        ("/v1/embeddings", {"model": "mock", "input": "once"}),
    ],
)
def test_key_holds_on_every_surface(scene: Stage, path: str, body: dict[str, Any]) -> None:
    """Completions and embeddings are replayed like chats; the same key on another path is another request."""
    served, _ = scene
    key = fresh_id()
    first, again = (served.call(path, body, headers={"Idempotency-Key": key}) for _ in range(2))
    assert (first[0], first[2]) == (again[0], again[2])
    assert is_replay(again)
    assert ask(served, "once", key=key)[0] == 400


def test_final_refusal_is_kept_and_a_failure_is_not(scene: Stage) -> None:
    """A 4xx of the model comes again from the store; after a 5xx the next try runs anew."""
    served, upstream = scene
    refused, failed = unique("{{fail 422}} echo:"), unique("{{fail 500 times=1}} echo:")
    key = fresh_id()
    first, again = ask(served, refused, key=key), ask(served, refused, key=key)
    assert (first[0], again[0]) == (422, 422)
    assert first[2] == again[2]
    assert (is_replay(again), calls(upstream, refused)) == (True, 1)
    key = fresh_id()
    first, again = ask(served, failed, key=key), ask(served, failed, key=key)
    assert first[0] >= 500
    assert (again[0], is_replay(again), calls(upstream, failed)) == (200, False, 2)


@pytest.mark.parametrize("mended", [False, True])
def test_i06_key_is_free_when_the_target_had_too_much_to_do(scene: Stage, *, mended: bool) -> None:
    """A 429 of the target is no word on the request: nothing is kept, and the same or a mended one runs under the key."""
    served, upstream = scene
    text, key, billed = unique("{{fail 429 times=1}} echo:"), fresh_id(), ledger(served)
    first = ask(served, text, key=key)
    assert (first[0], state(served.data, key), ledger(served)) == (429, "", billed)
    again = ask(served, text, key=key, temperature=0.5) if mended else ask(served, text, key=key)
    assert (again[0], is_replay(again), calls(upstream, text)) == (200, False, 2)
    assert ledger(served) == billed + 1


def test_i05_all_get_one_answer_when_they_ask_at_once(scene: Stage) -> None:
    """Sixteen requests with one key are one inference; fifteen wait for it."""
    served, upstream = scene
    text, key, billed = unique("{{delay 0.5}} echo:"), fresh_id(), ledger(served)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: ask(served, text, key=key), range(16)))
    assert {answer[0] for answer in answers} == {200}
    assert len({answer[2] for answer in answers}) == 1
    assert sum(map(is_replay, answers)) == 15
    assert (calls(upstream, text), ledger(served)) == (1, billed + 1)


def test_i10_stream_is_told_again_when_the_key_comes_again(scene: Stage) -> None:
    """Valid events with the same id, text and counts, to `[DONE]`."""
    served, upstream = scene
    text, key = unique(), fresh_id()
    fields: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
    first, again = ask(served, text, key=key, **fields), ask(served, text, key=key, **fields)
    assert (first[0], again[0], is_replay(again)) == (200, 200, True)
    assert again[1]["content-type"].startswith("text/event-stream")
    assert told(first[2]) == told(again[2]) != ""
    assert payloads(again[2])[-1] == b"[DONE]"
    one, two = ([json.loads(data) for data in payloads(answer[2])[:-1]] for answer in (first, again))
    for name in ("id", "created", "model"):
        assert {chunk[name] for chunk in one} == {chunk[name] for chunk in two}
    assert one[-1]["usage"] == two[-1]["usage"]
    assert calls(upstream, text) == 1


def test_i10_stream_ends_again_when_the_end_was_ours(scene: Stage) -> None:
    """A target may close its stream without `[DONE]`: who asks again gets the end that the first got from us."""
    served, upstream = scene
    text, key = f"{unique()} {{{{no-done}}}}", fresh_id()
    first, again = ask(served, text, key=key, stream=True), ask(served, text, key=key, stream=True)
    assert (first[0], again[0], is_replay(again)) == (200, 200, True)
    assert payloads(first[2])[-1] == payloads(again[2])[-1] == b"[DONE]"
    assert told(first[2]) == told(again[2]) != ""
    assert calls(upstream, text) == 1


def test_i10_official_client_reads_a_replayed_stream(scene: Stage) -> None:
    """Tool calls too: what the client puts together is the same both times."""
    served, upstream = scene
    mark = f"<{fresh_id()}>"
    tools: Any = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]

    def read() -> tuple[str, list[str]]:
        stream = client.chat.completions.create(
            model="mock",
            messages=says(f'call f with {{"x": "{mark}"}} and call f with {{}}'),
            tools=tools,
            stream=True,
            extra_headers={"Idempotency-Key": mark},
        )
        name, arguments = "", ["", ""]
        for chunk in stream:
            name = chunk.id
            for call in chunk.choices[0].delta.tool_calls or () if chunk.choices else ():
                arguments[call.index] += (call.function.arguments or "") if call.function else ""
        return name, arguments

    with OpenAI(base_url=served.v1, api_key=served.key, max_retries=0) as client:
        first, again = read(), read()
    assert first == again
    assert json.loads(first[1][0]) == {"x": mark}
    assert calls(upstream, mark) == 1


@pytest.mark.parametrize("stream", [False, True])
def test_i12_generation_goes_on_when_the_client_leaves(scene: Stage, *, stream: bool) -> None:
    """With a key the answer is finished and billed without its client, and the retry gets it for nothing."""
    served, upstream = scene
    text, key, billed = unique("{{gap 0.05}} echo:"), fresh_id(), ledger(served)
    text = text if stream else unique("{{delay 0.5}} echo:")
    line = Line(served.port)
    line.send(post(chat(text, stream=stream), more=f"idempotency-key: {key}\r\n"))
    wait_until(lambda: calls(upstream, text) == 1, "the upstream is asked")
    if stream:
        assert line.read(1)
    line.leave(reset=True)
    answer = ask(served, text, key=key, stream=stream)
    assert (answer[0], is_replay(answer)) == (200, True)
    words = told(answer[2]) if stream else json.loads(answer[2])["choices"][0]["message"]["content"]
    assert len(words.split()) == 12
    assert (calls(upstream, text), ledger(served)) == (1, billed + 1)


# ---- the official client, whose patience ends before the answer comes


def test_i05_official_client_pays_once_when_it_times_out_with_a_key(scene: Stage) -> None:
    """Its retries join the first request; one upstream call, one ledger row."""
    served, upstream = scene
    text, billed = unique("{{delay 2}} echo:"), ledger(served)
    with OpenAI(base_url=served.v1, api_key=served.key, timeout=1.0, max_retries=4) as client:
        answer = client.chat.completions.create(
            model="mock", messages=says(text), extra_headers={"Idempotency-Key": fresh_id()}
        )
    assert answer.choices[0].message.content
    assert (calls(upstream, text), ledger(served)) == (1, billed + 1)


def test_official_client_asks_anew_when_it_times_out_without_a_key(scene: Stage) -> None:
    """Each of its tries is an inference of its own, as it is anywhere: that is what the key is for."""
    served, upstream = scene
    text = unique("{{delay 30}} echo:")
    with (
        OpenAI(base_url=served.v1, api_key=served.key, timeout=0.5, max_retries=2) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="mock", messages=says(text))
    assert calls(upstream, text) == 3
