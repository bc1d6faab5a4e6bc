"""Every closed rule of a preset that ships, each in a preset that lacks it or has it otherwise; and which rows it can reach.

    rules_of(base) --> Rule: its name, as "chat.stop reject", "chat.top_p range.max" or "chat.id answer"
    without, turned --> a preset's tables on top of the base: the rule dropped, or changed so that what was right is not
    Watched        --> a subject that notes what its rows send and read, so that a rule is tried on the rows it reaches

A rule is closed that refuses or changes anything; one that only accepts is open.
"""

import json
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from conformancehouse import MODELS
from ingot.conformance import Subject
from ingot.conformance.wire import Answer, Json
from ingot.presets.named import CHECKS

SURFACES = {"chat": "chat", "responses": "responses", "messages": "messages", "batches": "responses"}
"""By the first step of a path: whose rules count there."""

Tables = dict[str, dict[str, dict[str, Any]]]

NUMBER = (int, float)
_REACHED: dict[str, Callable[[Any, Any], bool]] = {
    "reject": lambda _, held: held is not None,
    "drop": lambda _, held: held is not None,
    "becomes": lambda _, held: held is not None,
    "require": lambda _, held: held is None,
    "default": lambda _, held: held is None,
    "one_of": lambda values, held: held is not None and held not in values,
    "max_len": lambda most, held: isinstance(held, str) and len(held) > most,
    "check": lambda name, held: held is not None and CHECKS[name](held) is not None,
    "range.min": lambda low, held: type(held) in NUMBER and held < low,
    "range.max": lambda high, held: type(held) in NUMBER and held > high,
}
"""By verb, from what it says and from the value of a field: whether the two have to do with each other."""


@dataclass(frozen=True)
class Rule:
    """One verb of one key of a surface; `row` holds the verbs beside it, `others` the rows that this key has besides."""

    surface: str
    key: str
    verb: str
    said: Any
    row: Json = field(default_factory=dict)
    others: tuple[Json, ...] = ()

    @property
    def name(self) -> str:
        """In a table."""
        return f"{self.surface}.{self.key} {self.verb}{f' {self.said}' if self.verb == 'check' else ''}"

    @property
    def of_answers(self) -> bool:
        """Whether it changes answers, not requests."""
        return self.verb == "answer"

    def without(self) -> Tables:
        """The tables of a preset that lacks the rule."""
        if self.of_answers:
            return {"answers": {self.surface: {self.key: "accept"}}}
        verb, _, bound = self.verb.partition(".")
        rest = {name: said for name, said in self.row.items() if name != verb}
        if bound and len(self.row[verb]) > 1:
            rest[verb] = {name: said for name, said in self.row[verb].items() if name != bound}
        rows = [*self.others, *([rest] if rest.keys() - {"note", "when"} else [])]
        return {"fields": {self.surface: {self.key: rows or "accept"}}}

    def turned(self, base: str) -> Tables:
        """Those of one that has it otherwise: a default for what must be given, a narrower bound, a field not there, or there."""
        if self.of_answers:
            told: Any = {"default": "x"} if self.said == "drop" else "drop"
            if isinstance(self.said, dict) and "prefix" in self.said:
                told = {"prefix": "other-"}
            place = self.key.replace("*", "extra")
            return {"answers": {self.surface: {place: told}}}
        if self.verb == "require":
            given = {"model": MODELS[base][0], "max_tokens": 16, "input": "Hello."}
            default = given.get(self.key, [{"role": "user", "content": "Hello."}])
            rest = {name: said for name, said in self.row.items() if name not in {"require", "note"}}
            return {"fields": {self.surface: {self.key: [{**rest, "default": default}, *self.others]}}}
        bounds = dict(self.row["range"])
        bound = self.verb.partition(".")[2]
        bounds[bound] += 1 if bound == "min" else -1
        return {"fields": {self.surface: {self.key: {**self.row, "range": bounds}}}}

    def reaches(self, watched: "Watched", *, turned: bool = False) -> bool:
        """Whether what was sent, or read, has to do with the rule."""
        if self.of_answers:
            return self.surface in watched.read
        test = _REACHED[self.verb]
        if turned and self.verb != "require":
            test = _REACHED["reject"]
        return any(test(self.said, body.get(self.key)) for body in watched.sent.get(self.surface, ()))


def rules_of(base: str) -> Iterator[Rule]:
    """The closed rules of a preset, with those of what it extends."""
    tree = _tree(base)
    for surface, table in tree.get("fields", {}).items():
        for name, told in table.items():
            rows = [_whole(row) for row in (told if isinstance(told, list) else [told])]
            for place, row in enumerate(rows):
                others = (*rows[:place], *rows[place + 1 :])
                for verb, said in _verbs(row):
                    yield Rule(surface, name, verb, said, row, others)
    for surface, table in tree.get("answers", {}).items():
        for name, told in table.items():
            if told != "accept":
                yield Rule(surface, name, "answer", told)


def _verbs(row: Json) -> Iterator[tuple[str, Any]]:
    for verb, said in row.items():
        if verb == "range":
            yield from ((f"range.{bound}", at) for bound, at in said.items())
        elif verb in _REACHED:
            yield verb, said


def _whole(row: str | Json) -> Json:
    return {row: True} if isinstance(row, str) else row


def _tree(name: str) -> Json:
    tree = tomllib.loads(resources.files("ingot.presets").joinpath(f"{name}.toml").read_text())
    below = _tree(tree["extends"]) if "extends" in tree else {}
    return {
        section: {
            surface: {**below.get(section, {}).get(surface, {}), **tree.get(section, {}).get(surface, {})}
            for surface in {**below.get(section, {}), **tree.get(section, {})}
        }
        for section in ("fields", "answers")
    }


def toml(name: str, base: str, tables: Tables) -> str:
    """The preset of a configuration that has these tables."""
    lines = [f"[presets.{name}]", f"extends = {_inline(base)}"]
    for section, surfaces in tables.items():
        for surface, table in surfaces.items():
            lines.append(f"[presets.{name}.{section}.{surface}]")
            lines += [f"{_inline(key)} = {_inline(said)}" for key, said in table.items()]
    return "\n".join(lines)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{_inline(key)} = {_inline(said)}" for key, said in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value)


@dataclass
class Watched(Subject):
    """Notes, by surface, the bodies that are sent, and of which surfaces an answer is read, not only its status."""

    sent: dict[str, list[Json]] = field(default_factory=dict)
    read: set[str] = field(default_factory=set)

    async def call(self, method: str, path: str, body: object = None, **more: Any) -> Answer:
        """One exchange."""
        surface = SURFACES.get(path.split("/")[1].partition("?")[0], "")
        # An empty body only asks whether the surface is there.
        bodies = [body] if isinstance(body, dict) and body else []
        if path == "/batches":
            bodies = [entry.get("params", {}) for each in bodies for entry in each.get("requests", [])[:1]]
        self.sent.setdefault(surface, []).extend(bodies)
        found = await super().call(method, path, body, **more)
        if found.status >= 300:  # an error has no rules on answers
            return found
        return _Read(found.status, found.headers, found.body, lambda: self.read.add(surface))


@dataclass(frozen=True)
class _Read(Answer):
    """An answer that tells when its body is looked at."""

    tell: Callable[[], object] = bool

    def __getattribute__(self, name: str) -> Any:
        """Any of what comes of the body."""
        if name in {"body", "value", "chunks", "events"}:
            object.__getattribute__(self, "tell")()
        return super().__getattribute__(name)
