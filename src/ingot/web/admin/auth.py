"""Routes for coming in: sign-up, verification, login, logout, passwords.

What they answer does not tell whether an address has an account. Tokens travel in cookies and in mails alone. None
of these takes an idempotency key: an answer that opens a session is given once.
"""

from typing import Annotated

from msgspec import Meta, Struct

from ingot.services.accounts import Accounts
from ingot.services.accounts.people import People, SignedIn
from ingot.services.accounts.permissions import ANYONE, PERSON
from ingot.web.admin.routes import PREFIX, AdminRoute, Answer, Call, Done
from ingot.web.admin.shapes import User, show_user

Email = Annotated[str, Meta(min_length=3, max_length=254)]
Secret = Annotated[str, Meta(min_length=1, max_length=1024)]
Token = Annotated[str, Meta(min_length=1, max_length=200)]

_MAILED = Done(
    "If this address can have an account here, a mail is on its way to it. Nothing came? Look among the spam, or ask again "
    "in an hour."
)


class SignUp(Struct, frozen=True):
    """A new account; the password has 8 to 128 characters."""

    email: Email
    password: Secret


class Login(Struct, frozen=True):
    """What opens a session."""

    email: Email
    password: Secret


class Address(Struct, frozen=True):
    """Where to send a mail."""

    email: Email


class Verification(Struct, frozen=True):
    """A link's token; without a session also the password that was chosen at sign-up."""

    token: Token
    password: Secret | None = None


class PasswordChange(Struct, frozen=True):
    """The password as it is and as it shall be."""

    current: Secret
    new: Secret


class Reset(Struct, frozen=True):
    """A link's token and the new password."""

    token: Token
    password: Secret


class _Auth:
    """The handlers."""

    def __init__(self, people: People) -> None:
        self._people = people

    async def sign_up(self, call: Call) -> Answer:
        body: SignUp = call.body
        await self._people.sign_up(body.email, body.password, address=call.address)
        return Answer(_MAILED)

    async def send_verification(self, call: Call) -> Answer:
        body: Address = call.body
        await self._people.send_verification(body.email, address=call.address)
        return Answer(_MAILED)

    async def verify(self, call: Call) -> Answer:
        body: Verification = call.body
        return _entered(
            await self._people.verify(
                body.token, password=body.password, caller=call.caller, address=call.address
            )
        )

    async def log_in(self, call: Call) -> Answer:
        body: Login = call.body
        return _entered(
            await self._people.login(body.email, body.password, address=call.address, old=call.session)
        )

    async def log_out(self, call: Call) -> Answer:
        await self._people.logout(call.who, address=call.address)
        return Answer(Done("Logged out."), forget=True)

    async def change_password(self, call: Call) -> Answer:
        body: PasswordChange = call.body
        return _entered(
            await self._people.change_password(
                call.who, current=body.current, new=body.new, address=call.address
            )
        )

    async def ask_reset(self, call: Call) -> Answer:
        body: Address = call.body
        await self._people.ask_reset(body.email, address=call.address)
        return Answer(_MAILED)

    async def reset(self, call: Call) -> Answer:
        body: Reset = call.body
        await self._people.reset(body.token, body.password, address=call.address)
        return Answer(Done("The password is set, and every session was ended. Log in with it."), forget=True)


def _entered(signed_in: SignedIn) -> Answer:
    return Answer(show_user(signed_in.user), session=signed_in.token)


def routes(accounts: Accounts) -> tuple[AdminRoute, ...]:
    """The rows."""
    handlers = _Auth(accounts.people)
    auth = f"{PREFIX}/auth"
    return (
        AdminRoute(
            "POST", f"{auth}/signup", handlers.sign_up, ANYONE,
            "Create an account; a mail brings the link that verifies it", SignUp, Done, status=202, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/verification", handlers.send_verification, ANYONE,
            "Send the verification mail again, three times an hour at most", Address, Done, status=202, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/verify", handlers.verify, ANYONE,
            "Verify a mail address with the token of the link, and log in", Verification, User, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/login", handlers.log_in, ANYONE,
            "Open a session, in a cookie", Login, User, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/logout", handlers.log_out, PERSON,
            "End the session", answer=Done, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/password", handlers.change_password, PERSON,
            "Change the password; every other session ends", PasswordChange, User, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/reset-request", handlers.ask_reset, ANYONE,
            "Send a mail with a link to set a new password", Address, Done, status=202, keyless=True,
        ),
        AdminRoute(
            "POST", f"{auth}/reset", handlers.reset, ANYONE,
            "Set a new password with the token of the link; every session ends", Reset, Done, keyless=True,
        ),
    )  # fmt: skip
