"""What a route of the admin API is: a row that says how it is called, who may call it, and what goes in and out.

    AdminRoute("POST", "/admin/v1/organizations/{org}/keys", create_key, action="keys.create",
               description="Create a key; its text is shown once", body=NewKey, answer=CreatedKey, status=201)

Everything that guards a call is read from the row, so a handler only does the work: `action` is checked against
`services.accounts.permissions`, `{org}` names the organization that the right is about, `body` and `query` are structs
that the request was decoded into. A handler raises an ApiError to refuse. The description at /admin/v1/openapi.json and
the test of every route with every kind of caller are made from the same rows.

A row that changes something by POST or PUT takes an idempotency key. Its handler passes `call.keep(show)` to the service,
which keeps the answer in the transaction that makes the change; a handler that forgets it fails the test of all such
rows. `keyless` rows are those that take a password or open or end a session.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from msgspec import Struct
from sqlalchemy import Connection

from ingot.services.accounts.gate import Access
from ingot.services.accounts.records import Caller
from ingot.services.keeping import Keep, keep_nothing

T = TypeVar("T")

Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]

PREFIX = "/admin/v1"


@dataclass(frozen=True, slots=True)
class Call:
    """One admitted call, as a handler gets it."""

    caller: Caller | None
    access: Access | None
    path: dict[str, str]
    body: Any = None
    query: Any = None
    address: str | None = None
    """The client's IP address, where it is known; for limits and the audit log."""
    session: str | None = field(default=None, repr=False)
    """The token in the cookie, whether or not it is still good."""
    accept: str = ""
    """The Accept header, for routes that answer in more than one type."""
    store: Keep[Any] | None = field(default=None, repr=False)
    """Keeps the value of the answer for retries; None where the call carries no idempotency key that counts."""

    def keep(self, show: Callable[[T], Any]) -> Keep[T]:
        """What keeps the answer inside the change's transaction; `show` makes the answer's value of the change's result."""
        store = self.store
        if store is None:
            return keep_nothing

        def keep(conn: Connection, result: T) -> None:
            store(conn, show(result))

        return keep

    @property
    def who(self) -> Caller:
        """The caller of a route whose action is not `anyone`."""
        if self.caller is None:
            raise AssertionError("the gate admits nobody without a credential to this action")
        return self.caller

    @property
    def entered(self) -> Access:
        """The organization in the path, and what the caller is there."""
        if self.access is None:
            raise AssertionError("the action is not about an organization")
        return self.access

    @property
    def org_id(self) -> str:
        """The id of the organization in the path, which exists and which the caller may act on."""
        return self.entered.organization.id


@dataclass(frozen=True, slots=True)
class Download:
    """An answer that comes in pieces, however long it gets: its type, what a browser calls the file, and the pieces."""

    media_type: str
    name: str
    pieces: AsyncIterator[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler gives back: a value to encode as JSON, or a Download; and what becomes of the session's cookie."""

    value: Any
    session: str | None = field(default=None, repr=False)
    """A token that the browser is to hold from now on."""
    forget: bool = False
    """Whether the browser is to forget its token."""


Handler = Callable[[Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class AdminRoute:
    """One row of the route table; paths begin with /admin/v1."""

    method: Method
    path: str
    handler: Handler
    action: str
    description: str
    body: type[Struct] | None = None
    answer: Any = None
    query: type[Struct] | None = None
    status: int = 200
    downloads: tuple[str, ...] = ()
    """Types other than JSON that a reading route answers in, as Downloads."""
    keyless: bool = False
    """Whether a change goes without an idempotency key, because it takes a password or opens or ends a session."""

    @property
    def keyed(self) -> bool:
        """Whether an idempotency key counts here."""
        return self.method in {"POST", "PUT"} and not self.keyless

    @property
    def name(self) -> str:
        """`GET /admin/v1/me`."""
        return f"{self.method} {self.path}"


class Gone(Struct, frozen=True):
    """The answer to a deletion."""

    id: str
    deleted: bool = True


class Done(Struct, frozen=True):
    """The answer to a request that has no more to tell."""

    message: str
