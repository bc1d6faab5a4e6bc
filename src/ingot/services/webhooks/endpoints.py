"""Webhook endpoints of an organization: made, read, changed, tested and deleted, with the secrets that sign for them.

    secret 1 --rotate--> secret 2, alone                       the old one is of no use any more
             --rotate, keep the old one--> 1 and 2 sign for 24 hours
                                           any other rotation meanwhile is refused unless forced

What belongs to somebody else and what was deleted cannot be told from what never was. A secret is told when it is made, and
never again. Changes stand in the audit log. Knows no HTTP of ours; who asks is known before.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from sqlalchemy import Connection

from ingot import deliveries as rules
from ingot.addresses import BadUrl, Reach
from ingot.clock import Clock
from ingot.deliveries import Digest, Generation
from ingot.dialects import webhooks as wire
from ingot.dialects.webhooks import CreateEndpoint, EndpointList, EndpointTested, UpdateEndpoint
from ingot.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded, Unauthenticated
from ingot.ids import NewId, new_id
from ingot.rawjson import clip
from ingot.services.keeping import Keep, keep_nothing, kept
from ingot.services.keys import Principal
from ingot.services.paging import no_place
from ingot.services.webhooks.orders import check_url
from ingot.services.webhooks.sending import READ_BYTES, Poster
from ingot.store import audit
from ingot.store import endpoints as store
from ingot.store.database import Database
from ingot.store.endpoints import EndpointRow
from ingot.store.organizations import organization
from ingot.store.responses import Step
from ingot.store.schema import micros, seconds
from ingot.upstream.fetch import FetchFault

MOST: Final = 50
"""Endpoints of one organization."""
OVERLAP: Final = micros(rules.OVERLAP_SECONDS)

T = TypeVar("T")


class Endpoints:
    """The endpoints of one database."""

    def __init__(
        self,
        db: Database,
        *,
        reach: Reach,
        poster: Poster,
        digest: Digest,
        clock: Clock,
        ids: NewId = new_id,
    ) -> None:
        """`digest` is the HMAC under the pepper, which secrets are derived from; `poster` sends tests."""
        self._db = db
        self._reach = reach
        self._poster = poster
        self._digest = digest
        self._clock = clock
        self._new_id = ids

    async def create(
        self, who: Principal, wanted: CreateEndpoint, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """A new endpoint with its secret; raises InvalidRequest, QuotaExceeded."""
        now = self._now()
        row = EndpointRow(
            id=self._new_id("we"),
            org_id=who.org_id,
            key_id=who.key_id,
            name=wanted.name,
            url=wanted.url,
            place=self._check(wanted.url),
            event_types=tuple(dict.fromkeys(wanted.event_types)),
            created_at=now,
            updated_at=now,
        )

        def write(conn: Connection) -> bytes:
            _check_organization(conn, who.org_id)
            if store.count_endpoints(conn, who.org_id) >= MOST:
                raise QuotaExceeded(
                    f"An organization has at most {MOST} webhook endpoints. Delete one that is not needed any more.",
                    status=403,
                    code="webhook_endpoint_limit",
                    headers=(("x-should-retry", "false"),),
                )
            store.insert_endpoint(conn, row)
            self._audit(conn, who, "create", row, at=now)
            return self._with_secret(row)

        return await self._write(who, kept(write, keep))

    async def read(self, org_id: str, which: str) -> bytes:
        """The endpoint; raises NotFound."""
        return await self._db.read(lambda conn: wire.encode(self._shown(_find(conn, org_id, which))))

    async def list(self, org_id: str, *, after: str | None, limit: int) -> bytes:
        """A page of endpoints, the newest first; raises InvalidRequest where `after` names none."""

        def read(conn: Connection) -> bytes:
            mark = None
            if after is not None:
                last = store.find_endpoint(conn, org_id, after)
                if last is None:
                    raise no_place()
                mark = last.mark
            rows, more = store.list_endpoints(conn, org_id, step=Step(mark, limit, descending=True))
            ends = (rows[0].id, rows[-1].id) if rows else (None, None)
            data = [self._shown(row) for row in rows]
            return wire.encode(EndpointList(data=data, first_id=ends[0], last_id=ends[1], has_more=more))

        return await self._db.read(read)

    async def update(
        self, who: Principal, which: str, wanted: UpdateEndpoint, *, keep: Keep[bytes] = keep_nothing
    ) -> bytes:
        """The endpoint with what is new of it; raises NotFound, InvalidRequest."""
        place = None if wanted.url is None else self._check(wanted.url)
        now = self._now()

        def write(conn: Connection) -> bytes:
            old = _find(conn, who.org_id, which)
            types = None if wanted.event_types is None else tuple(dict.fromkeys(wanted.event_types))
            row = replace(
                old,
                name=wanted.name or old.name,
                url=wanted.url or old.url,
                place=place or old.place,
                event_types=types or old.event_types,
            )
            if row != old:
                row = replace(row, updated_at=now)
                store.change_endpoint(conn, row)
                self._audit(conn, who, "update", row, at=now)
            return wire.encode(self._shown(row))

        return await self._write(who, kept(write, keep))

    async def delete(self, who: Principal, which: str) -> bytes:
        """Removes it, and ends what waits for it; raises NotFound."""
        now = self._now()

        def write(conn: Connection) -> bytes:
            row = _find(conn, who.org_id, which)
            store.delete_endpoint(conn, who.org_id, which, at=now)
            self._audit(conn, who, "delete", row, at=now)
            return wire.encode(wire.EndpointDeleted(id=which))

        return await self._write(who, write)

    async def rotate(
        self,
        who: Principal,
        which: str,
        wanted: wire.RotateSecret,
        *,
        keep: Keep[bytes] = keep_nothing,
    ) -> bytes:
        """The endpoint with its new secret; raises NotFound, Conflict."""
        now = self._now()

        def write(conn: Connection) -> bytes:
            old = _find(conn, who.org_id, which)
            overlap = wanted.keep_old_secret_active_for_24_hours
            secret = rotated(old.secret, now, overlap=overlap, force=wanted.force)
            row = replace(old, secret=secret, updated_at=now)
            store.change_endpoint(conn, row)
            self._audit(conn, who, "rotate", row, at=now)
            return self._with_secret(row)

        return await self._write(who, kept(write, keep))

    async def test(self, who: Principal, which: str, wanted: wire.TestEndpoint) -> bytes:
        """What the endpoint answers to an event that is about nothing; raises NotFound, InvalidRequest."""
        row = await self._db.read(partial(_find, org_id=who.org_id, which=which))
        at = self._clock.now()
        name = self._new_id("evt")
        body = rules.encode_event(
            name, wanted.event_type, object_id=f"{wanted.event_type.split('.')[0]}_test", at=int(at)
        )
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(at)),
            "webhook-signature": rules.sign(
                [rules.derive(self._digest, row.id, number) for number in row.secret.numbers(micros(at))],
                name,
                at=int(at),
                body=body,
            ),
        }
        try:
            reply = await self._poster.post(
                row.url,
                headers=headers,
                body=body,
                limit=READ_BYTES,
                seconds=rules.STANDARD.seconds,
            )
        except FetchFault as fault:
            raise InvalidRequest(
                f"The test was not answered: the URL of the endpoint {fault}.",
                param="url",
                code="webhook_test_failed",
            ) from fault
        return wire.encode(
            EndpointTested(event_type=wanted.event_type, status_code=reply.status, webhook_endpoint_id=row.id)
        )

    def _check(self, url: str) -> str:
        try:
            return check_url(url, self._reach)
        except BadUrl as error:
            raise InvalidRequest(f"'url' cannot be called. {error}", param="url") from error

    def _shown(self, row: EndpointRow) -> wire.Endpoint:
        return wire.Endpoint(
            id=row.id,
            created_at=seconds(row.created_at),
            updated_at=seconds(row.updated_at),
            name=row.name,
            url=row.url,
            event_types=row.event_types,
            signing_secret_hint=rules.hint(self._secret(row)),
            disabled_reason=row.disabled_why,
        )

    def _with_secret(self, row: EndpointRow) -> bytes:
        shown = self._shown(row)
        told = {name: getattr(shown, name) for name in shown.__struct_fields__}
        return wire.encode(
            wire.EndpointWithSecret(**told, signing_secret=rules.shown_secret(self._secret(row)))
        )

    def _secret(self, row: EndpointRow) -> bytes:
        return rules.derive(self._digest, row.id, row.secret.number)

    def _audit(self, conn: Connection, who: Principal, what: str, row: EndpointRow, *, at: int) -> None:
        audit.note(
            conn,
            who.org_id,
            actor=who.key_id,
            action=f"webhook_endpoint.{what}",
            subject=row.id,
            at=at,
            detail={"name": row.name, "place": row.place, "secret": row.secret.number},
        )

    async def _write(self, who: Principal, work: Callable[[Connection], T]) -> T:
        return await self._db.write(work, locks=(who.org_id,))

    def _now(self) -> int:
        return micros(self._clock.now())


def rotated(old: Generation, now: int, *, overlap: bool, force: bool) -> Generation:
    """The secret after this one; raises Conflict where the one before still signs, for a rotation would end that unasked."""
    if not force and old.old_until is not None and now < old.old_until:
        raise Conflict(
            "The secret was rotated less than 24 hours ago, and the one before it still signs. Wait until that is over, "
            "or send 'force': true, which ends that one now.",
            code="secret_rotated_recently",
            headers=(("x-should-retry", "false"),),
        )
    return Generation(old.number + 1, now + OVERLAP if overlap else None)


def _find(conn: Connection, org_id: str, which: str) -> EndpointRow:
    found = store.find_endpoint(conn, org_id, which)
    if found is None:
        raise NotFound(f"No webhook endpoint has the id '{clip(which)}'.", param="webhook_endpoint_id")
    return found


def _check_organization(conn: Connection, org_id: str) -> None:
    """Nothing is kept for an organization that was deleted while the request was on its way."""
    if organization(conn, org_id) is None:
        raise Unauthenticated("The organization of this API key was deleted.")
