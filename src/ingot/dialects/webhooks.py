"""Webhook endpoints as OpenAI's clients know them: what a request may hold, the objects, lists of them.

Decides what a request may say and how everything is written. Knows no store, no address and no secret but the one it is
given to show. Source: contract §5.
"""

from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from ingot.deliveries import TYPES
from ingot.dialects.complaint import convert
from ingot.errors import InvalidRequest

EventType = Literal[
    "response.completed",
    "response.failed",
    "response.cancelled",
    "response.incomplete",
    "batch.completed",
    "batch.failed",
    "batch.expired",
    "batch.cancelled",
]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
Url = Annotated[str, Meta(min_length=1, max_length=2048)]
EventTypes = Annotated[list[EventType], Meta(min_length=1, max_length=64)]

_encode: Final = msgspec.json.Encoder().encode


class CreateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The body that makes an endpoint."""

    name: Name
    url: Url
    event_types: EventTypes


class UpdateEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """What is new of an endpoint; the rest stays."""

    name: Name | None = None
    url: Url | None = None
    event_types: EventTypes | None = None


class RotateSecret(msgspec.Struct, frozen=True, kw_only=True):
    """How a secret is replaced; `force` also where the one before the old one still signs."""

    keep_old_secret_active_for_24_hours: bool = False
    force: bool = False


class TestEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Which type the event of a test has."""

    event_type: EventType


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint; instants in seconds since the epoch. `disabled_reason` says why it is called no more."""

    id: str
    object: str = "webhook_endpoint"
    created_at: int
    updated_at: int
    name: str
    url: str
    event_types: tuple[str, ...]
    signing_secret_hint: str
    disabled_reason: str | None = None


class EndpointWithSecret(Endpoint, frozen=True, kw_only=True):
    """The same with the secret that signs, which is shown this once."""

    signing_secret: str

    def __repr__(self) -> str:
        """Without the secret."""
        return f"EndpointWithSecret(id={self.id!r})"


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of endpoints."""

    object: str = "list"
    data: list[Endpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


class EndpointDeleted(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a deletion."""

    id: str
    object: str = "webhook_endpoint.deleted"
    deleted: bool = True


class EndpointTested(msgspec.Struct, frozen=True, kw_only=True):
    """What a test was answered with; `success` says that there was an answer."""

    object: str = "webhook_endpoint.test"
    event_type: str
    status_code: int
    success: bool = True
    webhook_endpoint_id: str


class TypeList(msgspec.Struct, frozen=True, kw_only=True):
    """What can be subscribed to."""

    object: str = "list"
    data: tuple[str, ...] = TYPES


def decode_create(value: dict[str, Any]) -> CreateEndpoint:
    """What an endpoint will be; raises InvalidRequest, Unsupported."""
    made: CreateEndpoint = convert(value, CreateEndpoint)
    _check(made.name)
    return made


def decode_update(value: dict[str, Any]) -> UpdateEndpoint:
    """What is new of it; raises InvalidRequest, Unsupported."""
    made: UpdateEndpoint = convert(value, UpdateEndpoint)
    _check(made.name or "")
    return made


def decode_rotation(value: dict[str, Any]) -> RotateSecret:
    """How a secret is replaced; raises InvalidRequest, Unsupported."""
    made: RotateSecret = convert(value, RotateSecret)
    return made


def decode_test(value: dict[str, Any]) -> TestEndpoint:
    """What is tested; raises InvalidRequest, Unsupported."""
    made: TestEndpoint = convert(value, TestEndpoint)
    return made


def encode(told: msgspec.Struct) -> bytes:
    """One of the objects above."""
    return _encode(told)


def _check(name: str) -> None:
    if "\0" in name:
        raise InvalidRequest(
            "'name' holds the character U+0000, which not every database can store.", param="name"
        )
