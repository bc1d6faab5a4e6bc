"""Bodies and objects of webhook endpoints: what is taken, what is refused by name, what never shows a secret."""

from typing import Any, get_args

import pytest

from ingot.deliveries import TYPES
from ingot.dialects import webhooks as wire
from ingot.errors import ApiError

WANTED: dict[str, Any] = {"name": "n", "url": "https://a.example/", "event_types": ["batch.completed"]}


def test_types_are_those_that_can_be_posted() -> None:
    """One list, told and taken."""
    assert get_args(wire.EventType) == TYPES
    assert wire.encode(wire.TypeList()).startswith(b'{"object":"list","data":["response.completed"')


def test_body_when_it_is_whole() -> None:
    """Name, address and kinds."""
    made = wire.decode_create(dict(WANTED))
    assert (made.name, made.url, made.event_types) == ("n", "https://a.example/", ["batch.completed"])
    assert wire.decode_update({"name": "m"}).url is None
    assert wire.decode_rotation({}).keep_old_secret_active_for_24_hours is False


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({**WANTED, "event_types": []}, "event_types"),
        ({**WANTED, "event_types": ["video.completed"]}, "event_types[0]"),
        ({**WANTED, "name": ""}, "name"),
        ({**WANTED, "name": "a\0b"}, "name"),
        ({**WANTED, "url": 7}, "url"),
        ({**WANTED, "secret": "mine"}, "secret"),
        ({key: value for key, value in WANTED.items() if key != "url"}, "url"),
    ],
)
def test_body_is_refused_by_name_when_it_is_wrong(body: dict[str, Any], param: str) -> None:
    """The error names the field."""
    with pytest.raises(ApiError) as caught:
        wire.decode_create(body)
    assert caught.value.param == param


def test_secret_is_not_in_the_text_of_the_record() -> None:
    """Records end up in logs and tracebacks."""
    made = wire.EndpointWithSecret(
        id="we_1",
        created_at=1,
        updated_at=1,
        name="n",
        url="https://a.example/",
        event_types=("batch.completed",),
        signing_secret_hint="whsec_...abcd",
        signing_secret="whsec_planted",
    )
    assert "planted" not in repr(made)
    assert b"whsec_planted" in wire.encode(made)
