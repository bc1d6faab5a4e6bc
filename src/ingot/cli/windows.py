"""`ingot windows`: the completion windows, and how often each was kept, as a table or as JSON.

Works on the database itself, whether a server runs on it or not. Results go to stdout, problems and hints to stderr.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.database import on_database
from ingot.cli.location import located
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.dialects.quotes import Kept, WindowList
from ingot.pricing import Price, parse
from ingot.services.hitrates import HitRates
from ingot.store.database import Database
from ingot.windows import build


@dataclass(frozen=True, slots=True)
class Offer:
    """A model of the configuration; its targets do not matter here."""

    name: str
    windows: tuple[str, ...]
    price: Price


def windows(data: DataOption = None, config: ConfigOption = None, *, as_json: JsonOption = False) -> None:
    """Show the completion windows, and how often their promises were kept."""
    place = located(data, config)
    offered = [
        Offer(name, tuple(model.windows), parse(model.price)) for name, model in place.config.models.items()
    ]

    async def read(db: Database) -> WindowList:
        return await HitRates(db, clock=SystemClock()).read(build(place.config.windows), offered)

    found = on_database(place, read)
    if as_json:
        print_json(found)
    else:
        Console().print(_table(found))


def _table(found: WindowList) -> Table:
    table = Table("window", box=None, pad_edge=False)
    for head in ("seconds", "last", "promised", "kept", "share", "median, s", "p95, s", "refused"):
        table.add_column(head, justify="right")
    for each in found.data:
        parts = [("", each.seconds, each.requests)]
        if each.batches is not None and each.batch_seconds is not None:
            parts.append((" batches", each.batch_seconds, each.batches))
        for suffix, seconds, spans in parts:
            for span, kept in (("1h", spans.last_1h), ("24h", spans.last_24h), ("30d", spans.last_30d)):
                first = span == "1h"
                table.add_row(
                    escape(each.id + suffix) if first else "",
                    f"{seconds:,g}" if first else "",
                    span,
                    *_cells(kept),
                )
    return table


def _cells(kept: Kept) -> tuple[str, ...]:
    share = "-" if kept.share is None else f"{100 * kept.share:.2f} %"
    turns = ["-" if each is None else f"{each:,.1f}" for each in (kept.turn_p50, kept.turn_p95)]
    return f"{kept.promised:,}", f"{kept.kept:,}", share, *turns, f"{kept.refused:,}"
