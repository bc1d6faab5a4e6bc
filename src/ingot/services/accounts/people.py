"""People: how an account begins, how its owner comes in, and what becomes of a forgotten password.

    sign-up --mail--> verify: link + password --> verified            an unverified account may use nothing
    login   --limits, argon2id--> session
    reset   --mail--> new password, every session over, address proved

Whether an address has an account is told to its mailbox alone: sign-up, login and reset answer in the same words after
the same work. Who signs up again before verifying replaces the password, and a link counts only together with it, so
that nobody can prepare an account for somebody else. Knows no HTTP and no organization.
"""

from dataclasses import dataclass, field
from functools import partial

from sqlalchemy import Connection

from ingot.clock import Clock
from ingot.errors import Forbidden, InvalidRequest, RateLimited, Unauthenticated
from ingot.ids import NewId
from ingot.services.accounts.attempts import Attempts
from ingot.services.accounts.letters import Letters
from ingot.services.accounts.passwords import Passwords, check_password
from ingot.services.accounts.records import Caller, digest_of, read_email
from ingot.services.accounts.sessions import Sessions
from ingot.store import accounts as store
from ingot.store import sessions as session_store
from ingot.store.accounts import UserRow
from ingot.store.audit import note
from ingot.store.database import Database
from ingot.store.faults import StoreConflict
from ingot.store.schema import micros

