"""The list of models in Anthropic's shape: pages forwards and backwards, and what a query may hold."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from ingot.catalog import Deployment
from ingot.errors import InvalidRequest
from ingot.pricing import Price
from ingot.web.models import describe_anthropic, list_anthropic

ONE = Deployment(
    name="m",
    routes=(),
    strategy="ordered",
    price=Price.free,
    context=4096,
    windows=("asap",),
    attempts=1,
    owned_by="o",
    created=86_400,
    capabilities=frozenset(),
)


def models(count: int) -> list[Deployment]:
    """So many, by number."""
    return [dataclasses.replace(ONE, name=str(number)) for number in range(count)]


def test_model_has_what_clients_need_when_it_is_described() -> None:
    """All that is required, and the context as far as it is known."""
    told = describe_anthropic(ONE)
    assert (told.type, told.id, told.display_name, told.lifecycle) == ("model", "m", "m", "active")
    assert (told.created_at, told.max_input_tokens, told.max_tokens) == ("1970-01-02T00:00:00Z", 4096, None)


@given(count=st.integers(0, 12), limit=st.integers(1, 5), backwards=st.booleans())
def test_pages_hold_every_model_once_when_they_are_followed(
    count: int, limit: int, *, backwards: bool
) -> None:
    """From the first to the last, or back from the last."""
    known = models(count)
    seen: list[str] = []
    mark = known[-1].name if backwards and known else None
    seen = [mark] if mark else []
    while True:
        asked = {"limit": str(limit), **({"before_id" if backwards else "after_id": mark} if mark else {})}
        page = list_anthropic(known, QueryParams(asked))
        names = [each.id for each in page.data]
        assert len(names) <= limit
        assert (page.first_id, page.last_id) == ((names[0], names[-1]) if names else (None, None))
        seen = names + seen if backwards else seen + names
        mark = page.first_id if backwards else page.last_id
        if not page.has_more:
            break
    assert seen == [each.name for each in known]


def test_list_is_empty_when_other_lifecycles_are_asked_for() -> None:
    """What can be asked is active."""
    known = models(2)
    assert list_anthropic(known, QueryParams([("lifecycle[]", "retired")])).data == []
    both = QueryParams([("lifecycle[]", "retired"), ("lifecycle[]", "active")])
    assert len(list_anthropic(known, both).data) == 2


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"after_id": "x"}, "after_id"),
        ({"before_id": ""}, "before_id"),
        ({"after_id": "0", "before_id": "1"}, "before_id"),
        ({"lifecycle[]": "old"}, "lifecycle[]"),
    ],
)
def test_query_is_refused_when_it_makes_no_sense(query: dict[str, str], param: str) -> None:
    """By the parameter's name."""
    with pytest.raises(InvalidRequest) as caught:
        list_anthropic(models(2), QueryParams(query))
    assert caught.value.param == param
