"""The admin API on a loopback port, behind the server's own connections, on a real database with a manual clock.

    async with open_house(data) as house:
        ada = await house.member("ada@example.org", org, role="owner")      a browser that is logged in
        status, headers, answer = await ada.call("GET", "/admin/v1/me")
        (letter,) = await house.mail()                                       what has left since

Mail is sent by the real sender into a post that keeps it. Passwords are hashed at the lowest cost.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
from argon2 import PasswordHasher
from sqlalchemy import Connection, Executable, Select, insert
from starlette.types import Receive, Scope, Send

from databases import Place, open_store
from ingot.clock import ManualClock
from ingot.config import AccountsConfig
from ingot.ids import new_id, random_text
from ingot.services.accounts import Accounts, open_accounts
from ingot.services.accounts.passwords import Passwords
from ingot.services.changes import Changes
from ingot.services.idempotency import Retries
from ingot.services.keys import KeyRing
from ingot.services.mail import MailSender
from ingot.services.measures import Measures
from ingot.signing import lookup_kid, make_key
from ingot.store import accounts as store
from ingot.store import members, organizations
from ingot.store.accounts import UserRow
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.store.members import Role
from ingot.store.organizations import OrganizationRow
from ingot.store.schema import api_keys, micros
from ingot.upstream.client import Client, Origin
from ingot.upstream.mail import Letter
from ingot.web import admin
from ingot.web.admin.application import AdminApi
from ingot.web.admin.routes import AdminRoute
from ingot.web.asgi import run_asgi
from ingot.web.errors import UNDRESSED, refusals
from ingot.web.exchange import Exchange
from ingot.web.hub import ConnectionLimits, Hub
from ingot.web.intake import LOOPBACK_HOSTS, Hosts
from ingot.web.proxies import Proxies
from ingot.web.server import connector
from keyhouse import Lines

URL = "https://ai.example.org"
PROXY = "10.0.0.2"
"""The one proxy that is believed."""
PASSWORD = "correct horse battery"
TOKEN = re.compile(r"#token=([0-9a-f]{64})\n")


@dataclass(frozen=True, slots=True)
class _Limits:
    connect: float = 20.0
    first_byte: float = 20.0
    idle: float = 20.0


class Mailbox:
    """A post that keeps what it is given."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []

    async def send(self, letter: Letter) -> None:
        self.letters.append(letter)


Reply = tuple[int, dict[str, str], Any]


@dataclass(slots=True)
class Browser:
    """Somebody who calls: with a cookie, a key, or nothing; as a page of ours unless told otherwise."""

    house: "House"
    cookie: str | None = None
    key: str | None = None
    user: UserRow | None = None
    page: dict[str, str] = field(default_factory=lambda: {"sec-fetch-site": "same-origin"})

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> Reply:
        """Status, headers and decoded body; a cookie that is set is kept, one that is dropped is forgotten."""
        status, found, answer = await self.fetch(method, path, body, headers=headers)
        return status, found, msgspec.json.decode(answer)

    async def fetch(
        self, method: str, path: str, body: Any = None, *, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """As `call`, the body as it came."""
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"host": "127.0.0.1"} | ({} if self.key else self.page)
        if body is not None:
            fields["content-type"] = "application/json"
        if self.cookie is not None:
            fields["cookie"] = f"{self.house.cookie_name}={self.cookie}"
        if self.key is not None:
            fields["authorization"] = f"Bearer {self.key}"
        fields |= headers or {}
        fields["content-length"] = str(len(data))
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        head = f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode()
        reply = await self.house.client.open(self.house.origin, head=head, body=data, timeouts=_Limits())
        answer = await reply.read(1 << 22)
        found = {name.decode(): value.decode() for name, value in reply.headers}
        if "set-cookie" in found:
            value = found["set-cookie"].partition(";")[0].partition("=")[2]
            self.cookie = value or None
        return reply.status, found, answer

    async def login(self, email: str, password: str = PASSWORD) -> Reply:
        """The answer to a login."""
        return await self.call("POST", "/admin/v1/auth/login", {"email": email, "password": password})