LOGIN_TRIES, LOGIN_SECONDS = 10, 15 * 60
ADDRESS_TRIES, ADDRESS_SECONDS = 50, 15 * 60
MAIL_TRIES, MAIL_SECONDS = 20, 3600
NOBODY = "anonymous"


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
        self._by_account = Attempts(clock, most=LOGIN_TRIES, seconds=LOGIN_SECONDS)
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
        work = partial(self._sign_up, email=email, hashed=hashed)
        try:
            await self._db.write(work)
        except StoreConflict:  # the same address came twice at once; now it is there
            await self._db.write(work)

    def _sign_up(self, conn: Connection, email: str, hashed: str) -> None:
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
        note(conn, None, actor=NOBODY, action="user.signup", subject=user.id, at=at)

    async def send_verification(self, email: str, *, address: str | None) -> None:
        """Mails another link to an unverified account; the same for any other address. Raises RateLimited."""
        self.limit_mails(address)
        await self._db.write(partial(self._send_verification, email=read_email(email)))

    def _send_verification(self, conn: Connection, email: str) -> None:
        user = store.user_by_email(conn, email, lock=True)
        if user is not None and user.verified_at is None and user.disabled_at is None:
            self._letters.send_link(conn, user.id, email=email, letter="verify", purpose="verify")
        self._note_request(conn, "user.verification_asked", user)

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
        return await self._db.write(partial(self._verify, user=user, digest=digest, session=session))

    def _verify(self, conn: Connection, user: UserRow, digest: bytes, session: bytes | None) -> SignedIn:
        at = micros(self._clock.now())
        current = store.user_by_id(conn, user.id, lock=True)
        # Another sign-up in between would have put its own password there.
        if current is None or current.password != user.password:
            raise _bad_link("POST /admin/v1/auth/verification")
        if not store.use_link(conn, digest, purpose="verify", now=at):
            raise _bad_link("POST /admin/v1/auth/verification")
        store.set_verified(conn, user.id, at=at)
        note(conn, None, actor=user.id, action="user.verify", subject=user.id, at=at)
        session_store.end_sessions(conn, user.id, keep=session)
        return self._signed_in(conn, user.id, session=session)

    # ---- login and logout

    async def login(
        self, email: str, password: str, *, address: str | None, old: str | None = None
    ) -> SignedIn:
        """Opens a session; the browser's `old` one ends. Raises Unauthenticated, RateLimited, in the same words for all."""
        email = email.strip().lower()
        self._limit(self._by_account, email)
        self._limit_address(address)
        user = await self._db.read(partial(store.user_by_email, email=email))
        known = None if user is None or user.disabled_at is not None else user.password
        right = await self._passwords.matches(known, password)
        if user is None or known is None or not right:
            raise Unauthenticated("The mail address or the password is not right.", code="invalid_login")
        self._by_account.forgive(email)
        fresh = await self._passwords.hash(password) if self._passwords.outdated(known) else known
        return await self._db.write(partial(self._log_in, user=user, fresh=fresh, old=old))

    def _log_in(self, conn: Connection, user: UserRow, fresh: str, old: str | None) -> SignedIn:
        at = micros(self._clock.now())
        current = store.user_by_id(conn, user.id, lock=True)
        if current is None or current.disabled_at is not None or current.password != user.password:
            raise Unauthenticated("The mail address or the password is not right.", code="invalid_login")
        if fresh != user.password:
            store.set_password(conn, user.id, password=fresh)
        if old is not None:
            session_store.end_session(conn, digest_of(old))
        store.note_login(conn, user.id, at=at)
        note(conn, None, actor=user.id, action="session.begin", subject=user.id, at=at)
        return self._signed_in(conn, user.id, session=None)

    async def logout(self, caller: Caller) -> None:
        """Ends the caller's session."""
        await self._db.write(partial(self._log_out, caller=caller))

    def _log_out(self, conn: Connection, caller: Caller) -> None:
        if caller.session is not None and session_store.end_session(conn, caller.session):
            at = micros(self._clock.now())
            note(conn, None, actor=caller.actor, action="session.end", subject=caller.actor, at=at)

    # ---- passwords

    async def change_password(self, caller: Caller, *, current: str, new: str) -> SignedIn:
        """Sets another password: the session gets a new token, all others end. Raises InvalidRequest, RateLimited."""
        user = caller.user
        if user is None or caller.session is None:
            raise Forbidden("A key has no password.")
        check_password(new, param="new")
        self._limit(self._by_account, user.email)
        if not await self._passwords.matches(user.password, current):
            raise InvalidRequest("This is not the current password.", param="current", code="wrong_password")
        self._by_account.forgive(user.email)
        hashed = await self._passwords.hash(new)
        return await self._db.write(
            partial(self._change_password, user=user, session=caller.session, hashed=hashed)
        )

    def _change_password(self, conn: Connection, user: UserRow, session: bytes, hashed: str) -> SignedIn:
        at = micros(self._clock.now())
        store.set_password(conn, user.id, password=hashed)
        store.void_links(conn, user.id, purpose="reset", at=at)
        ended = session_store.end_sessions(conn, user.id, keep=session)
        self._letters.send(conn, None, email=user.email, payload={"letter": "changed"})
        detail = {"ended": ended}
        note(conn, None, actor=user.id, action="session.password", subject=user.id, at=at, detail=detail)
        return self._signed_in(conn, user.id, session=session)

    async def ask_reset(self, email: str, *, address: str | None) -> None:
        """Mails a link to set a new password, where the address has an account. Raises RateLimited."""
        self.limit_mails(address)
        await self._db.write(partial(self._ask_reset, email=read_email(email)))

    def _ask_reset(self, conn: Connection, email: str) -> None:
        user = store.user_by_email(conn, email, lock=True)
        if user is not None and user.disabled_at is None:
            self._letters.send_link(conn, user.id, email=email, letter="reset", purpose="reset")
        self._note_request(conn, "user.reset_asked", user)

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
        await self._db.write(partial(self._reset, user=user, digest=digest, hashed=hashed))
        self._by_account.forgive(user.email)

    def _reset(self, conn: Connection, user: UserRow, digest: bytes, hashed: str) -> None:
        at = micros(self._clock.now())
        if not store.use_link(conn, digest, purpose="reset", now=at):
            raise _bad_link("POST /admin/v1/auth/reset-request")
        store.set_password(conn, user.id, password=hashed)
        store.set_verified(conn, user.id, at=at)  # the mailbox is theirs
        store.void_links(conn, user.id, purpose="reset", at=at)
        store.void_links(conn, user.id, purpose="verify", at=at)
        session_store.end_sessions(conn, user.id)
        self._letters.send(conn, None, email=user.email, payload={"letter": "changed"})
        note(
            conn,
            None,
            actor=user.id,
            action="session.password",
            subject=user.id,
            at=at,
            detail={"reset": True},
        )

    # ---- what several share

    def limit_mails(self, address: str | None) -> None:
        """Counts what may cause a mail; raises RateLimited."""
        if address is not None:
            self._limit(self._mails, address)

    def _limit_address(self, address: str | None) -> None:
        if address is not None:
            self._limit(self._by_address, address)

    def _limit(self, attempts: Attempts, name: str) -> None:
        wait = attempts.take(name)
        if wait is not None:
            minutes = max(1, round(wait / 60))
            raise RateLimited(
                f"Too many tries. Wait about {minutes} {'minute' if minutes == 1 else 'minutes'}.",
                retry_after=wait,
                code="too_many_tries",
            )

    def _note_request(self, conn: Connection, action: str, user: UserRow | None) -> None:
        """One row for every request, known address or not, so that each costs one commit."""
        at = micros(self._clock.now())
        subject = "unknown" if user is None else user.id
        note(conn, None, actor=NOBODY, action=action, subject=subject, at=at)

    def _signed_in(self, conn: Connection, user_id: str, *, session: bytes | None) -> SignedIn:
        token = None if session is None else self._sessions.renew(conn, session)
        token = token or self._sessions.begin(conn, user_id)
        user = store.user_by_id(conn, user_id)
        if user is None:
            raise AssertionError("a session has a user")
        return SignedIn(user, token)


def _bad_link(again: str) -> InvalidRequest:
    return InvalidRequest(
        f"This link was used, has expired, or was not copied as a whole. {again} sends another.",
        param="token",
        code="invalid_link",
    )
