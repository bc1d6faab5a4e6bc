"""Routes for an organization's keys: create, list, show, roll, revoke.

A member makes, rolls and ends keys of their own, to call models with; keys for others, for nobody in particular or for the admin API
take an administrator. An admin key has at most the rights of its person. One of the operator's organization may do what
an operator may: only they make one.
"""

from collections.abc import Callable, Collection
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType

from ingot.errors import Forbidden
from ingot.services.accounts.permissions import may, needed
from ingot.services.key_desk import MOST, IssuedKey, KeyDesk, KeyInfo, KeyOrder
from ingot.store.keys import Scope
from ingot.store.schema import DEFAULT_ORG
from ingot.web.admin.reading import read_usd
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call
from ingot.web.admin.shapes import Seconds

Rate = Annotated[int, Meta(ge=1, le=MOST)]


class NewKey(Struct, frozen=True):
    """A key to make: `user` a member's id or mail address, oneself unless said, null for nobody in particular; `models` the
    only ones that it may use; `expires_at` in seconds since the epoch; `cap` the most that it may ever spend, in USD.
    """

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    user: Annotated[str, Meta(min_length=1, max_length=254)] | UnsetType | None = UNSET
    scope: Scope = "inference"
    models: Annotated[list[str], Meta(min_length=1, max_length=1000)] | None = None
    expires_at: Seconds | None = None
    rpm: Rate | None = None
    tpm: Rate | None = None
    cap: Annotated[str, Meta(min_length=1, max_length=40)] | None = None


class Roll(Struct, frozen=True):
    """How to roll: `force` also within 24 hours of the last time, which ends the oldest key now."""

    force: bool = False


class Key(Struct, frozen=True):
    """A key without its text; `cap` in USD, `models` null for all of the plan's."""

    id: str
    kid: str
    name: str
    last4: str
    source: str
    organization: str
    user: str | None
    scope: Scope
    models: list[str] | None
    rpm: int | None
    tpm: int | None
    cap: str | None
    created_at: int
    last_used_at: int | None
    expires_at: int | None
    revoked_at: int | None
    replaced_by: str | None
    object: str = "api_key"


class CreatedKey(Struct, frozen=True):
    """A new key with its text, which is shown this once."""

    key: str
    info: Key
    object: str = "api_key.created"


class KeyList(Struct, frozen=True):
    """Keys, the oldest first."""

    data: list[Key]
    object: str = "list"


def show_key(info: KeyInfo) -> Key:
    """A key as the API tells of it."""
    return Key(
        id=info.id,
        kid=info.kid,
        name=info.name,
        last4=info.last4,
        source=info.source,
        organization=info.org_id,
        user=info.user_id,
        scope=info.scope,
        models=info.models,
        rpm=info.rpm,
        tpm=info.tpm,
        cap=info.cap,
        created_at=info.created_at,
        last_used_at=info.last_used_at,
        expires_at=info.expires_at,
        revoked_at=info.revoked_at,
        replaced_by=info.replaced_by,
    )


def show_created(issued: IssuedKey) -> CreatedKey:
    """A new key as it is told once."""
    return CreatedKey(issued.secret, show_key(issued.info))


def routes(desk: KeyDesk, *, models: Callable[[], Collection[str]] | None = None) -> tuple[AdminRoute, ...]:
    """The rows; `models` tells what models there are now, without it any name may be in an allow-list."""

    async def create(call: Call) -> Answer:
        order = _order(call, call.body)
        known = None if models is None else models()
        issued = await desk.issue(
            call.org_id, order, actor=call.who.actor, known=known, keep=call.keep(show_created)
        )
        return Answer(show_created(issued))

    async def list_keys(call: Call) -> Answer:
        return Answer(KeyList([show_key(info) for info in await desk.list(call.org_id)]))

    async def show(call: Call) -> Answer:
        return Answer(show_key(await desk.get(call.org_id, call.path["key"])))

    async def roll(call: Call) -> Answer:
        info = await desk.get(call.org_id, call.path["key"])
        _check_owner(call, info, action="keys.update")
        _check_scope(call, info.scope)
        issued = await desk.roll(
            call.org_id,
            info.id,
            actor=call.who.actor,
            force=call.body.force,
            keep=call.keep(show_created),
        )
        return Answer(show_created(issued))

    async def revoke(call: Call) -> Answer:
        info = await desk.get(call.org_id, call.path["key"])
        _check_owner(call, info, action="keys.revoke")
        return Answer(show_key(await desk.revoke(call.org_id, info.id, actor=call.who.actor)))

    every = f"{PREFIX}/organizations/{{org}}/keys"
    one = f"{every}/{{key}}"
    return (
        AdminRoute(
            "POST", every, create, "keys.create",
            "Create a key; its text is shown once", NewKey, CreatedKey, status=201,
        ),
        AdminRoute("GET", every, list_keys, "keys.read", "List the keys, ended ones included", answer=KeyList),
        AdminRoute("GET", one, show, "keys.read", "One key, by id or kid", answer=Key),
        AdminRoute(
            "POST", f"{one}/roll", roll, "keys.own",
            "Replace a key by a new one, a member one of their own; the old one is valid for 24 hours more", Roll, CreatedKey, status=201,
        ),
        AdminRoute(
            "DELETE", one, revoke, "keys.own",
            "End a key, and one that it replaced, a member one of their own; within 5 seconds everywhere", answer=Key,
        ),
    )  # fmt: skip


def _order(call: Call, body: NewKey) -> KeyOrder:
    _check_scope(call, body.scope)
    return KeyOrder(
        body.name,
        user_id=_user(call, body),
        scope=body.scope,
        models=None if body.models is None else tuple(body.models),
        expires=body.expires_at,
        rpm=body.rpm,
        tpm=body.tpm,
        cap=None if body.cap is None else read_usd(body.cap, param="cap"),
    )


def _own(call: Call, scope: Scope) -> str | None:
    """Whose a key is that names nobody: an operator who acts on a foreign organization is no member of it, and what a
    program makes to call models with is the organization's. No admin key outlives the rights of who made it.
    """
    caller = call.who
    if caller.operator:
        return caller.person if scope == "admin" and call.org_id == DEFAULT_ORG else None
    if caller.user is None and scope != "admin" and may(call.entered.role, "keys.update"):
        return None
    return caller.person


def _user(call: Call, body: NewKey) -> str | None:
    """Whose the key will be."""
    own = _own(call, body.scope)
    if body.user is UNSET:
        return own
    if body.user != own and not may(call.entered.role, "keys.update"):
        raise Forbidden("Only an administrator makes keys for others; leave `user` out to make your own.")
    return body.user


def _check_owner(call: Call, info: KeyInfo, *, action: str) -> None:
    """Raises for a key that is not the caller's own, where that takes another role."""
    own = info.user_id is not None and info.user_id == call.who.person
    if not own and not may(call.entered.role, action):
        raise Forbidden(
            f"This key is not yours: to roll or end keys of others needs the role {needed(action)}; yours is "
            f"{call.entered.role}."
        )


def _check_scope(call: Call, scope: Scope) -> None:
    if scope != "admin":
        return
    if call.org_id == DEFAULT_ORG and not call.who.operator:
        raise Forbidden("An admin key of this organization is an operator's: only an operator makes one.")
    if not may(call.entered.role, "keys.update"):
        raise Forbidden("Only an administrator makes keys for the admin API.")
