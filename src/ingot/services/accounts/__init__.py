"""Accounts: people, their sessions, organizations with members and roles, and who may do what.

    gate            who is asking, whether they may            permissions   the table of roles and actions
    people          sign-up, verification, login, passwords    sessions      how long a login lasts
    organizations   create, set, delete                        team          members, invitations
    letters         the mails that all of it causes            desk          what the operator's commands do

`open_accounts` joins them for one process; the audit log is `store.audit.note`, called where a change is written.
"""

from dataclasses import dataclass

from ingot.clock import Clock
from ingot.config import AccountsConfig
from ingot.ids import NewId, new_id
from ingot.logs import Log
from ingot.services.accounts.gate import Gate, Keys
from ingot.services.accounts.letters import Letters
from ingot.services.accounts.organizations import Organizations
from ingot.services.accounts.passwords import Passwords
from ingot.services.accounts.people import People
from ingot.services.accounts.records import RandomBytes, random_bytes
from ingot.services.accounts.sessions import Sessions
from ingot.services.accounts.team import Team
from ingot.store.database import Database

__all__ = ["Accounts", "open_accounts"]


@dataclass(frozen=True, slots=True)
class Accounts:
    """The services of one process; `run` is a task for as long as it serves, `close` comes before the database's."""

    db: Database
    config: AccountsConfig
    clock: Clock
    gate: Gate
    people: People
    sessions: Sessions
    organizations: Organizations
    team: Team
    letters: Letters
    passwords: Passwords

    async def run(self) -> None:
        """What runs beside the requests; until cancelled."""
        await self.organizations.run()

    async def close(self) -> None:
        """Finishes what runs in the background and ends the threads."""
        await self.organizations.close()
        self.passwords.close()


def open_accounts(
    db: Database,
    config: AccountsConfig,
    *,
    keys: Keys,
    clock: Clock,
    log: Log,
    passwords: Passwords | None = None,
    random: RandomBytes = random_bytes,
    ids: NewId = new_id,
) -> Accounts:
    """The services on one database; `keys` recognises admin keys."""
    passwords = passwords or Passwords()
    sessions = Sessions(db, clock=clock, random=random)
    letters = Letters(db, url=config.url, clock=clock, new_id=ids, random=random)
    return Accounts(
        db=db,
        config=config,
        clock=clock,
        gate=Gate(db, keys=keys, sessions=sessions),
        people=People(
            db,
            signup=config.signup,
            sessions=sessions,
            passwords=passwords,
            letters=letters,
            clock=clock,
            new_id=ids,
        ),
        sessions=sessions,
        organizations=Organizations(
            db, plan=config.plan, sessions=sessions, clock=clock, log=log, new_id=ids
        ),
        team=Team(db, sessions=sessions, passwords=passwords, letters=letters, clock=clock, new_id=ids),
        letters=letters,
        passwords=passwords,
    )
