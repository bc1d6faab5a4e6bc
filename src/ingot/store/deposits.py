"""What work that waits has reserved of balances and budgets: leases that belong to the queue and to no process.

    deposit  in the commit that puts the work in: all accounts or none
    charge   in the commit of a result, as of any call (`balances`)
    release  in the commit that ends the job: what is left of them

They outlive every process, and are void long after the longest window. Plain functions over a connection.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import Connection

from ingot.store.holds import QUEUE, Account, Ask, Part, Return, Taken, give_back, take
from ingot.store.schema import MICROSECOND

LASTING: Final = 366 * 86_400 * MICROSECOND

_parts: Final = msgspec.json.Decoder(tuple[Part, ...])


@dataclass(frozen=True, slots=True)
class Deposit:
    """An amount to be reserved of each account, each under a lease of this name."""

    accounts: tuple[Account, ...]
    leases: tuple[str, ...]
    amount: int
    now: int


class Short(Exception):
    """An account has less than was to be reserved: whatever the transaction did is to be undone."""

    def __init__(self, account: Account, taken: Taken) -> None:
        super().__init__(f"{account} has too little")
        self.account = account
        self.taken = taken


def deposit(conn: Connection, wanted: Deposit) -> tuple[Part, ...]:
    """Reserves the amount of each account; raises Short, after which the transaction must not be kept."""
    parts = []
    for account, lease in zip(wanted.accounts, wanted.leases, strict=True):
        ask = Ask(
            account=account,
            owner=QUEUE,
            lease="",
            fresh=lease,
            needs=(wanted.amount,),
            carried=0,
            extra=0,
            scale=wanted.amount,
            micros=LASTING,
            now=wanted.now,
        )
        taken = take(conn, ask)
        if not taken.granted[0]:
            raise Short(account, taken)
        parts.append(Part(account, taken.lease))
    return tuple(parts)


def release(conn: Connection, parts: Sequence[Part]) -> None:
    """Gives back what is left of leases; call it after the charge."""
    give_back(conn, [Return(part.account, part.lease, None) for part in parts if part.lease])


def encode(parts: Sequence[Part]) -> str:
    """Leases as a job keeps them."""
    return msgspec.json.encode(parts).decode()


def decode(text: str) -> tuple[Part, ...]:
    """The same back."""
    return _parts.decode(text)
