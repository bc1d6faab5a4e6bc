"""Empty texts on the way to a target of messages, which is sent none: a request that has nothing else to answer is refused."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from batchhouse import CHAT, Scene
from rig import stage

CONFIG = """
    [targets]
    up = { base_url = "{up}", dialects = ["messages"] }
    any = { base_url = "{up}", dialects = ["chat"] }
    [models]
    told = { targets = ["up"], price = "free" }
    warned = { targets = ["up"], price = "free", on_loss = "warn" }
    either = { targets = ["up", "any"], price = "free" }
"""
RESPONSES = "/v1/responses"
HI = {"role": "user", "content": "echo: hi"}
HELLO = {"role": "assistant", "content": "Hello."}
BRIEF = {"role": "system", "content": "Be brief."}
EMPTY = {"role": "user", "content": ""}
PARTS = {"role": "user", "content": [{"type": "text", "text": ""}]}
INPUT = {"role": "user", "content": [{"type": "input_text", "text": ""}]}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("empty"), CONFIG) as both:
        yield both


@pytest.mark.parametrize("model", ["told", "warned"])
@pytest.mark.parametrize(
    ("path", "turns", "field"),
    [
        (CHAT, [EMPTY], "messages[0].content"),
        (CHAT, [BRIEF, PARTS], "messages[1].content[0]"),
        (CHAT, [EMPTY, {"role": "assistant", "content": ""}], "messages[0].content"),
        (CHAT, [HI, HELLO, EMPTY], "messages[2].content"),
        (CHAT, [HI, HELLO, PARTS, EMPTY], "messages[3].content"),
        (RESPONSES, [INPUT], "input[0].content[0]"),
        (RESPONSES, [HI, HELLO, INPUT], "input[2].content[0]"),
    ],
)
def test_request_is_refused_when_it_leaves_a_target_nothing_to_answer(
    scene: Scene, path: str, turns: list[Any], field: str, model: str
) -> None:
    """By the place of what is empty, whatever the model does with losses; no target is asked."""
    served, upstream = scene
    asked = len(upstream.up.log)
    status, _, told = served.call(path, {"model": model, "messages" if path == CHAT else "input": turns})
    error = json.loads(told)["error"]
    assert (status, error["param"], error["code"]) == (400, field, "invalid_value"), error
    assert f"'{field}'" in error["message"]
    assert len(upstream.up.log) == asked


@pytest.mark.parametrize(
    ("turns", "sent"),
    [
        ([HI, EMPTY], ["user"]),
        ([HI, {"role": "assistant", "content": ""}, HI], ["user", "user"]),
        ([EMPTY, HELLO, HI], ["assistant", "user"]),
        ([BRIEF], ["user"]),
    ],
)
def test_request_is_answered_when_something_is_left(scene: Scene, turns: list[Any], sent: list[str]) -> None:
    """An empty text among others says nothing, and is left out."""
    served, upstream = scene
    status, _, told = served.call(CHAT, {"model": "told", "messages": turns, "max_tokens": 9})
    assert status == 200, told
    assert [each["role"] for each in upstream.up.log[-1].json["messages"]] == sent


def test_other_target_answers_when_it_takes_empty_texts(scene: Scene) -> None:
    """The request goes to it as it came."""
    served, upstream = scene
    status, _, told = served.call(CHAT, {"model": "either", "messages": [EMPTY]})
    assert status == 200, told
    assert upstream.up.log[-1].json["messages"] == [EMPTY]
    status, _, told = served.call(CHAT, {"model": "either", "messages": [HI, HELLO, EMPTY]})
    assert status == 200, told
