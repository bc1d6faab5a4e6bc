"""Translated requests for a target that compiles JSON schemas as llama.cpp does: held to them as a client of chat is.

    encoded body --as chat--> schemas judged, written for the grammar --> body, and how its answer is turned back
    a place in it           --> the place in the client's own body: of a schema, or of the arguments of an earlier call

Decides which place of the client's a refusal names. What the grammar holds is `gbnf`'s to say.
"""

import re
from dataclasses import replace
from typing import Any, Final

import msgspec

from ingot.canonical import FunctionTool, Request, ToolCall
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.dialect import Call, Turn
from ingot.errors import ClientError

_TOOL: Final = re.compile(r"tools\[(\d+)\]\.function\.parameters")
_ARGUMENTS: Final = re.compile(r"messages\[(\d+)\]\.tool_calls\[(\d+)\]\.function\.arguments")
_FORMAT: Final = "response_format.json_schema.schema"
_SCHEMAS: Final = {"messages": "input_schema"}
"""What a dialect calls a tool's schema, where not `parameters`."""


class Held(msgspec.Struct, frozen=True):
    """A chat request as the target gets it, and how its answer has to be turned back."""

    body: bytes
    call: Call
    turn: Turn


def hold(body: bytes, request: Request, quirks: Quirks, *, deployment: str) -> Held:
    """The encoded body, held to its schemas; raises ClientError that names a place of the client's body."""
    try:
        call = msgspec.structs.replace(CHAT.decode(body), wants_usage=True)
        # Fields that the target rejects are losses, and out of it already.
        CHAT.check_target(call, replace(quirks, reject=frozenset()), deployment)
        sent = CHAT.prepare(call, model=call.model, quirks=quirks)
    except ClientError as error:
        raise _renamed(error, body, request) from error
    return Held(sent, call, CHAT.turn_of(call, quirks, None))


def _renamed(error: ClientError, body: bytes, request: Request) -> ClientError:
    """The refusal in the words of the client's dialect."""
    param = error.param or ""
    place = _place(param, msgspec.json.decode(body), request)
    if place is None:
        return error
    old, new = place
    return type(error)(
        error.message.replace(old, new),
        param=param.replace(old, new, 1),
        code=error.code,
        status=error.status,
    )


def _place(param: str, value: Any, request: Request) -> tuple[str, str] | None:
    """The beginning of a path in chat's body, and what stands for it in the client's."""
    if param.startswith(_FORMAT):
        return _FORMAT, f"{request.place('output_format')}.schema"
    found = _ARGUMENTS.match(param)
    if found is not None:
        call_id = value["messages"][int(found[1])]["tool_calls"][int(found[2])]["id"]
        calls = [
            part.at or turn.at
            for turn in request.turns
            for part in turn.parts
            if isinstance(part, ToolCall) and part.id == call_id
        ]
        return (found[0], f"{calls[0]}.arguments") if calls else None
    found = _TOOL.match(param)
    if found is None:
        return None
    name = value["tools"][int(found[1])]["function"]["name"]
    schema = _SCHEMAS.get(request.origin, "parameters")
    tools = [tool for tool in request.tools if isinstance(tool, FunctionTool) and tool.name == name]
    return (found[0], f"{tools[0].at}.{schema}") if tools else None
