"""Names of tools that a target's dialect does not allow: sent in its letters, and told to the client as it wrote them.

    "files.read"  --plain_names-->  "files_2e_read"  --target--> a call of "files_2e_read"  --ToolNames-->  a call of "files.read"

Chat servers take any name, or refuse it themselves: only targets of messages and responses have letters of their own, each
the same ones. Equal names stay equal and others different, also beside a tool that has such a name already.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ingot.canonical import (
    AllowedTools,
    Answer,
    AnyTool,
    CustomTool,
    FunctionTool,
    NamedTool,
    NativeChoice,
    Output,
    Request,
    ToolCall,
    Turn,
)
from ingot.canonical.request import ToolChoice
from ingot.dialects.codecs.messages.block_writer import call_id
from ingot.events import AnyEvent, PartStarted

LONGEST: Final = 128
_TAKEN: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{LONGEST}}}")
_STRICT: Final = frozenset({"messages", "responses"})


class ToolNames(Struct, frozen=True):
    """The client's names by those that its target was sent."""

    own: Mapping[str, str]

    def answer(self, answer: Answer) -> Answer:
        """The answer with the client's names."""
        return replace(answer, outputs=tuple([self._output(output) for output in answer.outputs]))

    def event(self, event: AnyEvent) -> AnyEvent:
        """The event with the client's name, where it tells one."""
        if isinstance(event, PartStarted) and isinstance(event.value, ToolCall):
            return replace(event, value=_called(event.value, self.own))
        return event

    def _output(self, output: Output) -> Output:
        parts = [_called(part, self.own) if isinstance(part, ToolCall) else part for part in output.parts]
        return replace(output, parts=tuple(parts))


def plain_names(request: Request, spoken: str) -> tuple[Request, ToolNames | None]:
    """The request with names that a target which speaks `spoken` takes, and what turns them back; None where all are such."""
    if spoken not in _STRICT or request.origin == spoken:
        return request, None
    names = dict.fromkeys(_names(request))
    sent = {name: "" for name in names if not _TAKEN.fullmatch(name)}
    if not sent:
        return request, None
    used = names.keys() - sent.keys()
    for name in sent:
        found = plain = call_id(name)[:LONGEST]
        number = 1
        while found in used:
            number += 1
            found = f"{plain[: LONGEST - 12]}_{number}"
        used.add(found)
        sent[name] = found
    renamed = replace(
        request,
        tools=tuple([_tool(tool, sent) for tool in request.tools]),
        tool_choice=_choice(request.tool_choice, sent),
        turns=tuple([_turn(turn, sent) for turn in request.turns]),
    )
    return renamed, ToolNames({plain: name for name, plain in sent.items()})


def _names(request: Request) -> Iterator[str]:
    for tool in request.tools:
        if isinstance(tool, FunctionTool | CustomTool):
            yield tool.name
    choice = request.tool_choice
    for each in choice.tools if isinstance(choice, AllowedTools) else (choice,):
        if isinstance(each, NamedTool):
            yield each.name
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall):
                yield part.name


def _tool(tool: AnyTool, names: Mapping[str, str]) -> AnyTool:
    if isinstance(tool, FunctionTool | CustomTool) and tool.name in names:
        return replace(tool, name=names[tool.name])
    return tool


def _choice(choice: ToolChoice | None, names: Mapping[str, str]) -> ToolChoice | None:
    if isinstance(choice, AllowedTools):
        return replace(choice, tools=tuple([_named(each, names) for each in choice.tools]))
    return _named(choice, names) if isinstance(choice, NamedTool) else choice


def _named(choice: NamedTool | NativeChoice, names: Mapping[str, str]) -> NamedTool | NativeChoice:
    if isinstance(choice, NamedTool) and choice.name in names:
        return replace(choice, name=names[choice.name])
    return choice


def _turn(turn: Turn, names: Mapping[str, str]) -> Turn:
    parts = [_called(part, names) if isinstance(part, ToolCall) else part for part in turn.parts]
    return replace(turn, parts=tuple(parts))


def _called(call: ToolCall, names: Mapping[str, str]) -> ToolCall:
    name = names.get(call.name)
    return call if name is None else replace(call, name=name)
