"""Calls of a client's tools and their outputs, where a request goes on from what was stored: each needs the other.

    function_call       function_call_output
    custom_tool_call    custom_tool_call_output

Targets refuse what has only one of both, in words that their clients cannot place. Decides nothing about calls of hosted
tools, which their target answers itself. Knows no store. Source: contract §3.
"""

from collections.abc import Iterable
from typing import Any, Final

from ingot.errors import InvalidRequest
from ingot.rawjson import clip

Json = dict[str, Any]

_CALLS: Final = {"function_call": "function call", "custom_tool_call": "custom tool call"}
_OUTPUTS: Final = {f"{kind}_output": kind for kind in _CALLS}
_SUMMARY: Final = "compaction"
_FIELD: Final = "input"


def check_calls(items: Iterable[Json]) -> None:
    """Raises InvalidRequest for a call without an output, and for an output without a call.

    Calls may be inside of a compaction, so that nobody knows whose an output is where there is one.
    """
    summarized = False
    calls: set[tuple[str, Any]] = set()
    outputs: set[tuple[str, Any]] = set()
    for item in items:
        kind = item.get("type")
        if kind in _CALLS:
            calls.add((kind, item.get("call_id")))
        elif kind in _OUTPUTS:
            outputs.add((_OUTPUTS[kind], item.get("call_id")))
        elif kind == _SUMMARY:
            summarized = True
    for kind, call_id in sorted(calls - outputs, key=str):
        raise InvalidRequest(
            f"No tool output found for {_CALLS[kind]} {clip(str(call_id))}. Add the '{kind}_output' with this 'call_id' to "
            "'input'.",
            param=_FIELD,
        )
    for kind, call_id in () if summarized else sorted(outputs - calls, key=str):
        raise InvalidRequest(
            f"No tool call found for {_CALLS[kind]} output with call_id {clip(str(call_id))}. Go on from the response that "
            f"made the call, or add its '{kind}' to 'input'.",
            param=_FIELD,
        )
