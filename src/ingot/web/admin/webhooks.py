"""Routes for an organization's webhooks: its endpoints and failing hosts, deliveries with their tries, sending once more.

Endpoints are made with the organization's own keys, at /v1/webhook_endpoints. The secret here signs what single requests order.
"""

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from ingot.errors import InvalidRequest
from ingot.services.webhooks.desk import (
    DeliveryPage,
    Enabled,
    Redelivered,
    SecretInfo,
    WebhookDesk,
    WebhookStatus,
)
from ingot.store.delivery_log import State, Which
from ingot.store.schema import micros
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call
from ingot.web.admin.shapes import Seconds

T = TypeVar("T")
Name = Annotated[str, Meta(min_length=1, max_length=256)]


class DeliveryQuery(Struct, frozen=True, kw_only=True):
    """Which deliveries: of an event, an endpoint, an object, a time, in a state; `after` a delivery's id."""

    event: Name | None = None
    endpoint: Name | None = None
    object: Name | None = None
    since: Seconds | None = None
    until: Seconds | None = None
    state: State | None = None
    after: Name | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class Redelivery(Struct, frozen=True, kw_only=True):
    """What to deliver once more: one event, or all from `since` on until `until`; `failed` leaves out what arrived."""

    event: Name | None = None
    endpoint: Name | None = None
    since: Seconds | None = None
    until: Seconds | None = None
    failed: bool = False


class Enable(Struct, frozen=True):
    """What to call again: an endpoint's id, or a host as the list of webhooks has it."""

    name: Annotated[str, Meta(min_length=1, max_length=2048)]


class RotateAccountSecret(Struct, frozen=True):
    """How to rotate: `keep_old` lets the old secret sign too for 24 hours, `force` also within 24 hours of the last time."""

    keep_old: bool = True
    force: bool = False


def routes(desk: WebhookDesk) -> tuple[AdminRoute, ...]:
    """The rows."""

    async def status(call: Call) -> Answer:
        return Answer(await desk.status(call.org_id))

    async def deliveries(call: Call) -> Answer:
        query: DeliveryQuery = call.query
        which = Which(
            query.event, query.endpoint, query.object, _micros(query.since), _micros(query.until), query.state
        )
        return Answer(await desk.deliveries(call.org_id, which, after=query.after, limit=query.limit))

    async def redeliver(call: Call) -> Answer:
        body: Redelivery = call.body
        if body.since is not None and body.until is not None and body.since > body.until:
            raise InvalidRequest("'until' lies before 'since', so nothing is in between.", param="until")
        state: State | None = "failed" if body.failed else None
        which = Which(
            body.event, body.endpoint, since=_micros(body.since), until=_micros(body.until), state=state
        )
        keep = call.keep(_same)
        return Answer(await desk.redeliver(call.org_id, which, actor=call.who.actor, keep=keep))

    async def enable(call: Call) -> Answer:
        keep = call.keep(_same)
        return Answer(await desk.enable(call.org_id, call.body.name, actor=call.who.actor, keep=keep))

    every = f"{PREFIX}/organizations/{{org}}/webhooks"
    return (
        AdminRoute("GET", every, status, "webhooks.read", "Endpoints, and hosts that fail", answer=WebhookStatus),
        AdminRoute(
            "GET", f"{every}/deliveries", deliveries, "webhooks.read",
            "Deliveries with their tries, newest first", answer=DeliveryPage, query=DeliveryQuery,
        ),
        AdminRoute(
            "POST", f"{every}/redeliver", redeliver, "webhooks.manage",
            "Deliver an event, or all of a time, once more", Redelivery, Redelivered,
        ),
        AdminRoute(
            "POST", f"{every}/enable", enable, "webhooks.manage",
            "Call an endpoint or a host again that was disabled or fails", Enable, Enabled,
        ),
        *_secret_routes(desk, f"{every}/secret"),
    )  # fmt: skip


def _secret_routes(desk: WebhookDesk, path: str) -> tuple[AdminRoute, ...]:
    async def secret(call: Call) -> Answer:
        return Answer(await desk.secret(call.org_id))

    async def rotate(call: Call) -> Answer:
        body: RotateAccountSecret = call.body
        told = await desk.rotate_secret(
            call.org_id,
            actor=call.who.actor,
            overlap=body.keep_old,
            force=body.force,
            keep=call.keep(_same),
        )
        return Answer(told)

    return (
        AdminRoute(
            "GET", path, secret, "webhooks.read",
            "Which secret signs what requests order", answer=SecretInfo,
        ),
        AdminRoute(
            "POST", path, rotate, "webhooks.manage",
            "Replace that secret; the new one is shown once", RotateAccountSecret, SecretInfo, status=201,
        ),
    )  # fmt: skip


def _same(told: T) -> T:
    """What is kept of an answer is the answer."""
    return told


def _micros(told: int | None) -> int | None:
    return None if told is None else micros(told)
