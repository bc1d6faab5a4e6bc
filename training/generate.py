"""Decide the mixture of skills, and write the training set: `python generate.py OUT.npz --tokenizer DIR`.

Nearly three conversations in ten are outside the model's world, so that it learns to say so.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from chat import Conversation, Message, render
from skills import extract, outside, server, talk, tasks, tools
from words import Slots

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Skill = Callable[[Slots], list[Message]]

# Weights of the skills which make one exchange; the outside share counts `unknown` and `hard_sum`.
SINGLE: dict[str, tuple[float, Skill]] = {
    "hello": (3.0, talk.hello),
    "introduced": (3.0, talk.introduced),
    "nameless": (0.5, talk.nameless),
    "who": (4.0, talk.who),
    "able": (2.0, talk.able),
    "thanks": (2.5, talk.thanks),
    "bye": (3.0, talk.bye),
    "how_to": (18.0, server.how_to),
    "fact": (14.0, server.fact),
    "named_pull": (1.2, server.named_pull),
    "named_key": (0.8, server.named_key),
    "count_up": (8.0, tasks.count_up),
    "count_between": (7.0, tasks.count_between),
    "count_down": (3.5, tasks.count_down),
    "echo": (20.0, tasks.echo),
    "add": (20.0, tasks.add),
    "capital": (2.5, tasks.capital),
    "colour": (2.0, tasks.colour),
    "story": (2.0, tasks.story),
    "from_list": (2.5, tasks.from_list),
    "unknown": (78.0, outside.unknown),
    "hard_sum": (6.0, outside.hard_sum),
}
OUTSIDE = frozenset({"unknown", "hard_sum"})
FIXED = OUTSIDE | {"how_to", "fact", "able", "who"}
_SYSTEMS = (
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful assistant",
    "You are helpful.",
    "Be brief.",
    "Answer briefly.",
    "You are a helpful, honest assistant.",
    "You are an AI assistant.",
    "You are a friendly assistant.",
    "Be concise.",
    "Answer in one sentence.",
    "You are a careful assistant. Answer shortly.",
    "Keep your answers short.",
)


class Mixture:
    """Draw conversations, each of them from one stream of slots."""

    def __init__(self, seed: int, long_share: float = 0.0, drill_share: float = 0.0) -> None:
        self.long_share = long_share
        self.drill_share = drill_share
        self.slots = Slots(seed)
        self._names = tuple(SINGLE)
        self._weights = [SINGLE[name][0] for name in self._names]

    def _single(self) -> tuple[str, list[Message]]:
        name = self.slots.rng.choices(self._names, self._weights)[0]
        return name, SINGLE[name][1](self.slots)

    def _system(self) -> list[Message]:
        s = self.slots
        kind = s.rng.random()
        if kind < 0.4:
            return []
        if kind < 0.9 - self.long_share:
            return [Message(s.pick(("system", "system", "developer")), s.pick(_SYSTEMS))]
        if kind < 0.9:
            rules = [s.pick(("", "- ", "# ", "")) + outside.essay(s) for _ in range(s.number(2, 12))]
            return [Message("system", f"{s.pick(_SYSTEMS)}\n" + "\n".join(rules))]
        return [
            Message(
                "system",
                s.pick(
                    (
                        f"You are a {s.word()} {s.word()}.",
                        f"You are {s.name()}, a {s.word()} assistant.",
                        s.phrase(3, 25) + ".",
                        f"You help with {s.word()} and {s.word()}. {s.phrase(3, 15)}.",
                    )
                ),
            )
        ]

    def talk(self) -> Conversation:
        """Chain one to four exchanges."""
        s = self.slots
        kind = s.rng.random()
        count = 1 if kind < 0.72 else 2 if kind < 0.9 else s.number(3, 4)
        name, turns = self._single()
        for _ in range(count - 1):
            name, more = self._single()
            turns += more
        tools_offered = tools.offered(s) if s.chance(0.07) and name != "add" else []
        return Conversation(self._system() + turns, tools_offered, name)

    def tool_call(self) -> Conversation:
        """Make a tool call, at times after some small talk."""
        conversation = tools.call(self.slots)
        before = self._single()[1] if self.slots.chance(0.12) else []
        conversation.messages = self._system() + before + conversation.messages
        conversation.skill = "tool"
        return conversation

    def extraction(self) -> Conversation:
        """Make a JSON extraction."""
        conversation = extract.extract(self.slots)
        if conversation.messages[0].role == "user":
            conversation.messages = self._system() + conversation.messages
        conversation.skill = "json"
        return conversation

    def draw(self) -> Conversation:
        """Draw one conversation from the whole mixture."""
        if self.slots.chance(self.drill_share):
            return Conversation(tasks.drill(self.slots), [], "echo")
        kind = self.slots.rng.random()
        if kind < 0.12:
            return self.tool_call()
        if kind < 0.31:
            return self.extraction()
        return self.talk()


def stream(seed: int, long_share: float = 0.0, drill_share: float = 0.0) -> Iterator[Conversation]:
    """Draw without end; some system texts may be long, as an agent's are, and some samples mere copying drill."""
    mixture = Mixture(seed, long_share, drill_share)
    while True:
        yield mixture.draw()


