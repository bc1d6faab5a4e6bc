"""A coding agent's conversation of forty turns, told in each dialect: thoughts, parallel calls, results, images.

One story, three tellers. A turn is the user's or the assistant's: results of tools are the user's.
"""

import json
from dataclasses import dataclass
from typing import Any

from pairs.told import counts
from pairs.words import CITY, DATA, IMAGE, Json, function, said, text, user

SYSTEM = "You mend code. Look before you edit, and run the tests after each change."
TASK = "The report shows the wrong total for negative refunds, see the picture. Mend it, please."
_PATH: Json = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
_EDIT: Json = {
    "type": "object",
    "properties": {"path": {"type": "string"}, "old": {"type": "string"}, "new": {"type": "string"}},
    "required": ["path", "old", "new"],
}
_RUN: Json = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
TOOLS = {
    "read": ("Reads a file.", _PATH),
    "edit": ("Replaces a text in a file.", _EDIT),
    "run": ("Runs a command.", _RUN),
    "screenshot": ("Shows a page.", CITY),
}


@dataclass(frozen=True, slots=True)
class Call:
    """A call and what came of it; `picture`: an image came with it. `failed`: the tool says so."""

    name: str
    given: Json
    result: str
    picture: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """What the assistant thinks, says and calls; without calls the user answers `reply`."""

    thought: str
    words: str
    calls: tuple[Call, ...] = ()
    reply: str = ""


def read(path: str, result: str) -> Call:
    """A file that is read."""
    return Call("read", {"path": path}, result)


def edit(path: str, old: str, new: str, *, result: str = "Done.", failed: bool = False) -> Call:
    """A text that is replaced."""
    return Call("edit", {"path": path, "old": old, "new": new}, result, failed=failed)


def run(command: str, result: str, *, failed: bool = False) -> Call:
    """A command."""
    return Call("run", {"command": command}, result, failed=failed)


STORY = (
    Step(
        "The picture shows 110 where 90 is right. Who adds up?",
        "I look at the report and its tests.",
        (
            read("report.py", "from money import total\n\ndef page(rows):\n    return f'{total(rows)} €'\n"),
            read("test_report.py", "def test_page_when_empty():\n    assert page([]) == '0 €'\n"),
            run("ls -1", "money.py\nreport.py\ntest_report.py\n"),
        ),
    ),
    Step("It is `total`.", "", (read("money.py", 'def total(rows):\n\t"""Σ of all."""\n\treturn sum(map(abs, rows))\n'),)),
    Step("abs() is the fault: -10 counts as 10.", "`abs` makes refunds positive. May I take it out?", reply="Yes, but keep the old behaviour behind a flag."),
    Step("A keyword with a default.", "Then I look who calls it.", (run("grep -rn 'total(' .", "./report.py:4\n./money.py:1\n"), read("setup.cfg", "[flake8]\nmax-line-length = 88\n"))),
    Step("", "First a test that fails.", (edit("test_report.py", "'0 €'\n", "'0 €'\n\ndef test_page_when_refunded():\n    assert page([100, -10]) == '90 €'\n"),)),
    Step("", "", (run("pytest -q", "1 failed, 1 passed\nE  AssertionError: assert '110 €' == '90 €'", failed=True),)),
    Step("Red, as it should be.", "Now the change.", (edit("money.py", "def total(rows):", "def total(rows, *, absolute=False):"), edit("money.py", "sum(map(abs, rows))", "sum(map(abs, rows) if absolute else rows)"))),
    Step("", "", (run("pytest -q", "2 passed\n"), run("flake8", "./money.py:3:1: W191 indentation contains tabs\n", failed=True))),
    Step("Tabs were there before.", "Green. flake8 complains about tabs that were there before me. Shall I mend them too?", reply="Please do."),
    Step("", "", (edit("money.py", "\t", "    ", result="No such text: found 2 of them, say which.", failed=True),)),
    Step("Once for each line, then.", "", (edit("money.py", '\t"""', '    """'), edit("money.py", "\treturn", "    return"))),
    Step("", "", (run("flake8 && pytest -q", "2 passed\n"),)),
    Step("And how does it look?", "I look at the page.", (Call("screenshot", {"city": "Zürich 🏔"}, "The page:", picture=True),)),
    Step("90 €, but the euro sign hangs off.", "The total is right. The sign should be joined by a narrow space.", reply="Good eye. U+202F, as in our style guide."),
    Step("", "", (edit("report.py", "{total(rows)} €", "{total(rows)}\u202f€"), edit("test_report.py", "90 €", "90\u202f€"), edit("test_report.py", "0 €'", "0\u202f€'"))),
    Step("The second edit hit '90 €' only, the third '0 €'. Check.", "", (run("pytest -q", "2 passed\n"), read("test_report.py", "…'0\u202f€'…'90\u202f€'…"))),
    Step("", "", (Call("screenshot", {"city": "Zürich 🏔"}, "", picture=True),)),
    Step("Looks right.", "Both are right now. Shall I write a line for the changelog?", reply='Yes: "Refunds lower the total".'),
    Step("", "", (edit("CHANGELOG.md", "## Unreleased\n", "## Unreleased\n\n- Refunds lower the total; `absolute=True` has the old way.\n"),)),
    Step("All is done.", "Done: `total` adds refunds as what they are, with a test; tabs are gone; the euro sign is joined.", reply="Thank you! Now the same for the invoice, please."),
)  # fmt: skip
TURNS = 2 * len(STORY)


