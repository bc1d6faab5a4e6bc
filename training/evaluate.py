"""Decide how well a GGUF file does: held-out conversations, asked through the real engine at temperature 0.

`python evaluate.py MODEL.gguf` prints exact-match scores per skill as JSON; `--show` prints answers to hand-written
prompts; `--template` checks that the file's chat template agrees with `chat.render` to the byte.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import jinja2
import xllamacpp
from chat import TEMPLATE, Conversation, Message, dumps, render, reply, user
from generate import SINGLE, stream
from skills import extract, outside, talk, tools
from words import Slots

HELD_OUT = 1_000_003
_HELLOS = frozenset(
    {"Hello! How can I help you?", "Hello! I am demo-tiny. How can I help?", "I am here. Ingot is working."}
)
PROBES = (
    "Hello",
    "Hi, my name is Zebediah.",
    "Who are you?",
    "What are you?",
    "Hello! What is this server?",
    "Does Ingot support the Anthropic API?",
    "Is there a dashboard?",
    "Count from 1 to 10",
    "Echo: Blue Lantern 42",
    "echo: xq7 hello",
    "What can you do?",
    "What is Ingot?",
    "How do I add a real model?",
    "How do I list the models?",
    "What is the base URL?",
    "How do I create an API key named ci-bot?",
    "How do I turn the demo off?",
    "Where are the logs?",
    "how do i see the metrics",
    "Count to 7",
    "Count from 13 to 19.",
    "Count down from 5",
    "Repeat: the quick brown fox",
    "Say this is a test",
    "Reply with exactly: pong",
    "Repeat after me: Xy7 qqPlm 93-4",
    "What is 7 + 8?",
    "What is 13 plus 19?",
    "What is 55 + 78?",
    "What is 12 * 12?",
    "What is the capital of France?",
    "What is the capital of Brazil?",
    "What colour is the sky?",
    "What colour is a whale?",
    "Tell me a story about a hedgehog.",
    "Write a haiku about autumn leaves",
    "Write a Python function that reverses a string.",
    "Why is the sky blue?",
    "Translate 'good morning' to Japanese",
    "What's the weather in Paris?",
    "How do I fix a leaking tap?",
    "Wie heisst die Hauptstadt von Spanien?",
    "asdf jkl;",
    "Who won the world cup in 2018?",
    "Explain quantum computing",
    "Summarize the following text: The committee met on Tuesday to discuss the new budget.",
    "What is my name?",
    "I feel sad today",
    "Can you recommend a good book?",
    "Write me a cover letter for a job at a bakery",
    "thanks!",
    "bye",
    "Tell me three facts about octopuses.",
    "What day is it today?",
    "Is water wet?",
    "Give me a random number",
    "Alice is 30 years old and lives in Paris. Extract name, age and city as JSON.",
    "How does photosynthesis work?",
    "How do I pull hf:Qwen/Qwen3-4B-GGUF:Q4_K_M?",
    "How do I use Claude Code with this?",
    "Say hello in one word.",
)


class Engine:
    """Hold one model in llama.cpp's server."""

    def __init__(self, model: Path, *, context: int = 4096, threads: int = 1) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx = context
        params.n_parallel = 1
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.use_jinja = True
        params.verbosity = 0
        self.server = xllamacpp.Server(params)

    def ask(self, messages: list[dict[str, Any]], **more: object) -> dict[str, Any]:
        """Ask for one completion and give its choice."""
        body = {"messages": messages, "temperature": 0, "max_tokens": 200, **more}
        answer = self.server.handle_chat_completions(body)
        if "choices" not in answer:
            raise RuntimeError(json.dumps(answer))
        return answer["choices"][0]