@dataclass(slots=True)
class House:
    """The API with all that it stands on."""

    db: Database
    accounts: Accounts
    ring: KeyRing
    changes: Changes
    clock: ManualClock
    log: Lines
    api: AdminApi
    client: Client
    origin: Origin
    cookie_name: str
    post: Mailbox
    sender: MailSender
    peer: str = "203.0.113.7"
    _read: int = 0

    def visitor(self) -> Browser:
        """Somebody without any credential."""
        return Browser(self)

    async def mail(self) -> list[Letter]:
        """What left since the last call."""
        while await self.sender.send_due():
            pass
        fresh = self.post.letters[self._read :]
        self._read = len(self.post.letters)
        return fresh

    async def token(self) -> str:
        """The token in the one mail that left since the last call."""
        (letter,) = await self.mail()
        match = TOKEN.search(letter.text)
        assert match, letter.text
        return match[1]

    async def person(self, email: str, *, verified: bool = True, operator: bool = False) -> Browser:
        """A new account whose owner is logged in, without the way through mail and password."""
        user, cookie = await self.db.write(
            partial(self._person, email=email, verified=verified, operator=operator)
        )
        return Browser(self, cookie=cookie, user=user)

    def _person(self, conn: Connection, *, email: str, verified: bool, operator: bool) -> tuple[UserRow, str]:
        at = micros(self.clock.now())
        user = UserRow(
            id=new_id("user"),
            email=email,
            password=HASHED,
            created_at=at,
            operator=int(operator),
            verified_at=at if verified else None,
        )
        store.insert_user(conn, user)
        return user, self.accounts.sessions.begin(conn, user.id)

    async def organization(self, name: str = "Analytical Engines") -> str:
        """A new organization without members; its id."""
        row = OrganizationRow(
            id=new_id("org"),
            name=name,
            plan="free",
            prepaid=True,
            keep_content=True,
            retention_days=None,
            created_at=micros(self.clock.now()),
        )
        await self.db.write(partial(organizations.insert_organization, row=row, plan_id="plan_free"))
        return row.id

    async def member(
        self, email: str, org_id: str, *, role: Role = "owner", verified: bool = True
    ) -> Browser:
        """A new person who belongs to an organization."""
        browser = await self.person(email, verified=verified)
        assert browser.user
        at = micros(self.clock.now())
        join = partial(members.insert_member, org_id=org_id, user_id=browser.user.id, role=role, at=at)
        await self.db.write(join)
        return browser

    async def key(self, org_id: str, *, scope: str = "admin", revoked: bool = False) -> Browser:
        """A program with a key of an organization."""
        made = make_key("ik", random_text=random_text)
        token = made.text.encode()
        digest = self.ring.digest(token)
        at = micros(self.clock.now())
        values = {
            "id": new_id("key"),
            "kid": lookup_kid(token, digest),
            "digest": digest,
            "pepper": 1,
            "last4": made.text[-4:],
            "name": "a program",
            "source": "issued",
            "created_at": at,
            "revoked_at": at if revoked else None,
            "org_id": org_id,
            "scope": scope,
        }
        await self.execute(insert(api_keys).values(values))
        return Browser(self, key=made.text)

    async def execute(self, statement: Executable, rows: Sequence[dict[str, Any]] | None = None) -> None:
        """Runs one statement past all services, once or for each row."""

        def run(conn: Connection) -> None:
            conn.execute(statement, rows)

        await self.db.write(run)

    async def rows(self, query: Select[Any]) -> list[tuple[Any, ...]]:
        """What a query finds."""
        return await self.db.read(lambda conn: [tuple(row) for row in conn.execute(query)])


def cheap_passwords() -> Passwords:
    """Argon2id at the lowest cost that it takes."""
    return Passwords(_HASHER)


_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
HASHED = _HASHER.hash(PASSWORD)


@asynccontextmanager
async def open_house(
    data: Path,
    *,
    signup: bool = True,
    url: str = URL,
    extra: Sequence[AdminRoute] = (),
    place: Place | None = None,
) -> AsyncIterator[House]:
    """An empty database in `data`, or at another place, with the admin API before it."""
    clock, log = ManualClock(1_800_000_000.0), Lines()
    opened = open_database(data, clock=clock) if place is None else open_store(place, clock=clock)
    async with opened as db:
        ring = await KeyRing.open(db, data, log=log, clock=clock)
        config = AccountsConfig(signup=signup, url=url)
        accounts = open_accounts(db, config, keys=ring, clock=clock, log=log, passwords=cheap_passwords())
        retries = await Retries.open(db, clock=clock, log=log, poll=0.01)
        changes = Changes(db, retries, digest=ring.digest, clock=clock)
        hosts, proxies = Hosts(LOOPBACK_HOSTS), Proxies([PROXY])
        api = admin.build(accounts, extra, changes=changes, hosts=hosts, proxies=proxies, log=log)
        client = Client()
        post = Mailbox()
        sender = MailSender(db, post=post, write=accounts.letters.write, clock=clock, log=log)
        async with _listening(api) as (port, peers):
            name = "sid" if url.startswith("http://") else "__Host-sid"
            origin = Origin("127.0.0.1", port)
            house = House(
                db, accounts, ring, changes, clock, log, api, client, origin, name, post, sender
            )  # fmt: skip
            peers.append(house)
            yield house
            await client.close()
        await accounts.close()
        await retries.close()
        await ring.close()


@asynccontextmanager
async def _listening(api: AdminApi) -> AsyncIterator[tuple[int, list[House]]]:
    """The API behind the server's own connections; the house tells which address a call seems to come from."""
    houses: list[House] = []

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        await api({**scope, "client": (houses[0].peer, 50_000)}, receive, send)

    def serve(exchange: Exchange) -> Any:
        return run_asgi(named, exchange)

    hub = Hub(
        serve,
        limits=ConnectionLimits(),
        refuse=refusals(UNDRESSED, measures=Measures(), log=Lines()),
    )
    state = SimpleNamespace(connections=set(), tasks=set(), total_requests=0)
    connect = connector(hub)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: connect(None, state, None), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], houses
    finally:
        server.close()
        for connection in tuple(hub.connections):
            connection.end()
        await asyncio.sleep(0)
