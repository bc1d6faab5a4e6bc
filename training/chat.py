"""Decide how a conversation becomes text: the message types and the chat template.

The Jinja template goes into the GGUF file and `render` must agree with it to the byte; `evaluate.py --template`
compares the two.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

START = "<|im_start|>"
END = "<|im_end|>"
PAD = "<|endoftext|>"
CALL_OPEN = "<tool_call>"
CALL_CLOSE = "</tool_call>"
TOOLS_OPEN = "<tools>"
TOOLS_CLOSE = "</tools>"
SPECIALS = (PAD, START, END)
MARKERS = (CALL_OPEN, CALL_CLOSE, TOOLS_OPEN, TOOLS_CLOSE)

TOOL_RULE = 'To call a tool, write:\n<tool_call>\n{"name": NAME, "arguments": {...}}\n</tool_call>'

TEMPLATE = """\
{%- set start = 0 -%}
{%- if tools -%}
{{- '<|im_start|>system\\n' -}}
{%- if messages[0].role in ['system', 'developer'] -%}
{%- set start = 1 -%}
{{- messages[0].content + '\\n\\n' -}}
{%- endif -%}
{{- '<tools>\\n' -}}
{%- for tool in tools -%}
{{- (tool.function | tojson) + '\\n' -}}
{%- endfor -%}
{{- '</tools>\\nTo call a tool, write:\\n<tool_call>\\n{"name": NAME, "arguments": {...}}\\n</tool_call><|im_end|>\\n' -}}
{%- endif -%}
{%- for message in messages[start:] -%}
{%- if message.role == 'developer' -%}
{{- '<|im_start|>system\\n' -}}
{%- else -%}
{{- '<|im_start|>' + message.role + '\\n' -}}
{%- endif -%}
{%- if message.content -%}{{- message.content -}}{%- endif -%}
{%- if message.role == 'assistant' and message.tool_calls -%}
{%- for call in message.tool_calls -%}
{%- if message.content or not loop.first -%}{{- '\\n' -}}{%- endif -%}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' -}}
{%- if call.function.arguments is string -%}
{{- call.function.arguments -}}
{%- else -%}
{{- call.function.arguments | tojson -}}
{%- endif -%}
{{- '}\\n</tool_call>' -}}
{%- endfor -%}
{%- endif -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}
"""


@dataclass(slots=True)
class Message:
    """One turn; `calls` holds (tool name, arguments) pairs of an assistant turn."""

    role: str
    content: str = ""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)


@dataclass(slots=True)
class Conversation:
    """A sample: the turns, the tools which were offered, and the skill it belongs to."""

    messages: list[Message]
    tools: list[dict[str, Any]] = field(default_factory=list)
    skill: str = ""


def dumps(value: object) -> str:
    """Write JSON as the template engine does: one line, no ASCII escapes."""
    return json.dumps(value, ensure_ascii=False)


def user(text: str) -> Message:
    """Make a user turn."""
    return Message("user", text)


def reply(text: str) -> Message:
    """Make an assistant turn."""
    return Message("assistant", text)


def _body(message: Message) -> str:
    calls = [
        f'{CALL_OPEN}\n{{"name": "{name}", "arguments": {dumps(arguments)}}}\n{CALL_CLOSE}'
        for name, arguments in message.calls
    ]
    return "\n".join(([message.content] if message.content else []) + calls)


def render(conversation: Conversation) -> list[tuple[str, bool]]:
    """Give the text in pieces, each with whether the assistant wrote it (and training should count it fully)."""
    pieces: list[tuple[str, bool]] = []
    messages = conversation.messages
    if conversation.tools:
        text = START + "system\n"
        if messages[0].role in ("system", "developer"):
            text += messages[0].content + "\n\n"
            messages = messages[1:]
        listed = "".join(dumps(tool["function"]) + "\n" for tool in conversation.tools)
        pieces.append((f"{text}{TOOLS_OPEN}\n{listed}{TOOLS_CLOSE}\n{TOOL_RULE}{END}\n", False))
    for message in messages:
        role = "system" if message.role == "developer" else message.role
        if message.role == "assistant":
            pieces += [(f"{START}assistant\n", False), (_body(message) + END, True), ("\n", False)]
        else:
            pieces.append((f"{START}{role}\n{message.content}{END}\n", False))
    return pieces
