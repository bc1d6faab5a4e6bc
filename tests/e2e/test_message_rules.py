"""A preset's rules on messages hold on streams too, whichever dialect the target speaks, and in what a retry is given."""

import json
from collections.abc import Iterator

import pytest
from anthropic import Anthropic

from messagehouse import Scene, ask, body_of, events
from rig import fresh_id, stage

CONFIG = """
    [server]
    preset = "ours"
    [targets]
    chats = { base_url = "{up}", dialects = ["chat"] }
    messages = { base_url = "{up}", dialects = ["messages"] }
    [models]
    chats = { targets = ["chats"], price = "free" }
    messages = { targets = ["messages"], price = "free" }
    [presets.ours]
    extends = "open"
    [presets.ours.answers.messages]
    id = { prefix = "ours_" }
    stop_sequence = "drop"
    stop_reason = { told = { end_turn = "max_tokens" } }
    "usage.service_tier" = "drop"
    "usage.cache_read_input_tokens" = "drop"
    "usage.cache_creation_input_tokens" = "drop"
"""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("rules"), CONFIG) as both:
        yield both


@pytest.mark.parametrize("model", ["messages", "chats"])
def test_rules_hold_when_a_message_is_streamed(scene: Scene, model: str) -> None:
    """The stream's message is the whole one's, and a retry gets the same."""
    served, _ = scene
    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as client:
        asked = body_of("echo: Hello there", model=model)
        whole = client.messages.create(**asked)
        with client.messages.stream(**asked) as stream:
            folded = stream.get_final_message()
    for answer in (whole, folded):
        assert answer.id.startswith("ours_")
        assert answer.stop_reason == "max_tokens"
        assert (
            not {"service_tier", "cache_read_input_tokens"}
            & answer.usage.model_dump(exclude_unset=True).keys()
        )
    assert "stop_sequence" not in whole.model_dump(exclude_unset=True)
    assert folded.usage.output_tokens == whole.usage.output_tokens
    key = {"idempotency-key": fresh_id()}
    _, _, first, _ = ask(served, {**asked, "stream": True}, headers=key)
    _, headers, again, _ = ask(served, {**asked, "stream": True}, headers=key)
    assert headers["idempotent-replayed"] == "true"
    assert events(again)[-2] == events(first)[-2]
    assert "stop_sequence" not in json.dumps(events(again))
