"""What operators and administrators do about webhooks: look at endpoints and deliveries, send once more, call a host again.

A delivery is told with its tries: when, how long, which status, over which kind of address; never with its body or token.
The organization's own secret, which signs what requests ordered, is told when it is rotated and never again. Changes stand
in the audit log.
"""

from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct
from sqlalchemy import Connection

from ingot import deliveries as rules
from ingot.clock import Clock
from ingot.deliveries import Digest
from ingot.errors import InvalidRequest, NotFound
from ingot.rawjson import clip
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.paging import no_place
from ingot.services.webhooks.endpoints import rotated
from ingot.store import audit, endpoints
from ingot.store import delivery_log as store
from ingot.store.database import Database
from ingot.store.deliveries import enable_place
from ingot.store.delivery_log import DeliveryRow, State, Which
from ingot.store.responses import Step, is_plain
from ingot.store.schema import micros, seconds, seconds_or_none

T = TypeVar("T")


class EndpointInfo(Struct, frozen=True):
    """An endpoint; instants in seconds since the epoch, `disabled_reason` null while it is called."""

    id: str
    name: str
    url: str
    event_types: list[str]
    created_at: int
    updated_at: int
    disabled_reason: str | None
    object: str = "webhook_endpoint"


class HostInfo(Struct, frozen=True):
    """A host that failed the last time: how often in a row, since when, when it is asked again."""

    host: str
    failures: int
    failing_since: int
    probe_at: int | None
    disabled_at: int | None


class WebhookStatus(Struct, frozen=True):
    """An organization's endpoints, and its hosts that fail."""

    endpoints: list[EndpointInfo]
    hosts: list[HostInfo]
    object: str = "webhooks"


class TryInfo(Struct, frozen=True):
    """One try: milliseconds, the status of the answer, the kind of address, what went wrong."""

    at: int
    ms: int
    status: int | None
    family: str | None
    error: str | None


class DeliveryInfo(Struct, frozen=True):
    """An event on its way to one URL; `state` is pending, delivered or failed."""

    id: str
    event: str
    type: str
    object_id: str
    endpoint: str | None
    url: str
    state: State
    attempts: int
    created_at: int
    next_at: int | None
    done_at: int | None
    error: str | None
    tries: list[TryInfo]
    object: str = "webhook_delivery"


class DeliveryPage(Struct, frozen=True):
    """Deliveries, the newest first."""

    data: list[DeliveryInfo]
    has_more: bool
    object: str = "list"


class Redelivered(Struct, frozen=True):
    """How many deliveries begin anew, and how many cannot, as their content is not kept any more."""

    deliveries: int
    gone: int


class Enabled(Struct, frozen=True):
    """What is called again."""

    enabled: str


class SecretInfo(Struct, frozen=True):
    """The organization's own secret; until `old_until` the one before it signs too."""

    hint: str
    number: int
    old_until: int | None
    secret: str | None = None
    """The secret itself, where it was just made."""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"SecretInfo({self.hint})"


