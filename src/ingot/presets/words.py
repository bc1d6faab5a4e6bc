"""Rules in words: the same ones for refusals and for the reference."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import UNSET

from ingot.presets.named import CHECKS, REWRITES
from ingot.presets.sections import AnswerRule, FieldRule, Range, Rule, Told, When, answer_rule, rules_of

_encode = msgspec.json.Encoder().encode


def shown(value: Any) -> str:
    """A value as a message shows it: text in quotes, all else as JSON."""
    return f"'{value}'" if isinstance(value, str) else _encode(value).decode()


def either(values: list[Any]) -> str:
    """`1`, or `'low', 'medium' or 'high'`."""
    said = [shown(value) for value in values]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} or {said[-1]}"


def between(bounds: Range) -> str:
    """`from 0 to 2`, `of at least 1`, or `of at most 4`."""
    if bounds.min is not None and bounds.max is not None:
        return f"from {bounds.min:g} to {bounds.max:g}"
    return f"of at least {bounds.min:g}" if bounds.min is not None else f"of at most {bounds.max:g}"


def rule(said: Rule) -> str:
    """A field's rule as the reference has it, one sentence for each row."""
    return " ".join(_sentence(row) for row in rules_of(said))


def look(said: Told) -> str:
    """What becomes of an answer's field, as the reference has it."""
    row = answer_rule(said)
    text = ", ".join(_looks(row)) or "passes on"
    return " ".join(filter(None, (f"{text[0].upper()}{text[1:]}.", row.note)))


def _looks(row: AnswerRule) -> Iterator[str]:
    if row.drop:
        yield "taken out"
    if row.null:
        yield "always null"
    if row.told is not None:
        yield ", ".join(f"{shown(old)} is told as {shown(new)}" for old, new in row.told.items())
    if row.prefix is not None:
        yield f"begins with `{row.prefix}`"
    if row.rename is not None:
        yield f"called `{row.rename}`"
    if row.present:
        yield "null where the target gave none"
    if row.default is not UNSET:
        yield f"{shown(row.default)} where the target gave none"
    if row.whole:
        yield "each one in one piece"
    if row.one_text:
        yield "one block of text; blocks of other kinds are taken out"
    if row.copy is not None:
        yield f"the same as `{row.copy}`"


def _sentence(row: FieldRule) -> str:
    parts = list(_parts(row)) or ["passes on"]
    text = ", ".join(parts) + (f", if {_condition(row.when)}" if row.when else "") + "."
    return " ".join(filter(None, (text[0].upper() + text[1:], row.note)))


def _parts(row: FieldRule) -> Iterator[str]:
    if row.reject:
        yield "refused"
    if row.require:
        yield "required"
    if row.one_of is not None:
        yield f"only {either(row.one_of)}"
    if row.range is not None:
        yield f"a number {between(row.range)}"
    if row.max_len is not None:
        yield f"at most {row.max_len} long"
    if row.check is not None:
        yield f"checked by `{row.check}` ({_purpose(CHECKS[row.check])})"
    if row.drop:
        yield "accepted and ignored"
    if row.default is not UNSET:
        yield f"{shown(row.default)} where not given"
    if row.set is not UNSET:
        yield f"always {shown(row.set)}"
    if row.becomes is not None:
        yield f"rewritten by `{row.becomes}` ({_purpose(REWRITES[row.becomes])})"


def _condition(when: When) -> str:
    if when.equals is not UNSET:
        return f"`{when.field}` is {shown(when.equals)}"
    if when.differs is not UNSET:
        return f"`{when.field}` is not {shown(when.differs)}"
    return f"`{when.field}` is {'given' if when.present else 'not given'}"


def _purpose(named: Any) -> str:
    text = (named.__doc__ or "").strip().rstrip(".")
    return text[:1].lower() + text[1:]
