"""What the keys of a preset mean together: names that must exist, and rules that contradict each other.

Decides nothing about single values; `sections` does.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from msgspec import UNSET

from ingot.config.problems import Path, Problem, problem
from ingot.config.shape import nearest
from ingot.presets.named import CHECKS, REWRITES
from ingot.presets.preset import error_classes
from ingot.presets.sections import (
    ANSWERED,
    BLOCKS,
    BODIES,
    CALLS,
    UNKNOWN,
    AnswerRule,
    FieldRule,
    PresetFile,
    Rule,
    answer_rule,
    rules_of,
)

MOST_MONEY: Final = 1_000_000
"""USD, and so far within the store's 64 bits."""

_PREFIX: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_CODE: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_HEADER: Final = re.compile(r"[a-z][a-z0-9-]*")


def check(file: PresetFile) -> Iterator[Problem]:
    """All that is wrong with a file whose single values are right."""
    if not _PREFIX.fullmatch(file.keys.prefix):
        yield problem(("keys", "prefix"), "must be lower-case letters, digits and single underscores")
    yield from _plans(file)
    yield from _errors(file)
    yield from _idempotency(file)
    for surface, table in file.fields.items():
        if surface not in BODIES:
            yield _unknown(("fields", surface), "surface with fields", BODIES)
            continue
        for name, rule in table.items():
            yield from _rule(("fields", surface, name), rule)
    for surface, looks in file.answers.items():
        if surface not in ANSWERED:
            yield _unknown(("answers", surface), "surface with answers to rule over", ANSWERED)
            continue
        for name, said in looks.items():
            yield from _answer(("answers", surface, name), answer_rule(said))


def _unknown(path: Path, noun: str, known: Collection[str]) -> Problem:
    return problem(path, f"no {noun} of that name{nearest(str(path[-1]), known)}")


def _plans(file: PresetFile) -> Iterator[Problem]:
    plans, most = file.plans, file.keys.most
    if plans.default not in plans.rows:
        yield problem(
            ("plans", "default"), f"no plan is named `{plans.default}`{nearest(plans.default, plans.rows)}"
        )
    for name, row in plans.rows.items():
        if most is not None and (row.keys or most) > most:
            yield problem(("plans", "rows", name, "keys"), f"must be at most {most}, as `keys.most` says")
        for key in ("price_factor", "monthly_credits", "monthly_price"):
            value = getattr(row, key)
            if not (value.is_finite() and 0 <= value <= MOST_MONEY):
                yield problem(("plans", "rows", name, key), f"must be from 0 to {MOST_MONEY}")


def _errors(file: PresetFile) -> Iterator[Problem]:
    statuses = file.errors.statuses
    if statuses and not {400, 500} <= set(statuses):
        yield problem(("errors", "statuses"), "must hold 400 and 500, which all others become")
    classes = error_classes()
    for name, row in file.errors.rows.items():
        path = ("errors", "rows", name)
        if name not in classes and not _CODE.fullmatch(name):
            yield _unknown(path, "class of error or code", classes)
        if row.keys is not None and "message" not in row.keys:
            yield problem((*path, "keys"), "must hold `message`")
    if "message" not in file.errors.keys:
        yield problem(("errors", "keys"), "must hold `message`")


def _idempotency(file: PresetFile) -> Iterator[Problem]:
    for surface, headers in file.idempotency.headers.items():
        path = ("idempotency", "headers", surface)
        if surface not in BODIES:
            yield _unknown(path, "surface with such keys", BODIES)
        if not all(_HEADER.fullmatch(header) for header in headers):
            yield problem(path, "must be names of headers in lower case")


def _rule(path: Path, rule: Rule) -> Iterator[Problem]:
    rows = rules_of(rule)
    if not rows:
        yield problem(path, "is an empty list")
    for index, row in enumerate(rows):
        yield from _row((*path, index) if isinstance(rule, list) else path, row)
    if path[-1] == UNKNOWN and (
        len(rows) != 1
        or rows[0] not in (FieldRule(accept=True), FieldRule(reject=True), FieldRule(drop=True))
    ):
        yield problem(path, 'must be "accept", "reject" or "drop"')


