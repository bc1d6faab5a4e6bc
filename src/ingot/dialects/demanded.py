"""Calls that a request demands, on llama.cpp: asked for as an answer that fits a schema over the tools, and turned back.

    tools, tool_choice: required --> tools, response_format: {"name": one of them, "arguments": its parameters}
    content: {"name": "f", "arguments": {...}} --> tool_calls: [{"function": {"name": "f", "arguments": "{...}"}}]

Its own grammar for a required call lets any text come before the call, and call after call: a small model finds no end.
So there is one call, whatever `parallel_tool_calls` says, and it always fits. Tried on the bundled release.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ingot.catalog import Quirks
from ingot.dialects import gbnf
from ingot.dialects.answer import texts
from ingot.dialects.dialect import Call, Turn
from ingot.dialects.tap import ChatTap

EMPTY: Final = {"type": "object", "properties": {}, "additionalProperties": False}
"""The parameters of a function that names none."""

_HEAD: Final = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*')

_decode = msgspec.json.Decoder().decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_encode = msgspec.json.Encoder().encode


def by_schema(call: Call, quirks: Quirks) -> bool:
    """Whether this target is asked for the call by a schema."""
    return quirks.gbnf and is_demanded(call.body.value)


def is_demanded(value: Mapping[str, Any]) -> bool:
    """Whether the request demands a call."""
    choice = value.get("tool_choice")
    if isinstance(choice, dict):
        allowed = choice.get("allowed_tools")
        return allowed is None or bool(allowed["mode"] == "required")
    return bool(choice == "required")


def response_format(tools: list[dict[str, Any]], *, deployment: str) -> dict[str, Any]:
    """The format of an answer that is a call of one of these tools."""
    calls, definitions = [], {}
    for index, tool in enumerate(tools):
        function = tool["function"]
        parameters = function.get("parameters") or EMPTY
        where = f"{function['name']}.parameters"
        definitions[f"f{index}"] = gbnf.fitted(
            parameters, where, deployment=deployment, root=f"#/$defs/f{index}"
        )
        calls.append(
            {
                "type": "object",
                "properties": {
                    "name": {"const": function["name"]},
                    "arguments": {"$ref": f"#/$defs/f{index}"},
                },
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema = {"anyOf": calls, "$defs": definitions}
    return {"type": "json_schema", "json_schema": {"name": "call", "schema": schema}}


def turn_back_call(answer: bytes) -> bytes:
    """A whole answer with the call that its content is; raises ValueError where it is no JSON object."""
    value = _decode_object(answer)
    for choice, message in texts(value, "message"):
        reader = _Reader()
        arguments = reader.feed(message["content"])
        message["content"] = None
        if reader.name is not None:
            message["tool_calls"] = [
                {
                    "id": _call_id(value),
                    "type": "function",
                    "function": {"name": reader.name, "arguments": arguments},
                }
            ]
        _end(choice, reader)
    return _encode(value)


def _call_id(answer: dict[str, Any]) -> str:
    """An id that is no other answer's."""
    return f"call_{str(answer.get('id') or '').rpartition('-')[2]}"


class _Reader:
    """Reads the text of a call, piece by piece."""

    def __init__(self) -> None:
        self.name: str | None = None
        self.ended = False
        self._begun = False
        self._head = ""
        self._depth = 0
        self._quoted = False
        self._escaped = False

    def feed(self, text: str) -> str:
        """What of the arguments came with this piece."""
        if self.name is None:
            self._head += text
            head = _HEAD.match(self._head)
            if head is None:
                return ""
            self.name = json.loads(head[1])
            text = self._head[head.end() :]
        if self.ended:
            return ""
        if not self._begun:
            # A piece of space alone is no JSON that clients could read as far as it has come.
            text = text.lstrip()
            self._begun = bool(text)
        for at, char in enumerate(text):
            if self._quoted:
                self._quoted = self._escaped or char != '"'
                self._escaped = char == "\\" and not self._escaped
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if self._depth <= 0:
                    self.ended = True
                    return text[: at + 1]
        return text


def _end(choice: dict[str, Any], reader: _Reader) -> None:
    if choice.get("finish_reason") == "stop" and reader.ended:
        choice["finish_reason"] = "tool_calls"


class CallTap(ChatTap):
    """A tap that sees a stream as it would be, had the target called the tool by itself."""

    __slots__ = ("_begun", "_reader")

    def _begin(self, turn: Turn) -> None:
        super()._begin(turn)
        self._reader = _Reader()
        self._begun = False

    def feed(self, data: bytes) -> bytes | None:
        """What goes to the client of one event."""
        turned = self._turned(data)
        return None if turned is None else super().feed(turned)

    def _turned(self, data: bytes) -> bytes | None:
        try:
            chunk = _decode(data)
        except ValueError:
            return data
        found = list(texts(chunk, "delta"))
        for choice, delta in found:
            self._turn(choice, delta, chunk)
        if not found:
            return data
        silent = not any(delta or choice.get("finish_reason") for choice, delta in found)
        return None if silent and not chunk.get("usage") else _encode(chunk)

    def _turn(self, choice: dict[str, Any], delta: dict[str, Any], chunk: dict[str, Any]) -> None:
        piece = self._reader.feed(delta.pop("content"))
        if delta.get("role"):
            delta["content"] = None
        if self._reader.name is not None and not self._begun:
            self._begun = True
            function = {"name": self._reader.name, "arguments": piece}
            delta["tool_calls"] = [
                {"index": 0, "id": _call_id(chunk), "type": "function", "function": function}
            ]
        elif piece:
            delta["tool_calls"] = [{"index": 0, "function": {"arguments": piece}}]
        _end(choice, self._reader)
