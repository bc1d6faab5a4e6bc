"""`ingot usage`: what an organization used and spent, as a table, as JSON, or request by request as CSV.

Works on the database itself, whether a server runs on it or not. Results go to stdout, problems and hints to stderr.
Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
"""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingot.cli.database import on_database, org_id
from ingot.cli.location import Location, located
from ingot.cli.money import OWN_ORG, OrgOption
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.clock import SystemClock
from ingot.services.requestlog import RequestLog
from ingot.services.spans import DEFAULT_RANGE
from ingot.services.usage import Usage, UsageBreakdown, UsageSummary
from ingot.store.database import Database

T = TypeVar("T")

Work = Callable[[Database, str], Awaitable[T]]
"""Something to do in a database for the organization with this id."""


def usage(
    org: OrgOption = OWN_ORG,
    span: Annotated[
        str,
        typer.Option(
            "--range", help="Which hours: 24h, 7d, 30d, or period for the subscription's, else this month."
        ),
    ] = DEFAULT_RANGE,
    as_json: JsonOption = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line for each request instead.")] = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """What was used and what it cost, by model and by completion window."""
    if as_json and as_csv:
        raise typer.BadParameter("take one of --json and --csv", param_hint="--csv")
    place = located(data, config)
    if as_csv:
        _run(place, org, lambda db, org_id: _export(db, org_id, span=span))
        return
    summary, breakdown = _run(place, org, lambda db, org_id: _read(db, org_id, span=span))
    if as_json:
        print_json({"summary": summary, "breakdown": breakdown})
    else:
        Console().print(_table(breakdown))
        if breakdown.models:
            Console().print(_windows(summary, breakdown))
        print(_standing(summary))


def _run(place: Location, org: str, work: Work[T]) -> T:
    """What `work` returns; faults end the command with their text."""

    async def run(db: Database) -> T:
        return await work(db, await org_id(db, org, deleted=True))

    return on_database(place, run)


async def _read(db: Database, org_id: str, *, span: str) -> tuple[UsageSummary, UsageBreakdown]:
    reader = Usage(db, clock=SystemClock())
    return (
        await reader.summarize(org_id, range_name=span),
        await reader.break_down(org_id, range_name=span),
    )


async def _export(db: Database, org_id: str, *, span: str) -> None:
    async for piece in await RequestLog(db, clock=SystemClock()).export(org_id, range_name=span):
        sys.stdout.write(piece.decode())


def _table(breakdown: UsageBreakdown) -> Table:
    table = Table("model", box=None, pad_edge=False)
    for head in ("input tokens", "of it cached", "output tokens", "USD", "share"):
        table.add_column(head, justify="right")
    for each in breakdown.models:
        tokens = (each.input_tokens, each.cached_tokens, each.output_tokens)
        table.add_row(
            escape(each.model), *(f"{n:,}" for n in tokens), _dollars(each.total), f"{each.percentage:.1f} %"
        )
    return table


def _windows(summary: UsageSummary, breakdown: UsageBreakdown) -> Table:
    table = Table("window", box=None, pad_edge=False)
    for head in ("requests", "tokens", "USD"):
        table.add_column(head, justify="right")
    for name, share in summary.sla_mix.items():
        parts = [bucket.slas[name] for bucket in breakdown.data if name in bucket.slas]
        if parts:
            tokens, total = sum(each.tokens for each in parts), sum(each.total for each in parts)
            table.add_row(escape(name), f"{share:.1f} %", f"{tokens:,}", _dollars(total))
    return table


def _standing(summary: UsageSummary) -> str:
    spent = f"spent in {summary.range}: {_dollars(summary.period_spend)} USD"
    pace = f"{_dollars(summary.burn_rate)} USD a day over the last 7 days"
    if summary.balance is None:
        return f"{spent}; {pace}"
    lasts = "" if summary.days_remaining is None else f", enough for {summary.days_remaining:.1f} days"
    return f"{spent}; {pace}; balance {_dollars(summary.balance)} USD{lasts}"


def _dollars(cents: float) -> str:
    return f"{cents / 100:,.4f}"
