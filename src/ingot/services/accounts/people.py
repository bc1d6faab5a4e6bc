"""People: how an account begins, how its owner comes in, and what becomes of a forgotten password.

    sign-up --mail--> verify: link + password --> verified            an unverified account may use nothing
    login   --limits, argon2id--> session
    reset   --mail--> new password, every session over, address proved

Whether an address has an account is told to its mailbox alone: sign-up, login and reset answer in the same words after
the same work. Who signs up again before verifying replaces the password, and a link counts only together with it, so
that nobody can prepare an account for somebody else. Each way in leaves a row in the audit log with the address it came
from. Knows no HTTP and no organization.
"""

import math
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import Forbidden, InvalidRequest, RateLimited, Unauthenticated
from ingot.ids import NewId
from ingot.services.accounts.attempts import Attempts, Logins
from ingot.services.accounts.letters import Letters
from ingot.services.accounts.passwords import Passwords, check_password
from ingot.services.accounts.records import Caller, digest_of, read_email
from ingot.services.accounts.sessions import Sessions
from ingot.services.failures import place_of
from ingot.store import accounts as store
from ingot.store import sessions as session_store
from ingot.store.accounts import UserRow
from ingot.store.audit import Detail, note
from ingot.store.database import Database
from ingot.store.faults import StoreConflict
from ingot.store.schema import micros

