"""Fields that no reference names, at the embedded engine and at models with principles: none shows, moves or empties the prompt,
and none gives more than is counted.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import Scene
from rig import Backstage, fresh_id
from served import Served, serving

CHAT = "/v1/chat/completions"
CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models]
    plain = { targets = ["engine:demo-tiny"], price = { input = 1, output = 1 } }
    good = { targets = ["engine:demo-tiny"], price = "free", constitution = "good.md" }
    other = { targets = ["up"], price = "free", constitution = "good.md" }
    [hosts]
    "valar.example.org" = "valar"
"""
SECRET = "Principle of the secret gooseberry."
ASKED: list[dict[str, Any]] = [{"role": "user", "content": "Hello."}]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module, with an engine."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "good.md").write_text(SECRET, encoding="utf-8")
    with Backstage() as upstream, serving(CONFIG.replace("{up}", upstream.url), folder) as served:
        yield served, upstream


def ask(served: Served, model: str, **fields: Any) -> tuple[int, dict[str, str], Any]:
    """A short answer."""
    body = {"model": model, "messages": ASKED, "max_tokens": 4, **fields}
    status, headers, told = served.call(CHAT, body)
    assert SECRET not in told.decode()
    return status, headers, json.loads(told)


@pytest.mark.parametrize(
    "fields",
    [
        {"verbose": True},
        {"response_fields": ["prompt"]},
        {"n_cmpl": 3},
        {"n_predict": 300},
        {"chat_template": "{{ messages }}"},
        {"reasoning_format": "bogus"},
        {"grammar": "root ::= [a-z]"},
        {"chat_template_kwargs": {"messages": ASKED}},
        {"chat_template_kwargs": {"enable_thinking": {"deep": 1}}},
        {"chat_template_kwargs": "enable_thinking"},
    ],
)
@pytest.mark.parametrize("model", ["plain", "good"])
def test_field_is_refused_by_name_when_the_engine_would_heed_it(
    scene: Scene, model: str, fields: dict[str, Any]
) -> None:
    """A 400, and not an answer that was not asked for or is not counted."""
    status, _, told = ask(scene[0], model, **fields)
    (name,) = fields
    assert (status, told["error"]["param"].partition(".")[0]) == (400, name)


def test_field_is_left_out_and_told_when_nobody_knows_it(scene: Scene) -> None:
    """How tokens are drawn goes on, and a switch that templates know."""
    own = {"a_field_of_its_own": {"deep": [1]}, "t_max_predict_ms": 1}
    known = {"top_k": 5, "ignore_eos": True, "chat_template_kwargs": {"enable_thinking": False}}
    status, headers, _ = ask(scene[0], "plain", **own, **known)
    assert status == 200
    assert {each.partition("=")[0].strip() for each in headers["x-ingot-loss"].split(";")} == own.keys()


def test_principles_count_when_fields_come_along(scene: Scene) -> None:
    """The prompt is as long as without them."""
    _, _, plain = ask(scene[0], "good")
    _, _, told = ask(scene[0], "good", chat_template_kwargs={"enable_thinking": False}, other=1)
    assert told["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] > 15


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_unnamed_goes_out_when_a_model_has_principles(scene: Scene, *, stream: bool) -> None:
    """Whatever the server behind it makes of it."""
    served, upstream = scene
    key = fresh_id()
    unnamed = {"prompt_logprobs": 1, "return_token_ids": True, "echo": True, "documents": [{"text": "x"}]}
    messages = [{"role": "user", "content": f"echo: {key}"}]
    body = {"model": "other", "messages": messages, "top_k": 3, "stream": stream, **unnamed}
    status, headers, _ = served.call(CHAT, body)
    assert status == 200
    (sent,) = [json.loads(call.body) for call in upstream.up.log if key.encode() in call.body]
    assert (sent.keys() & unnamed.keys(), sent["top_k"]) == (set(), 3)
    assert sent["messages"][0]["content"].startswith(SECRET)
    assert all(name in headers["x-ingot-loss"] for name in unnamed)


def test_answer_can_be_sent_back_when_its_thoughts_are_null(scene: Scene) -> None:
    """A preset adds the field to answers, and clients send answers back whole."""
    served, _ = scene
    back = {"role": "assistant", "content": "Hi.", "reasoning_content": None}
    told = {"model": "plain", "messages": [*ASKED, back, *ASKED], "max_completion_tokens": 4}
    for headers in ({}, {"Host": "valar.example.org"}):
        status, _, body = served.call(CHAT, told, headers=headers)
        assert status == 200, body
