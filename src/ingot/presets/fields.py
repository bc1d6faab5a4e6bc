"""The rules on a surface's fields, compiled once: what they refuse, and what they change in a body.

Decides in which order verbs count: reject, one_of, range, max_len, check; then require, drop, default, set, becomes.
A field that is null counts as not given. Types are the dialect's business: a range says nothing about a string.
Measured on one 2.5 GHz core, `valar` with 32 rules: 1.2 us for a body of 4 fields, 2.3 us for one of 12.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ingot import rawjson
from ingot.errors import ApiError, InvalidRequest, Unsupported
from ingot.presets import words
from ingot.presets.named import CHECKS, REWRITES
from ingot.presets.sections import UNKNOWN, FieldRule, Range, Rule, When, rules_of
from ingot.rawjson import Body, clip, kind_of

Members = Mapping[str, Any]
Condition = Callable[[Members], bool]
Guard = Callable[[Members, str, Any], None]
"""Takes all fields, the name of one, and its value; raises where that is refused."""
Act = Callable[[Body, dict[str, bytes | None]], None]
"""Adds to the changes of a body; None takes a key away. Raises where the body is refused."""

_LENGTH_CODES: Final[Mapping[type, tuple[str, str]]] = {
    str: ("string_above_max_length", "is too long"),
    list: ("array_above_max_length", "has too many items"),
    dict: ("object_above_max_properties", "has too many properties"),
}

_encode = msgspec.json.Encoder().encode


class Rules:
    """The rules on the fields of one surface."""

    __slots__ = ("_acts", "_given", "_unknown")

    def __init__(self, table: Mapping[str, Rule]) -> None:
        named = {name: rules_of(rule) for name, rule in table.items() if name != UNKNOWN}
        self._given = {
            name: tuple(guard for row in rows for guard in _guards(row)) for name, rows in named.items()
        }
        unknown = rules_of(table[UNKNOWN])[0] if UNKNOWN in table else FieldRule(accept=True)
        self._unknown: tuple[Guard, ...] = (_refuse_unknown,) if unknown.reject else ()
        acts = [act for name, rows in named.items() for row in rows for act in _acts(name, row)]
        if unknown.drop:
            acts.append(_drop_unknown(frozenset(named)))
        self._acts = tuple(acts)

    def __bool__(self) -> bool:
        """Whether any request could be refused or changed."""
        return bool(self._acts or self._unknown or any(self._given.values()))

    def changes(self, body: Body) -> dict[str, bytes | None]:
        """What top-level keys become, as JSON; None takes one away. Raises ApiError for the first refused field."""
        value = body.value
        given, unknown = self._given, self._unknown
        for key, held in value.items():
            if held is not None:
                for guard in given.get(key, unknown):
                    guard(value, key, held)
        changes: dict[str, bytes | None] = {}
        for act in self._acts:
            act(body, changes)
        return changes

    def applied(self, body: Body) -> bytes:
        """The body as the rules leave it: its very bytes where nothing changes."""
        changes = self.changes(body)
        if not changes:
            return body.data
        replace = {key: new for key, new in changes.items() if new is not None}
        return rawjson.splice(body, replace=replace, drop=changes.keys() - replace.keys())


def _guards(rule: FieldRule) -> Iterator[Guard]:
    """The checks of one rule on a field that is given."""
    condition = None if rule.when is None else _condition(rule.when)
    tests: list[Callable[[str, Any], ApiError | None]] = []
    if rule.reject:
        tests.append(_rejected)
    if rule.one_of is not None:
        tests.append(_not_among(rule.one_of))
    if rule.range is not None:
        tests.append(_outside(rule.range))
    if rule.max_len is not None:
        tests.append(_longer_than(rule.max_len))
    if rule.check is not None:
        check = CHECKS[rule.check]
        tests.append(lambda _, held: check(held))
    for test in tests:
        yield _guard(rule, test, condition)


def _guard(
    rule: FieldRule, test: Callable[[str, Any], ApiError | None], condition: Condition | None
) -> Guard:
    def guard(value: Members, key: str, held: Any) -> None:
        if condition is None or condition(value):
            error = test(key, held)
            if error is not None:
                raise _told(rule, error)

    return guard


def _acts(name: str, rule: FieldRule) -> Iterator[Act]:
    """What one rule demands or changes, whether its field is given or not."""
    condition = None if rule.when is None else _condition(rule.when)
    acts: list[Act] = []
    if rule.require:
        acts.append(_require(name, rule))
    if rule.drop:
        acts.append(_drop(name))
    if rule.default is not UNSET:
        acts.append(_default(name, _encode(rule.default)))
    if rule.set is not UNSET:
        acts.append(_set(name, rule.set))
    if rule.becomes is not None:
        acts.append(_rewrite(name, rule.becomes))
    for act in acts:
        yield act if condition is None else _only(condition, act)


def _only(condition: Condition, act: Act) -> Act:
    def guarded(body: Body, changes: dict[str, bytes | None]) -> None:
        if condition(body.value):
            act(body, changes)

    return guarded


def _condition(when: When) -> Condition:
    field, equals, differs, present = when.field, when.equals, when.differs, when.present
    if equals is not UNSET:
        return lambda value: bool(value.get(field) == equals)
    if differs is not UNSET:
        return lambda value: bool(value.get(field) != differs)
    return lambda value: (value.get(field) is not None) is present


def _told(rule: FieldRule, error: ApiError) -> ApiError:
    """The error with the code and the sentence that the rule has for it."""
    error.code = rule.error or error.code
    if rule.note:
        error.message = f"{error.message} {rule.note}"
    return error


# ---- what is refused


def _rejected(key: str, held: Any) -> ApiError:  # noqa: ARG001  # the tests' common shape
    return Unsupported(f"'{key}' is not supported. Leave it out.", param=key)


def _refuse_unknown(value: Members, key: str, held: Any) -> None:  # noqa: ARG001  # the guards' common shape
    raise Unsupported(
        f"'{clip(key)}' is not a known parameter. Leave it out, or check its spelling.",
        param=clip(key),
        code="unknown_parameter",
    )


def _not_among(values: list[Any]) -> Callable[[str, Any], ApiError | None]:
    expected = words.either(values)

    def test(key: str, held: Any) -> ApiError | None:
        if held in values:
            return None
        return Unsupported(
            f"Invalid value for '{key}': expected {expected}, but got {clip(words.shown(held))}.",
            param=key,
            code="unsupported_value",
        )

    return test


def _outside(bounds: Range) -> Callable[[str, Any], ApiError | None]:
    low = float("-inf") if bounds.min is None else bounds.min
    high = float("inf") if bounds.max is None else bounds.max
    expected = f"a number {words.between(bounds)}"

    def test(key: str, held: Any) -> ApiError | None:
        if type(held) not in (int, float) or low <= held <= high:
            return None
        kind = "integer" if type(held) is int else "decimal"
        if held < low:
            return InvalidRequest(
                f"'{key}' is below the minimum: expected {expected}, but got {held}.",
                param=key,
                code=f"{kind}_below_min_value",
            )
        return InvalidRequest(
            f"'{key}' is above the maximum: expected {expected}, but got {held}.",
            param=key,
            code=f"{kind}_above_max_value",
        )

    return test


def _longer_than(most: int) -> Callable[[str, Any], ApiError | None]:
    def test(key: str, held: Any) -> ApiError | None:
        row = _LENGTH_CODES.get(type(held))
        if row is None or len(held) <= most:
            return None
        code, fault = row
        return InvalidRequest(
            f"'{key}' {fault}: expected at most {most}, but got {kind_of(held)} of {len(held)}.",
            param=key,
            code=code,
        )

    return test


def _require(name: str, rule: FieldRule) -> Act:
    def act(body: Body, changes: dict[str, bytes | None]) -> None:  # noqa: ARG001  # the acts' common shape
        if body.value.get(name) is None:
            error = InvalidRequest(
                f"Missing required parameter: '{name}'.", param=name, code="missing_required_parameter"
            )
            raise _told(rule, error)

    return act


# ---- what is changed


def _drop(name: str) -> Act:
    def act(body: Body, changes: dict[str, bytes | None]) -> None:
        if name in body.value:
            changes[name] = None

    return act


def _drop_unknown(known: frozenset[str]) -> Act:
    def act(body: Body, changes: dict[str, bytes | None]) -> None:
        for key in body.value:
            if key not in known:
                changes[key] = None

    return act


def _default(name: str, new: bytes) -> Act:
    def act(body: Body, changes: dict[str, bytes | None]) -> None:
        if body.value.get(name) is None:
            changes[name] = new

    return act


def _set(name: str, fixed: Any) -> Act:
    new = _encode(fixed)

    def act(body: Body, changes: dict[str, bytes | None]) -> None:
        if name not in body.value or body.value[name] != fixed:
            changes[name] = new

    return act


def _rewrite(name: str, rewrite: str) -> Act:
    apply = REWRITES[rewrite]

    def act(body: Body, changes: dict[str, bytes | None]) -> None:
        if body.value.get(name) is not None:
            changes.update(apply(body, name))

    return act