def signature(number: int) -> str:
    """What seals the thoughts of a step."""
    return f"EqQBCkYIBxgC{number:02d}=="


def call_ids(number: int, step: Step) -> list[str]:
    """The ids of a step's calls; each dialect may have them."""
    return [f"call_{number}_{index}" for index in range(len(step.calls))]


def chat() -> Json:
    """The conversation as `chat` has it."""
    messages: list[Json] = [
        said("system", SYSTEM),
        user(text(TASK), {"type": "image_url", "image_url": {"url": DATA}}),
    ]
    for number, step in enumerate(STORY):
        ids = call_ids(number, step)
        message: Json = {"role": "assistant", "content": step.words or None}
        if step.thought:
            message["reasoning_content"] = step.thought
        if step.calls:
            message["tool_calls"] = [
                {
                    "id": name,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.dumps(call.given)},
                }
                for name, call in zip(ids, step.calls, strict=True)
            ]
        messages.append(message)
        messages += [
            said("tool", call.result, tool_call_id=name) for name, call in zip(ids, step.calls, strict=True)
        ]
        if step.reply:
            messages.append(user(step.reply))
    tools = [function(name, schema, description=told) for name, (told, schema) in TOOLS.items()]
    return {
        "model": "demo",
        "messages": messages,
        "tools": tools,
        "tool_choice": "auto",
        "reasoning_effort": "medium",
        "max_completion_tokens": 16_000,
    }


def messages() -> Json:
    """The conversation as `messages` has it."""
    told: list[Json] = [user(text(TASK), IMAGE)]
    for number, step in enumerate(STORY):
        ids = call_ids(number, step)
        blocks: list[Json] = []
        if step.thought:
            blocks.append({"type": "thinking", "thinking": step.thought, "signature": signature(number)})
        if step.words:
            blocks.append(text(step.words))
        blocks += [
            {"type": "tool_use", "id": name, "name": call.name, "input": call.given}
            for name, call in zip(ids, step.calls, strict=True)
        ]
        told.append(said("assistant", blocks))
        results = [_result(name, call) for name, call in zip(ids, step.calls, strict=True)]
        told.append(said("user", results or step.reply))
    tools = [
        {"name": name, "description": said_of, "input_schema": schema}
        for name, (said_of, schema) in TOOLS.items()
    ]
    return {
        "model": "demo",
        "max_tokens": 16_000,
        "system": SYSTEM,
        "messages": told,
        "tools": tools,
        "tool_choice": {"type": "auto"},
        "thinking": {"type": "enabled", "budget_tokens": 8192},
    }


def _result(name: str, call: Call) -> Json:
    content: Any = call.result
    if call.picture:
        content = [*([text(call.result)] if call.result else []), IMAGE]
    block: Json = {"type": "tool_result", "tool_use_id": name, "content": content}
    return {**block, "is_error": True} if call.failed else block