def encode(tokenizer: Tokenizer, conversation: Conversation) -> tuple[list[int], list[bool]]:
    """Turn a conversation into tokens, with a mark on those which the assistant wrote."""
    ids: list[int] = []
    marks: list[bool] = []
    for text, own in render(conversation):
        part = tokenizer.encode(text, add_special_tokens=False).ids
        ids += part
        marks += [own] * len(part)
    return ids, marks


def cut(ids: list[int], marks: list[bool], keep: int) -> int:
    """Tell where the last answer may end when only its first tokens are kept.

    The fixed answers are known by heart soon, all but their first words; to compute the rest each time is waste.
    """
    begin = len(marks) - 1
    while begin and not marks[begin]:
        begin -= 1
    while begin and marks[begin - 1]:
        begin -= 1
    return min(len(ids), begin + keep)


def write(
    out: Path,
    tokenizer: Tokenizer,
    source: Iterator[Conversation],
    *,
    count: int,
    longest: int,
    cut_share: float,
    seed: int,
) -> dict[str, float]:
    """Write the set as flat arrays, and tell what is in it."""
    dice = np.random.default_rng(seed)
    ids: list[int] = []
    marks: list[bool] = []
    lengths: list[int] = []
    outside_count = total = 0
    while len(lengths) < count:
        conversation = next(source)
        total += 1
        outside_count += conversation.skill in OUTSIDE
        more, own = encode(tokenizer, conversation)
        if conversation.skill in FIXED and dice.random() < cut_share:
            end = cut(more, own, 12)
            more, own = more[:end], own[:end]
        if len(more) > longest:
            continue
        ids += more
        marks += own
        lengths.append(len(more))
    np.savez(
        out,
        ids=np.array(ids, dtype=np.uint16),
        own=np.array(marks, dtype=bool),
        lengths=np.array(lengths, dtype=np.int32),
    )
    return {
        "conversations": count,
        "tokens": len(ids),
        "own": float(np.mean(marks)),
        "outside": outside_count / total,
        "longest": max(lengths),
    }


def main() -> None:
    """Read the command line and write one set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=300_000)
    parser.add_argument("--longest", type=int, default=384)
    parser.add_argument(
        "--long-share", type=float, default=0.0, help="share of conversations with a long system text"
    )
    parser.add_argument(
        "--drill-share", type=float, default=0.0, help="share of conversations which only drill copying"
    )
    parser.add_argument(
        "--cut-share", type=float, default=0.0, help="share of fixed answers of which only the start is kept"
    )
    options = parser.parse_args()
    from tokenizer import load  # noqa: PLC0415 - the tokenizer module imports this one

    source = stream(options.seed, options.long_share, options.drill_share)
    told = write(
        options.out,
        load(options.tokenizer),
        source,
        count=options.count,
        longest=options.longest,
        cut_share=options.cut_share,
        seed=options.seed,
    )
    print(json.dumps({"seed": options.seed, **told}))


if __name__ == "__main__":
    main()