class WebhookDesk:
    """The webhooks of one database, as those see them who are responsible for an organization."""

    def __init__(self, db: Database, *, digest: Digest, clock: Clock) -> None:
        """`digest` is the HMAC under the pepper, which secrets are derived from."""
        self._db = db
        self._digest = digest
        self._clock = clock

    async def status(self, org_id: str) -> WebhookStatus:
        """Endpoints and failing hosts."""

        def read(conn: Connection) -> WebhookStatus:
            rows, _ = endpoints.list_endpoints(conn, org_id, step=Step(None, 1000, descending=False))
            return WebhookStatus(
                [
                    EndpointInfo(
                        row.id,
                        row.name,
                        row.url,
                        list(row.event_types),
                        seconds(row.created_at),
                        seconds(row.updated_at),
                        row.disabled_why,
                    )
                    for row in rows
                ],
                [
                    HostInfo(
                        row.place,
                        row.failures,
                        seconds(row.failing_since),
                        seconds_or_none(row.probe_at),
                        seconds_or_none(row.disabled_at),
                    )
                    for row in store.list_places(conn, org_id)
                ],
            )

        return await self._db.read(read)

    async def deliveries(self, org_id: str, which: Which, *, after: str | None, limit: int) -> DeliveryPage:
        """A page of deliveries; raises InvalidRequest where `after` names none."""
        _check(which)

        def read(conn: Connection) -> DeliveryPage:
            mark = None if after is None else store.mark_of(conn, org_id, after)
            if after is not None and mark is None:
                raise no_place()
            rows, more = store.list_deliveries(conn, org_id, which, step=Step(mark, limit, descending=True))
            return DeliveryPage([_shown(row) for row in rows], more)

        return await self._db.read(read)

    async def redeliver(
        self, org_id: str, which: Which, *, actor: str, keep: Keep[Redelivered] = keep_nothing
    ) -> Redelivered:
        """Has events delivered once more; raises InvalidRequest for all at once, NotFound for an event that is not there."""
        _check(which)
        if which.event_id is None and which.since is None:
            raise InvalidRequest(
                "Say which: an 'event', or from when on with 'since'.",
                param="event",
            )
        now = self._now()

        def write(conn: Connection) -> Redelivered:
            again, gone = store.replay(conn, org_id, which, at=now)
            if which.event_id is not None and not again + gone:
                raise NotFound(
                    f"No event '{clip(which.event_id)}' of this organization has come to its end.",
                    param="event",
                )
            detail = {"deliveries": again, "since": which.since, "until": which.until}
            self._audit(conn, org_id, actor, "redeliver", which.event_id or "range", at=now, detail=detail)
            return Redelivered(again, gone)

        return await self._write(org_id, kept(write, keep))

    async def enable(
        self, org_id: str, which: str, *, actor: str, keep: Keep[Enabled] = keep_nothing
    ) -> Enabled:
        """Calls an endpoint or a host again that was disabled or fails; raises NotFound."""
        now = self._now()

        def write(conn: Connection) -> Enabled:
            row = endpoints.find_endpoint(conn, org_id, which)
            place = which if row is None else row.place
            found = row is not None and store.enable_endpoint(conn, org_id, which, at=now)
            if not enable_place(conn, org_id, place) and not found:
                raise NotFound(
                    f"Nothing is disabled that is called '{clip(which)}': name an endpoint by its id, or a host as the "
                    "list of webhooks has it.",
                    param="name",
                )
            self._audit(conn, org_id, actor, "enable", which, at=now)
            return Enabled(which)

        return await self._write(org_id, kept(write, keep))

    async def secret(self, org_id: str) -> SecretInfo:
        """Which secret signs what requests order, without telling it."""
        return await self._db.read(lambda conn: self._secret(conn, org_id, tell=False))

    async def rotate_secret(
        self,
        org_id: str,
        *,
        actor: str,
        overlap: bool = True,
        force: bool = False,
        keep: Keep[SecretInfo] = keep_nothing,
    ) -> SecretInfo:
        """A new secret, which is told this once; with `overlap` the old one signs too for 24 hours. Raises Conflict."""
        now = self._now()

        def write(conn: Connection) -> SecretInfo:
            old = endpoints.account_secret(conn, org_id)
            endpoints.set_account_secret(conn, org_id, rotated(old, now, overlap=overlap, force=force))
            self._audit(conn, org_id, actor, "rotate", org_id, at=now, detail={"secret": old.number + 1})
            return self._secret(conn, org_id, tell=True)

        return await self._write(org_id, kept(write, keep))

    def _secret(self, conn: Connection, org_id: str, *, tell: bool) -> SecretInfo:
        known = endpoints.account_secret(conn, org_id)
        secret = rules.derive(self._digest, org_id, known.number)
        shown = rules.shown_secret(secret) if tell else None
        return SecretInfo(rules.hint(secret), known.number, seconds_or_none(known.old_until), shown)

    def _audit(
        self,
        conn: Connection,
        org_id: str,
        actor: str,
        what: str,
        subject: str,
        *,
        at: int,
        detail: audit.Detail | None = None,
    ) -> None:
        audit.note(conn, org_id, actor=actor, action=f"webhook.{what}", subject=subject, at=at, detail=detail)

    async def _write(self, org_id: str, work: Callable[[Connection], T]) -> T:
        return await self._db.write(work, locks=(org_id,))

    def _now(self) -> int:
        return micros(self._clock.now())


def _check(which: Which) -> None:
    for param, text in (
        ("event", which.event_id),
        ("endpoint", which.endpoint_id),
        ("object", which.object_id),
    ):
        if text is not None and not is_plain(text):
            raise InvalidRequest(f"'{param}' is empty, too long or no text.", param=param)


def _shown(row: DeliveryRow) -> DeliveryInfo:
    return DeliveryInfo(
        id=row.id,
        event=row.event_id,
        type=row.kind,
        object_id=row.object_id,
        endpoint=row.endpoint_id,
        url=row.url,
        state=row.state,
        attempts=row.attempts,
        created_at=seconds(row.created_at),
        next_at=seconds(row.due_at) if row.done_at is None else None,
        done_at=seconds_or_none(row.done_at),
        error=row.error,
        tries=[
            TryInfo(seconds(each.at), each.ms, each.status, each.family, each.error) for each in row.tries
        ],
    )
