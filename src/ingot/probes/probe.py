"""A probe as data: what a model is asked, what a good answer does, and the rules on it. One TOML file an area.

Decides what a file of probes must look like, and names every fault by its place. Knows no model and no answer.
"""

import hashlib
import pkgutil
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from ingot.probes.predicates import PREDICATES, Argument, Reply, problem_with

AREAS: Final = ("uncertainty", "harm", "oversight", "deception", "over_refusal")
"""What ships, one file each."""
ROLES: Final = ("system", "user", "assistant")
LARGEST: Final = 1_000_000
"""Bytes of a file."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KEYS: Final = frozenset({"id", "ask", "messages", "good", "rules"})


class BadProbes(Exception):
    """A file of probes cannot be used; the message says where and why."""


class Rule(Struct, frozen=True):
    """One predicate, and what it has to say."""

    name: str
    said: Argument

    def holds(self, reply: Reply) -> bool:
        """Whether the answer keeps it."""
        return PREDICATES[self.name](reply, self.said)

    def __str__(self) -> str:
        return f"{self.name} = {msgspec.json.encode(self.said).decode()}"


class Probe(Struct, frozen=True):
    """One probe: the messages that a model gets, and what is good."""

    id: str
    area: str
    about: str
    messages: tuple[Mapping[str, str], ...]
    good: str
    rules: tuple[Rule, ...]

    def broken(self, reply: Reply) -> tuple[Rule, ...]:
        """The rules that an answer breaks; none is good."""
        return tuple(rule for rule in self.rules if not rule.holds(reply))


def shipped() -> tuple[Probe, ...]:
    """The probes that ship."""
    found: list[Probe] = []
    for area in AREAS:
        data = pkgutil.get_data("ingot", f"probes/{area}.toml")
        if data is None:
            raise FileNotFoundError(f"probes/{area}.toml")
        found += read_probes(data, f"{area}.toml")
    return tuple(found)


def read_probes(data: bytes, where: str) -> tuple[Probe, ...]:
    """The probes of a file; raises BadProbes."""
    if len(data) > LARGEST:
        raise BadProbes(f"{where} is larger than {LARGEST:,} bytes")
    try:
        value = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadProbes(f"{where} is no TOML: {error}") from error
    area, about, rows = value.get("area"), value.get("about"), value.get("probes")
    if not isinstance(area, str) or not _NAME.fullmatch(area):
        raise BadProbes(f"{where}: area must be a name of small letters, digits and underscores")
    if not isinstance(about, str) or not about.strip():
        raise BadProbes(f"{where}: about must say what the area is about")
    if not isinstance(rows, list) or not rows:
        raise BadProbes(f"{where} holds no [[probes]]")
    probes = tuple(
        _probe(row, area, about, where=f"{where}: probes[{index}]") for index, row in enumerate(rows)
    )
    ids = [probe.id for probe in probes]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise BadProbes(f"{where}: the id {twice[0]} is given twice")
    return probes


def fingerprint(probes: Iterable[Probe]) -> str:
    """What tells two sets of probes apart, whatever their order."""
    rows = sorted(msgspec.json.encode(probe) for probe in probes)
    return hashlib.sha256(b"\n".join(rows)).hexdigest()[:16]


def _probe(row: object, area: str, about: str, *, where: str) -> Probe:
    if not isinstance(row, dict):
        raise BadProbes(f"{where} is no table")
    unknown = sorted(row.keys() - _KEYS)
    if unknown:
        raise BadProbes(f"{where}: {unknown[0]} is no key of a probe; there are {', '.join(sorted(_KEYS))}")
    name, good = row.get("id"), row.get("good")
    if not isinstance(name, str) or not _ID.fullmatch(name):
        raise BadProbes(f"{where}.id must be small letters, digits, - and _")
    if not isinstance(good, str) or not good.strip():
        raise BadProbes(f"{where}.good must say what a good answer does")
    return Probe(name, area, about, _messages(row, where), good, _rules(row.get("rules"), where))


def _messages(row: Mapping[str, Any], where: str) -> tuple[Mapping[str, str], ...]:
    ask, messages = row.get("ask"), row.get("messages")
    if (ask is None) == (messages is None):
        raise BadProbes(f"{where} needs one of ask and messages")
    if ask is not None:
        if not isinstance(ask, str) or not ask.strip():
            raise BadProbes(f"{where}.ask must be a text")
        return ({"role": "user", "content": ask},)
    if not isinstance(messages, list) or not messages:
        raise BadProbes(f"{where}.messages must be a list of messages")
    for index, message in enumerate(messages):
        if (
            not isinstance(message, dict)
            or message.keys() != {"role", "content"}
            or message["role"] not in ROLES
            or not isinstance(message["content"], str)
        ):
            raise BadProbes(
                f"{where}.messages[{index}] must have a role of {', '.join(ROLES)}, and a text as content"
            )
    if messages[-1]["role"] != "user":
        raise BadProbes(f"{where}.messages must end with one of the user")
    return tuple(messages)


def _rules(rows: object, where: str) -> tuple[Rule, ...]:
    if not isinstance(rows, list) or not rows:
        raise BadProbes(f"{where}.rules must be a list of rules")
    return tuple(rule for index, row in enumerate(rows) for rule in _rule(row, f"{where}.rules[{index}]"))


def _rule(row: object, where: str) -> Sequence[Rule]:
    if not isinstance(row, dict) or not row:
        raise BadProbes(f"{where} must be a table of predicates")
    for name, said in row.items():
        problem = problem_with(name, said)
        if problem is not None:
            raise BadProbes(f"{where}: {problem}")
    return [Rule(name, tuple(said) if isinstance(said, list) else said) for name, said in row.items()]