def responses() -> Json:
    """The conversation as `responses` has it."""
    picture = {"type": "input_image", "image_url": DATA, "detail": "auto"}
    items: list[Json] = [user(text(TASK, "input_text"), picture)]
    for number, step in enumerate(STORY):
        ids = call_ids(number, step)
        if step.thought:
            summary = [text(step.thought, "summary_text")]
            items.append(
                {
                    "type": "reasoning",
                    "id": f"rs_{number}",
                    "summary": summary,
                    "encrypted_content": signature(number),
                }
            )
        if step.words:
            items.append(said("assistant", step.words))
        for name, call in zip(ids, step.calls, strict=True):
            items.append(
                {
                    "type": "function_call",
                    "call_id": name,
                    "name": call.name,
                    "arguments": json.dumps(call.given),
                }
            )
        for name, call in zip(ids, step.calls, strict=True):
            shown = [*([text(call.result, "input_text")] if call.result else []), picture]
            items.append(
                {
                    "type": "function_call_output",
                    "call_id": name,
                    "output": shown if call.picture else call.result,
                }
            )
        if step.reply:
            items.append(user(step.reply))
    tools = [
        {"type": "function", "name": name, "description": told, "parameters": schema, "strict": False}
        for name, (told, schema) in TOOLS.items()
    ]
    return {
        "model": "demo",
        "instructions": SYSTEM,
        "input": items,
        "tools": tools,
        "tool_choice": "auto",
        "reasoning": {"effort": "medium"},
        "max_output_tokens": 16_000,
        "store": False,
    }


TALKS: dict[str, Json] = {"chat": chat(), "messages": messages(), "responses": responses()}

_GIVEN = {"path": "invoice.py", "old": 'Σ \\ "x"\n', "new": "ü 😀"}  # fmt: skip
_COMMAND = {"command": "git diff | cat"}
_LAST = "The invoice has its own sum."
ANSWERS: dict[str, Json] = {
    "chat": {
        "id": "chatcmpl-41",
        "object": "chat.completion",
        "created": 1_790_000_001,
        "model": "demo",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "I mend it.",
                    "refusal": None,
                    "reasoning_content": _LAST,
                    "tool_calls": [
                        {
                            "id": f"call_41_{index}",
                            "type": "function",
                            "function": {"name": name, "arguments": json.dumps(given)},
                        }
                        for index, (name, given) in enumerate((("edit", _GIVEN), ("run", _COMMAND)))
                    ],
                },
                "logprobs": None,
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {
            "prompt_tokens": 4000,
            "completion_tokens": 90,
            "total_tokens": 4090,
            "prompt_tokens_details": {"cached_tokens": 3800, "cache_write_tokens": 100},
            "completion_tokens_details": {"reasoning_tokens": 20},
        },
    },
    "messages": {
        "id": "msg_41",
        "type": "message",
        "role": "assistant",
        "model": "demo",
        "content": [
            {"type": "thinking", "thinking": _LAST, "signature": signature(41)},
            text("I mend it."),
            {"type": "tool_use", "id": "call_41_0", "name": "edit", "input": _GIVEN},
            {"type": "tool_use", "id": "call_41_1", "name": "run", "input": _COMMAND},
        ],
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 100,
            "cache_read_input_tokens": 3800,
            "cache_creation_input_tokens": 100,
            "output_tokens": 90,
            "output_tokens_details": {"thinking_tokens": 20},
        },
    },
    "responses": {
        "id": "resp_41",
        "object": "response",
        "created_at": 1_790_000_001,
        "status": "completed",
        "model": "demo",
        "output": [
            {
                "id": "rs_41",
                "type": "reasoning",
                "summary": [text(_LAST, "summary_text")],
                "encrypted_content": signature(41),
            },
            {
                "id": "msg_41",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_text", "text": "I mend it.", "annotations": [], "logprobs": []}],
            },
            *[
                {
                    "id": f"fc_41_{index}",
                    "type": "function_call",
                    "status": "completed",
                    "call_id": f"call_41_{index}",
                    "name": name,
                    "arguments": json.dumps(given),
                }
                for index, (name, given) in enumerate((("edit", _GIVEN), ("run", _COMMAND)))
            ],
        ],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": counts(4000, 90, cached=3800, written=100, thought=20),
    },
}