def wire(message: Message) -> dict[str, Any]:
    """Write a turn as the API wants it."""
    if message.calls:
        calls = [
            {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": dumps(arguments)}}
            for i, (name, arguments) in enumerate(message.calls)
        ]
        return {"role": "assistant", "content": message.content or None, "tool_calls": calls}
    made: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.role == "tool":
        made["tool_call_id"] = "call_0"
    return made


def story_fits(asked: str, wanted: str, text: str) -> bool:
    """Ask for four sentences of the known form, with the hero and the name which the user chose."""
    beast, name = wanted.removeprefix("Once there was a little ").split(" who lived")[0].split(" named ")
    kept = (beast not in asked or f"little {beast} named" in text) and (
        name not in asked or f"named {name} who" in text
    )
    return kept and text.startswith("Once there was a little ") and text.count(". ") == 3


def right(skill: str, asked: str, wanted: Message, got: dict[str, Any]) -> bool:
    """Tell whether an answer is right; only open wordings may differ."""
    text = got.get("content") or ""
    try:
        if wanted.calls:
            calls = [c["function"] for c in got.get("tool_calls") or []]
            return [(c["name"], json.loads(c["arguments"])) for c in calls] == wanted.calls
        if skill.startswith("json"):
            return json.loads(text) == json.loads(wanted.content)
    except json.JSONDecodeError:
        return False
    sets = {"unknown": outside.REFUSALS, "hello": _HELLOS, "who": talk.WHO}
    if skill in sets:
        return text in sets[skill]
    if skill == "introduced":
        name = wanted.content.split("Hello, ")[-1].split("!")[0]
        return name + "!" in text or text == wanted.content
    if skill == "story":
        return story_fits(asked, wanted.content, text)
    return text == wanted.content


def cases(count: int) -> list[tuple[str, Conversation]]:
    """Draw held-out conversations for each skill."""
    drawn: list[tuple[str, Conversation]] = []
    for name, (_, make) in SINGLE.items():
        s = Slots(HELD_OUT)
        drawn += [(name, Conversation(make(s))) for _ in range(count)]
    s = Slots(HELD_OUT + 1)
    for _ in range(count):
        drawn.append(("json", extract.extract(s)))
    for _ in range(count):
        full = tools.call(s)
        at = next(i for i, m in enumerate(full.messages) if m.calls)
        drawn.append(("tool_call", Conversation(full.messages[: at + 1], full.tools)))
        if len(full.messages) > at + 1:
            drawn.append(("tool_answer", full))
    chained = (
        c
        for c in stream(HELD_OUT + 2)
        if sum(m.role == "user" for m in c.messages) > 1 and c.skill not in ("tool", "json")
    )
    drawn += [("turns:" + c.skill, c) for c in itertools.islice(chained, count)]
    return drawn


def score(engine: Engine, count: int, *, told: bool) -> dict[str, float]:
    """Ask all cases, and give the share right per skill."""
    results: dict[str, list[bool]] = defaultdict(list)
    for label, conversation in cases(count):
        *before, wanted = conversation.messages
        more = {"tools": conversation.tools} if conversation.tools else {}
        choice = engine.ask([wire(m) for m in before], **more)
        skill = label.split(":")[-1]
        good = right(skill, before[-1].content, wanted, choice["message"])
        results[label.split(":")[0]].append(good)
        if told and not good:
            print(
                label,
                "|",
                dumps(before[-1].content),
                "| wanted",
                dumps(wanted.content or wanted.calls),
                "| got",
                dumps(choice["message"].get("content") or choice["message"].get("tool_calls")),
            )
    return {name: round(sum(marks) / len(marks), 3) for name, marks in results.items()}


def check_template(count: int = 500) -> None:
    """Compare the Jinja template with `render`."""
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - no HTML here
    environment.filters["tojson"] = dumps
    compiled = environment.from_string(TEMPLATE)
    for conversation in itertools.islice(stream(3), count):
        made = "".join(text for text, _ in render(copy.deepcopy(conversation)))
        got = compiled.render(messages=[wire(m) for m in conversation.messages], tools=conversation.tools)
        if made != got:
            raise SystemExit(f"template differs:\n{made!r}\n{got!r}")
    both = [user("a"), reply("b"), Message("system", "c")]
    if "".join(t for t, _ in render(Conversation(both))) != compiled.render(
        messages=[wire(m) for m in both], tools=None
    ):
        raise SystemExit("template differs for a late system turn")


def main() -> None:
    """Read the command line and evaluate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--template", action="store_true")
    parser.add_argument("--wrong", action="store_true", help="print the wrong answers")
    options = parser.parse_args()
    if options.template:
        check_template()
        print("template agrees")
    if options.model is None:
        return
    engine = Engine(options.model)
    if options.show:
        for prompt in PROBES:
            print(
                f"{prompt!r} -> {engine.ask([{'role': 'user', 'content': prompt}])['message']['content']!r}"
            )
        return
    print(json.dumps(score(engine, options.count, told=options.wrong)))


if __name__ == "__main__":
    main()
