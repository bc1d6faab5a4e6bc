"""All that moves or tells money on one database, as the surfaces that offer it want it: together."""

from dataclasses import dataclass

from ingot.clock import Clock
from ingot.services.budgets import Budgets
from ingot.services.credits import Credits, Spare
from ingot.services.ledger import Ledger
from ingot.services.promos import Promos
from ingot.services.subscriptions import Subscriptions
from ingot.services.usage import Usage
from ingot.store.database import Database


@dataclass(frozen=True, slots=True)
class Money:
    """The services, none of which holds anything open."""

    credits: Credits
    promos: Promos
    budgets: Budgets
    subscriptions: Subscriptions
    ledger: Ledger
    usage: Usage


def open_money(db: Database, *, clock: Clock, fallback: str = "free", spare: Spare | None = None) -> Money:
    """The services of one database; `fallback` is the plan of organizations whose subscription ended, `spare` the
    purse's, where this process has one.
    """
    return Money(
        credits=Credits(db, clock=clock, spare=spare),
        promos=Promos(db, clock=clock),
        budgets=Budgets(db, clock=clock),
        subscriptions=Subscriptions(db, clock=clock, fallback=fallback),
        ledger=Ledger(db),
        usage=Usage(db, clock=clock),
    )
