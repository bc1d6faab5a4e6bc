"""How prompts begin, as names: equal where a target's cache would help, and empty where it would not."""

from typing import Any

import pytest

from ingot.services.prefixes import CHARACTERS, LEAST, prefix_of

LONG = "Be brief. " * 100


def test_key_of_the_client_counts_before_its_text() -> None:
    """Two requests with one key belong together, whatever they say; the name does not tell the key."""
    one = prefix_of({"prompt_cache_key": "user-7", "input": LONG})
    assert one == prefix_of({"prompt_cache_key": "user-7", "messages": []})
    assert one != prefix_of({"prompt_cache_key": "user-8", "input": LONG})
    assert "user-7" not in one


@pytest.mark.parametrize(
    "make",
    [
        lambda end: {"instructions": LONG, "input": end},
        lambda end: {"system": LONG, "messages": [{"role": "user", "content": end}]},
        lambda end: {"messages": [{"role": "system", "content": LONG}, {"role": "user", "content": end}]},
        lambda end: {"input": "x" * CHARACTERS + end},
        lambda end: {"prompt": "x" * CHARACTERS + end},
    ],
)
def test_requests_that_begin_alike_have_one_name(make: Any) -> None:
    """On every surface, by instructions, system text or first message, whatever follows."""
    assert prefix_of(make("one")) == prefix_of(make("two")) != ""


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": ""},
        {"input": "short"},
        {"input": "x" * (LEAST - 1)},
        {"messages": []},
        {"prompt_cache_key": 3},
    ],
)
def test_short_beginnings_have_no_name(body: dict[str, Any]) -> None:
    """Nothing would be saved."""
    assert prefix_of(body) == ""
