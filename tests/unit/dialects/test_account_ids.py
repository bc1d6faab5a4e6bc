"""Ids of the target's account in requests: which are refused, by which place, and what passes."""

import json
from typing import Any

import pytest

from ingot.dialects.messages import MESSAGES
from ingot.dialects.responses import RESPONSES
from ingot.errors import Unsupported

FUNCTION = {"type": "function", "name": "f", "parameters": {}}


def refused(dialect: Any, **fields: Any) -> Unsupported | None:
    """What is said of the first id; None where there is none."""
    body = (
        {"model": "m", "input": "hi"}
        if dialect is RESPONSES
        else {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    )
    call = dialect.decode(json.dumps({**body, **fields}).encode())
    try:
        dialect.refuse_account_ids(call, "demo")
    except Unsupported as error:
        return error
    return None


def place_of(error: Unsupported | None) -> str | None:
    """What an error names; it says whose it is, and what allows it."""
    if error is None:
        return None
    assert f"'{error.param}'" in error.message
    assert "'demo'" in error.message
    assert 'account_ids = "relay"' in error.message
    return error.param


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"prompt": {"id": "pmpt_1"}}, "prompt.id"),
        (
            {"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["vs_1"]}]},
            "tools[1].vector_store_ids",
        ),
        ({"tools": [{"type": "code_interpreter", "container": "cntr_1"}]}, "tools[0].container"),
        (
            {
                "tools": [
                    {
                        "type": "shell",
                        "environment": {"type": "container_reference", "container_id": "cntr_1"},
                    }
                ]
            },
            "tools[0].environment.container_id",
        ),
        (
            {
                "tools": [
                    {
                        "type": "shell",
                        "environment": {
                            "type": "container_auto",
                            "skills": [{"type": "inline"}, {"type": "skill_reference", "skill_id": "s"}],
                        },
                    }
                ]
            },
            "tools[0].environment.skills[1].skill_id",
        ),
    ],
)
def test_response_is_refused_when_it_names_something_of_the_account(
    fields: dict[str, Any], place: str
) -> None:
    """By the place of the id."""
    assert place_of(refused(RESPONSES, **fields)) == place


def test_response_passes_when_its_tools_are_made_for_it() -> None:
    """Containers of its own, searches of the web, functions of the client's."""
    own = [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "web_search"}, FUNCTION]
    assert refused(RESPONSES, tools=own) is None
    assert refused(RESPONSES) is None


@pytest.mark.parametrize(
    ("container", "place"),
    [
        ("container_1", "container"),
        ({"id": "container_1"}, "container.id"),
        (
            {"skills": [{"type": "anthropic", "skill_id": "pptx"}, {"type": "custom", "skill_id": "s"}]},
            "container.skills[1].skill_id",
        ),
        ({"skills": [{"type": "anthropic", "skill_id": "pptx"}]}, None),
    ],
)
def test_message_is_refused_when_it_names_something_of_the_account(container: Any, place: str | None) -> None:
    """A skill of the provider is everybody's."""
    assert place_of(refused(MESSAGES, container=container)) == place
