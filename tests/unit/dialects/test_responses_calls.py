"""Calls and their outputs where a request goes on from what was stored."""

from typing import Any

import pytest

from ingot.dialects.responses_calls import check_calls
from ingot.errors import InvalidRequest

Json = dict[str, Any]


def call(number: int, kind: str = "function_call") -> Json:
    """A call of a client's tool."""
    return {"type": kind, "call_id": f"call_{number}", "name": "f", "arguments": "{}"}


def output(number: int, kind: str = "function_call") -> Json:
    """What its tool said."""
    return {"type": f"{kind}_output", "call_id": f"call_{number}", "output": "4"}


SAID = {"role": "user", "content": "Hello"}
CUSTOM = "custom_tool_call"


@pytest.mark.parametrize(
    "items",
    [
        [],
        [SAID],
        [SAID, call(1), output(1), SAID],
        [call(1), call(2), {"type": "reasoning", "summary": []}, output(2), output(1)],
        [call(1, CUSTOM), output(1, CUSTOM)],
        [{"type": "web_search_call", "id": "ws_1", "status": "completed"}],
        [{"type": "mcp_approval_request", "id": "mcpr_1"}, SAID],
        [{"type": "computer_call", "call_id": "call_9"}],
        [{"type": "compaction", "encrypted_content": "x"}, output(1), output(2, CUSTOM)],
    ],
)
def test_items_pass_when_each_call_has_its_output(items: list[Json]) -> None:
    """Outputs in any order, whatever stands between them; of hosted tools nothing is asked, nor of calls inside of a summary."""
    check_calls(items)


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ([call(1)], "No tool output found for function call call_1."),
        ([call(1), output(2), call(2)], "No tool output found for function call call_1."),
        ([call(9), call(1), call(2), output(2)], "No tool output found for function call call_9."),
        (
            [SAID, output(1), call(1)],
            "No tool call found for function call output with call_id call_1.",
        ),
        (
            [output(7), output(2), call(1)],
            "No tool call found for function call output with call_id call_7.",
        ),
        ([call(3, CUSTOM), SAID], "No tool output found for custom tool call call_3."),
        ([call(1, CUSTOM), output(1)], "No tool output found for custom tool call call_1."),
        ([{"type": "compaction"}, call(1)], "No tool output found for function call call_1."),
        ([SAID, output(1)], "No tool call found for function call output with call_id call_1."),
        ([output(1, CUSTOM)], "No tool call found for custom tool call output with call_id call_1."),
    ],
)
def test_items_are_refused_when_one_of_both_is_missing(items: list[Json], said: str) -> None:
    """In OpenAI's words, with what to do next; the field is the one that the client can mend."""
    with pytest.raises(InvalidRequest) as caught:
        check_calls(items)
    assert caught.value.message.startswith(f"{said} ")
    assert "'input'" in caught.value.message
    assert caught.value.param == "input"