LOGIN_TRIES, LOGIN_SECONDS = 10, 15 * 60
ACCOUNT_TRIES = 100
"""Of one account in the same time, from all addresses together."""
ADDRESS_TRIES, ADDRESS_SECONDS = 50, 15 * 60
MAIL_TRIES, MAIL_SECONDS = 20, 3600
NOBODY = "anonymous"
NOTHING: Detail = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A person with the token of their session, which goes into a cookie and nowhere else."""

    user: UserRow
    token: str = field(repr=False)


class People:
    """The accounts of one server."""

    def __init__(
        self,
        db: Database,
        *,
        signup: bool,
        sessions: Sessions,
        passwords: Passwords,
        letters: Letters,
        clock: Clock,
        new_id: NewId,
    ) -> None:
        """`signup` lets anybody create an account."""
        self._db = db
        self._signup = signup
        self._sessions = sessions
        self._passwords = passwords
        self._letters = letters
        self._clock = clock
        self._new_id = new_id
        self._logins = Logins(clock, most=LOGIN_TRIES, overall=ACCOUNT_TRIES, seconds=LOGIN_SECONDS)
        self._by_address = Attempts(clock, most=ADDRESS_TRIES, seconds=ADDRESS_SECONDS)
        self._mails = Attempts(clock, most=MAIL_TRIES, seconds=MAIL_SECONDS)

    # ---- sign-up and verification

    async def sign_up(self, email: str, password: str, *, address: str | None) -> None:
        """Creates an account and mails its link; says nothing of whether there was one. Raises Forbidden, RateLimited."""
        if not self._signup:
            raise Forbidden(
                "Sign-up is closed on this server. An owner or admin of an organization can invite you, and the "
                "operator can create an account with `ingot users create`.",
                code="signup_closed",
            )
        self.limit_mails(address)
        email = read_email(email)
        hashed = await self._passwords.hash(password)
        work = partial(self._sign_up, email=email, hashed=hashed, address=address)
        try:
            await self._db.write(work)
        except StoreConflict:  # the same address came twice at once; now it is there
            await self._db.write(work)

    def _sign_up(self, conn: Connection, email: str, hashed: str, address: str | None) -> None:
        at = micros(self._clock.now())
        user = store.user_by_email(conn, email, lock=True)
        if user is None:
            user = UserRow(id=self._new_id("user"), email=email, password=hashed, created_at=at)
            store.insert_user(conn, user)
            self._letters.send_link(conn, user.id, email=email, letter="verify", purpose="verify")
        elif user.disabled_at is None and user.verified_at is not None:
            self._letters.send_link(conn, user.id, email=email, letter="exists", purpose="reset")
        elif user.disabled_at is None and self._letters.free(conn, user.id, purpose="verify"):
            store.set_password(conn, user.id, password=hashed)
            store.void_links(conn, user.id, purpose="verify", at=at)
            session_store.end_sessions(conn, user.id)
            self._letters.send_link(conn, user.id, email=email, letter="verify", purpose="verify")
        # One row whatever was found: each way ends in a commit of the same kind, and takes as long.
        _note(conn, user.id, actor=NOBODY, action="user.signup", at=at, address=address)

    async def send_verification(self, email: str, *, address: str | None) -> None:
        """Mails another link to an unverified account; the same for any other address. Raises RateLimited."""
        self.limit_mails(address)
        await self._db.write(partial(self._send_verification, email=read_email(email), address=address))

    def _send_verification(self, conn: Connection, email: str, address: str | None) -> None:
        user = store.user_by_email(conn, email, lock=True)
        if user is not None and user.verified_at is None and user.disabled_at is None:
            self._letters.send_link(conn, user.id, email=email, letter="verify", purpose="verify")
        self._note_request(conn, "user.verification_asked", user, address=address)

    async def verify(
        self, token: str, *, password: str | None, caller: Caller | None, address: str | None
    ) -> SignedIn:
        """Proves a mail address with a link's token, and the person with the session or the password.

        Raises InvalidRequest for a link that is used or over, Unauthenticated for a wrong or missing password.
        """
        self._limit_address(address)
        digest = digest_of(token)
        now = micros(self._clock.now())
        user = await self._db.read(partial(store.link_owner, digest=digest, purpose="verify", now=now))
        if user is None or user.disabled_at is not None:
            raise _bad_link("POST /admin/v1/auth/verification")
        session = caller.session if caller is not None and caller.actor == user.id else None
        if session is None and not await self._passwords.matches(user.password, password or ""):
            raise Unauthenticated(
                "The link is good; send the password that was chosen at sign-up along with it. If it is lost, "
                "POST /admin/v1/auth/reset-request sends a mail to set another.",
                code="invalid_login",
            )
        work = partial(self._verify, user=user, digest=digest, session=session, address=address)
        return await self._db.write(work)

    def _verify(
        self, conn: Connection, user: UserRow, digest: bytes, session: bytes | None, address: str | None
    ) -> SignedIn:
        at = micros(self._clock.now())
        current = store.user_by_id(conn, user.id, lock=True)
        # Another sign-up in between would have put its own password there.
        if current is None or current.password != user.password:
            raise _bad_link("POST /admin/v1/auth/verification")
        if not store.use_link(conn, digest, purpose="verify", now=at):
            raise _bad_link("POST /admin/v1/auth/verification")
        store.set_verified(conn, user.id, at=at)
        _note(conn, user.id, actor=user.id, action="user.verify", at=at, address=address)
        session_store.end_sessions(conn, user.id, keep=session)
        return self._signed_in(conn, user.id, session=session)

    # ---- login and logout

    async def login(
        self, email: str, password: str, *, address: str | None, old: str | None = None
    ) -> SignedIn:
        """Opens a session; the browser's `old` one ends. Raises Unauthenticated, RateLimited, in the same words for all."""
        email = email.strip().lower()
        self._limit_login(email, address)
        self._limit_address(address)
        user = await self._db.read(partial(store.user_by_email, email=email))
        known = None if user is None or user.disabled_at is not None else user.password
        right = await self._passwords.matches(known, password)
        if user is None or known is None or not right:
            raise Unauthenticated("The mail address or the password is not right.", code="invalid_login")
        self._logins.succeed(email, _place(address))
        fresh = await self._passwords.hash(password) if self._passwords.outdated(known) else known
        return await self._db.write(partial(self._log_in, user=user, fresh=fresh, old=old, address=address))

    def _log_in(
        self, conn: Connection, user: UserRow, fresh: str, old: str | None, address: str | None
    ) -> SignedIn:
        at = micros(self._clock.now())
        current = store.user_by_id(conn, user.id, lock=True)
        if current is None or current.disabled_at is not None or current.password != user.password:
            raise Unauthenticated("The mail address or the password is not right.", code="invalid_login")
        if fresh != user.password:
            store.set_password(conn, user.id, password=fresh)
        if old is not None:
            session_store.end_session(conn, digest_of(old))
        store.note_login(conn, user.id, at=at)
        _note(conn, user.id, actor=user.id, action="session.begin", at=at, address=address)
        return self._signed_in(conn, user.id, session=None)

    async def logout(self, caller: Caller, *, address: str | None) -> None:
        """Ends the caller's session."""
        await self._db.write(partial(self._log_out, caller=caller, address=address))

    def _log_out(self, conn: Connection, caller: Caller, address: str | None) -> None:
        if caller.session is not None and session_store.end_session(conn, caller.session):
            at = micros(self._clock.now())
            _note(conn, caller.actor, actor=caller.actor, action="session.end", at=at, address=address)

    # ---- passwords

    async def change_password(
        self, caller: Caller, *, current: str, new: str, address: str | None
    ) -> SignedIn:
        """Sets another password: the session gets a new token, all others end. Raises InvalidRequest, RateLimited."""
        user = caller.user
        if user is None or caller.session is None:
            raise Forbidden("A key has no password.")
        check_password(new, param="new")
        self._limit_login(user.email, address)
        if not await self._passwords.matches(user.password, current):
            raise InvalidRequest("This is not the current password.", param="current", code="wrong_password")
        self._logins.succeed(user.email, _place(address))
        hashed = await self._passwords.hash(new)
        work = partial(
            self._change_password, user=user, session=caller.session, hashed=hashed, address=address
        )
        return await self._db.write(work)

    def _change_password(
        self, conn: Connection, user: UserRow, session: bytes, hashed: str, address: str | None
    ) -> SignedIn:
        at = micros(self._clock.now())
        store.set_password(conn, user.id, password=hashed)
        store.void_links(conn, user.id, purpose="reset", at=at)
        ended = session_store.end_sessions(conn, user.id, keep=session)
        self._letters.send(conn, None, email=user.email, payload={"letter": "changed"})
        told = {"ended": ended}
        _note(conn, user.id, actor=user.id, action="session.password", at=at, address=address, told=told)
        return self._signed_in(conn, user.id, session=session)

    async def ask_reset(self, email: str, *, address: str | None) -> None:
        """Mails a link to set a new password, where the address has an account. Raises RateLimited."""
        self.limit_mails(address)
        await self._db.write(partial(self._ask_reset, email=read_email(email), address=address))

    def _ask_reset(self, conn: Connection, email: str, address: str | None) -> None:
        user = store.user_by_email(conn, email, lock=True)
        if user is not None and user.disabled_at is None:
            self._letters.send_link(conn, user.id, email=email, letter="reset", purpose="reset")
        self._note_request(conn, "user.reset_asked", user, address=address)

    async def reset(self, token: str, password: str, *, address: str | None) -> None:
        """Sets a new password with a link's token; every session ends. Raises InvalidRequest for a dead link."""
        self._limit_address(address)
        check_password(password)
        digest = digest_of(token)
        now = micros(self._clock.now())
        user = await self._db.read(partial(store.link_owner, digest=digest, purpose="reset", now=now))
        if user is None or user.disabled_at is not None:
            raise _bad_link("POST /admin/v1/auth/reset-request")
        hashed = await self._passwords.hash(password)
        await self._db.write(partial(self._reset, user=user, digest=digest, hashed=hashed, address=address))
        self._logins.forgive(user.email, _place(address))

    def _reset(
        self, conn: Connection, user: UserRow, digest: bytes, hashed: str, address: str | None
    ) -> None:
        at = micros(self._clock.now())
        if not store.use_link(conn, digest, purpose="reset", now=at):
            raise _bad_link("POST /admin/v1/auth/reset-request")
        store.set_password(conn, user.id, password=hashed)
        store.set_verified(conn, user.id, at=at)  # the mailbox is theirs
        store.void_links(conn, user.id, purpose="reset", at=at)
        store.void_links(conn, user.id, purpose="verify", at=at)
        session_store.end_sessions(conn, user.id)
        self._letters.send(conn, None, email=user.email, payload={"letter": "changed"})
        told = {"reset": True}
        _note(conn, user.id, actor=user.id, action="session.password", at=at, address=address, told=told)

    # ---- what several share

    def limit_mails(self, address: str | None) -> None:
        """Counts what may cause a mail; raises RateLimited."""
        if address is not None:
            self._limit(self._mails, place_of(address))

    def _limit_address(self, address: str | None) -> None:
        if address is not None:
            self._limit(self._by_address, place_of(address))

    def _limit_login(self, email: str, address: str | None) -> None:
        _check_wait(self._logins.take(email, _place(address)))

    def _limit(self, attempts: Attempts, name: str) -> None:
        _check_wait(attempts.take(name))

    def _note_request(
        self, conn: Connection, action: str, user: UserRow | None, *, address: str | None
    ) -> None:
        """One row for every request, known address or not, so that each costs one commit."""
        at = micros(self._clock.now())
        subject = "unknown" if user is None else user.id
        _note(conn, subject, actor=NOBODY, action=action, at=at, address=address)

    def _signed_in(self, conn: Connection, user_id: str, *, session: bytes | None) -> SignedIn:
        token = None if session is None else self._sessions.renew(conn, session)
        token = token or self._sessions.begin(conn, user_id)
        user = store.user_by_id(conn, user_id)
        if user is None:
            raise AssertionError("a session has a user")
        return SignedIn(user, token)


def _note(
    conn: Connection,
    subject: str,
    *,
    actor: str,
    action: str,
    at: int,
    address: str | None,
    told: Detail = NOTHING,
) -> None:
    """A row about a person, with the address that the call came from where it is known."""
    detail = told if address is None else {**told, "address": address}
    note(conn, None, actor=actor, action=action, subject=subject, at=at, detail=detail)


def _place(address: str | None) -> str:
    return "" if address is None else place_of(address)


def _check_wait(wait: float | None) -> None:
    if wait is not None:
        # Text and header say the same: whole minutes, after which a try is certainly free.
        minutes = math.ceil(wait / 60)
        raise RateLimited(
            f"Too many tries. Wait {minutes} {'minute' if minutes == 1 else 'minutes'}.",
            retry_after=60.0 * minutes,
            code="too_many_tries",
        )


def _bad_link(again: str) -> InvalidRequest:
    return InvalidRequest(
        f"This link was used, has expired, or was not copied as a whole. {again} sends another.",
        param="token",
        code="invalid_link",
    )