def _row(path: Path, row: FieldRule) -> Iterator[Problem]:
    verbs = [name for name, said in _verbs(row).items() if said]
    if not verbs:
        yield problem(path, "says nothing; it needs a verb such as `accept`, `reject` or `one_of`")
    for alone in ("accept", "reject", "drop", "set"):
        if alone in verbs and len(verbs) > 1:
            yield problem(path, f"`{alone}` stands alone, not beside {', '.join(sorted({*verbs} - {alone}))}")
            break
    if row.check is not None and row.check not in CHECKS:
        yield problem((*path, "check"), f"no check is named `{row.check}`{nearest(row.check, CHECKS)}")
    if row.becomes is not None and row.becomes not in REWRITES:
        yield problem(
            (*path, "becomes"), f"no rewrite is named `{row.becomes}`{nearest(row.becomes, REWRITES)}"
        )
    if row.one_of == []:
        yield problem((*path, "one_of"), "is an empty list")
    if row.range is not None:
        low, high = row.range.min, row.range.max
        if low is None and high is None:
            yield problem((*path, "range"), "needs `min`, `max` or both")
        elif low is not None and high is not None and low > high:
            yield problem((*path, "range"), "has a `min` above its `max`")
    if row.when is not None:
        said = (row.when.equals is not UNSET, row.when.differs is not UNSET, row.when.present is not None)
        if sum(said) != 1:
            yield problem((*path, "when"), "needs one of `equals`, `differs` and `present`")


def _answer(path: Path, row: AnswerRule) -> Iterator[Problem]:
    steps = str(path[-1]).split(".")
    verbs = [name for name, said in _answer_verbs(row).items() if said]
    if not all(steps) or UNKNOWN in steps[:-1]:
        yield problem(path, 'must be names joined by dots; only the last one may be "*"')
    if not verbs:
        yield problem(path, "says nothing; it needs a verb such as `drop`, `present` or `told`")
    for alone in ("accept", "drop", "null", "whole", "one_text", "copy"):
        if alone in verbs and len(verbs) > 1:
            yield problem(path, f"`{alone}` stands alone, not beside {', '.join(sorted({*verbs} - {alone}))}")
            break
    if steps[-1] == UNKNOWN and verbs not in (["accept"], ["drop"]):
        yield problem(path, 'must be "accept" or "drop"')
    if row.one_text and (path[1], *steps) != BLOCKS:
        yield problem(path, f"only {BLOCKS[1]} of {BLOCKS[0]} can be made one text")
    if row.copy is not None and row.copy == steps[-1]:
        yield problem((*path, "copy"), "is the field itself; it needs another one beside it")
    if row.whole and tuple(steps) != CALLS:
        yield problem(path, f"only {'.'.join(CALLS)} can be gathered from its pieces")


def _answer_verbs(row: AnswerRule) -> dict[str, Any]:
    return {
        "accept": row.accept,
        "drop": row.drop,
        "null": row.null,
        "present": row.present,
        "whole": row.whole,
        "one_text": row.one_text,
        "copy": row.copy is not None,
        "rename": row.rename,
        "prefix": row.prefix,
        "told": row.told,
        "default": row.default is not UNSET,
    }


def _verbs(row: FieldRule) -> dict[str, Any]:
    return {
        "accept": row.accept,
        "reject": row.reject,
        "drop": row.drop,
        "require": row.require,
        "one_of": row.one_of is not None,
        "range": row.range is not None,
        "max_len": row.max_len is not None,
        "check": row.check is not None,
        "default": row.default is not UNSET,
        "set": row.set is not UNSET,
        "becomes": row.becomes is not None,
    }
