"""Calls of a client's tools and their outputs, in an input sent whole or with what was stored before it: each needs the
other, and a call comes before its output.

    function_call       function_call_output
    custom_tool_call    custom_tool_call_output

Targets refuse what has only one of both, in words that their clients cannot place. Decides nothing about calls of hosted
tools, which their target answers itself. Knows no store. Source: contract §3.
"""

from collections.abc import Iterable
from operator import itemgetter
from typing import Any, Final

from ingot.errors import InvalidRequest
from ingot.rawjson import clip

Json = dict[str, Any]

_CALLS: Final = {"function_call": "function call", "custom_tool_call": "custom tool call"}
_OUTPUTS: Final = {f"{kind}_output": kind for kind in _CALLS}
_SUMMARY: Final = "compaction"
_FIELD: Final = "input"


def check_calls(items: Iterable[Json]) -> None:
    """Raises InvalidRequest for the first item that is a call without an output behind it, or an output without a call before.

    Calls may be inside of a compaction, so that nobody knows whose an output is where there is one.
    """
    summarized = False
    # Each with its place, so that of several faults the first is told.
    calls: dict[tuple[str, Any], int] = {}
    lone: dict[tuple[str, Any], int] = {}
    answered: set[tuple[str, Any]] = set()
    for index, item in enumerate(items):
        kind = item.get("type")
        if kind in _CALLS:
            calls.setdefault((kind, item.get("call_id")), index)
        elif kind in _OUTPUTS:
            name = (_OUTPUTS[kind], item.get("call_id"))
            answered.add(name)
            if name not in calls:
                lone.setdefault(name, index)
        elif kind == _SUMMARY:
            summarized = True
    unanswered = {name: index for name, index in calls.items() if name not in answered}
    if summarized:
        lone = {}
    faults = [*((index, name, _no_output) for name, index in unanswered.items())]
    faults += [(index, name, _no_call) for name, index in lone.items()]
    if faults:
        _, name, fault = min(faults, key=itemgetter(0))
        raise fault(*name)


def _no_output(kind: str, call_id: Any) -> InvalidRequest:
    return InvalidRequest(
        f"No tool output found for {_CALLS[kind]} {clip(str(call_id))}. Add the '{kind}_output' with this 'call_id' to "
        "'input'.",
        param=_FIELD,
    )


def _no_call(kind: str, call_id: Any) -> InvalidRequest:
    return InvalidRequest(
        f"No tool call found for {_CALLS[kind]} output with call_id {clip(str(call_id))}. Go on from the response that "
        f"made the call, or add its '{kind}' to 'input', before the output.",
        param=_FIELD,
    )
