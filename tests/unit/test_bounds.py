"""What is promised of numbers is what is read: over every number of the admin API, of the configuration, and of amounts."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct, inspect
from starlette.datastructures import QueryParams

from ingot.config import Config, ConfigError, load
from ingot.dialects.complaint import complain
from ingot.errors import InvalidRequest
from ingot.pricing import LARGEST, parse_usd, usd
from ingot.services.plans import RANGES
from ingot.web.admin import audit, keys, money, organizations, plans
from ingot.web.admin.reading import decode_body, decode_query

SAFE = 2**53
NUMBERS = (inspect.IntType, inspect.FloatType)
STRUCTS: tuple[type[Struct], ...] = tuple(
    kind
    for module in (audit, keys, money, organizations, plans)
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == module.__name__
)
QUERIES = {audit.Page, money.LedgerPage}
ASKED = QUERIES | {
    keys.NewKey,
    money.NewPromo,
    plans.PlanChange,
    plans.NewPlan,
    organizations.OrganizationChange,
}


def _plain(kind: inspect.Type) -> Iterator[inspect.Type]:
    if isinstance(kind, inspect.Metadata):
        yield from _plain(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for each in kind.types:
            yield from _plain(each)
    else:
        yield kind


def _fields() -> Iterator[tuple[type[Struct], str, inspect.IntType]]:
    for kind in STRUCTS:
        told = inspect.type_info(kind)
        assert isinstance(told, inspect.StructType)
        for field in told.fields if kind in ASKED else ():
            for each in _plain(field.type):
                if isinstance(each, inspect.IntType):
                    yield kind, field.encode_name, each


FIELDS = list(_fields())


def _read(kind: type[Struct], name: str, value: int) -> Any:
    """The value as a client's bytes are read."""
    if kind in QUERIES:
        return getattr(decode_query(QueryParams({name: str(value)}), kind), name)
    required = {"name": "app", "amount": "1"} if kind is not plans.PlanChange else {}
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    body = {key: each for key, each in required.items() if key in known} | {name: value}
    return getattr(decode_body(json.dumps(body).encode(), kind), name)


@pytest.mark.parametrize(
    ("kind", "name", "bounds"), FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name, _ in FIELDS]
)
def test_number_of_the_admin_api_is_read_where_its_bounds_say_so(
    kind: type[Struct], name: str, bounds: inspect.IntType
) -> None:
    """Both ends are taken, what lies beyond is refused with the very range; no bound passes what JSON can carry."""
    low, high = bounds.ge, bounds.le
    assert low is not None
    assert high is not None
    assert -SAFE <= low <= high <= SAFE
    assert [_read(kind, name, int(value)) for value in (low, high)] == [low, high]
    for value in (int(low) - 1, int(high) + 1):
        with pytest.raises(InvalidRequest) as told:
            _read(kind, name, value)
        assert told.value.param == name
        assert f"from {int(low)} to {int(high)}" in told.value.message or abs(value) > SAFE


def test_numbers_of_the_admin_api_are_all_looked_at() -> None:
    """Those of plans are bounded as the plans themselves are."""
    assert len(FIELDS) > 15
    own = {name: each for kind, name, each in FIELDS if kind is plans.PlanChange}
    assert {name: (each.ge, each.le) for name, each in own.items()} == {name: RANGES[name] for name in own}


class _Bounded(Struct):
    n: Annotated[int, Meta(ge=999_999, le=8_796_093_022_207)] = 999_999
    f: Annotated[float, Meta(ge=0.1234567, le=12345678.5)] = 1.0


def test_bound_is_told_with_all_of_its_digits() -> None:
    """A rounded one promises more, or less, than is read."""
    for body, range_ in (
        ({"n": 1}, "from 999999 to 8796093022207"),
        ({"f": 0}, "from 0.1234567 to 12345678.5"),
    ):
        with pytest.raises(msgspec.ValidationError) as caught:
            msgspec.convert(body, _Bounded)
        assert range_ in complain(caught.value, body, _Bounded).message


# ---- the configuration


def _settings(kind: inspect.Type, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], inspect.Type]]:
    for each in _plain(kind):
        if isinstance(each, inspect.StructType):
            for field in each.fields:
                yield from _settings(field.type, (*path, field.encode_name))
        elif isinstance(each, inspect.DictType):
            yield from _settings(each.value_type, (*path, "a"))
        else:
            yield path, each


SETTINGS = list(_settings(inspect.type_info(Config), ()))
BOUNDED = [(path, each) for path, each in SETTINGS if isinstance(each, NUMBERS)]


def _problems(path: tuple[str, ...], value: float) -> list[str]:
    """What is said of this key where a file holds it alone."""
    *tables, key = path
    text = f"[{'.'.join(tables)}]\n{key} = {value}\n" if tables else f"{key} = {value}\n"
    try:
        load(text, {})
    except ConfigError as error:
        return [each.message for each in error.problems if each.where == ".".join(path)]
    return []


@pytest.mark.parametrize(("path", "bounds"), BOUNDED, ids=[".".join(path) for path, _ in BOUNDED])
def test_number_of_the_configuration_is_read_where_its_bounds_say_so(
    path: tuple[str, ...], bounds: inspect.IntType | inspect.FloatType
) -> None:
    """Every number has an upper bound; both ends are taken where they belong, and what lies beyond is told with its bound."""
    whole = isinstance(bounds, inspect.IntType)
    step: float = 1 if whole else 0.001
    assert bounds.le is not None
    within, beyond = [bounds.le], [(bounds.le + step, f"at most {bounds.le:.15g}")]
    if bounds.ge is not None:
        within.append(bounds.ge)
        beyond.append((bounds.ge - step, f"at least {bounds.ge:.15g}"))
    if bounds.gt is not None:
        within.append(bounds.gt + step)
        beyond.append((bounds.gt, f"more than {bounds.gt:.15g}"))
    for value in within:
        assert not [each for each in _problems(path, value) if "must be" in each], value
    for value, words in beyond:
        assert [each for each in _problems(path, value) if words in each], value


def test_no_constraint_of_the_configuration_goes_unread() -> None:
    """What the schema and the reference promise beyond a least length or a range would not be looked at."""
    for path, each in SETTINGS:
        unread = [getattr(each, name, None) for name in ("max_length", "pattern", "multiple_of")]
        assert unread == [None] * 3, path


# ---- amounts


@given(st.integers(-LARGEST, LARGEST))
def test_amount_is_read_up_to_the_largest(units: int) -> None:
    """Every amount that a text promises is one that can be sent."""
    assert parse_usd(usd(units)) == units


@pytest.mark.parametrize("beyond", [LARGEST + 1, -LARGEST - 1, 10**30])
def test_amount_is_refused_beyond_the_largest(beyond: int) -> None:
    """With the amount that would be right."""
    with pytest.raises(ValueError, match=f"more than {usd(LARGEST)} USD"):
        parse_usd(usd(beyond))
