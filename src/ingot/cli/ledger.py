"""`ingot ledger`: proves that all money adds up, shows rows, writes them out.

Works on the database itself, whether a server runs on it or not. Amounts are in USD, with all their digits.
Exit codes: 0 done and in order, 1 something does not add up or failed, 2 wrong usage.
"""

import sys
from typing import Annotated, Literal, cast, get_args

import typer
from rich.console import Console

from ingot.cli.credits import entries_table
from ingot.cli.database import on_database, optional_org_id
from ingot.cli.location import located
from ingot.cli.money import AnyOrgOption, hint, instant
from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.services.ledger import Ledger, Proof
from ingot.services.statements import EntryInfo, entry_info
from ingot.store.database import Database
from ingot.store.ledger import Kind, Span
from ingot.store.schema import micros

app = typer.Typer(name="ledger", help="Verify, list and export the ledger.", no_args_is_help=True)

FromOption = Annotated[
    str | None,
    typer.Option("--from", help="The first day or instant, in UTC, as 2026-11-01 or 2026-11-01T12:00."),
]
ToOption = Annotated[
    str | None, typer.Option("--to", help="The day or instant before which it ends, in UTC.")
]


@app.command()
def verify(
    deep: Annotated[
        bool,
        typer.Option(
            "--deep",
            help="Read every stored answer too, and compare the usage that it tells with its ledger row.",
        ),
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Prove that stored responses, ledger, balances, budgets and hourly sums agree; exit status 1 if they do not."""
    proof = on_database(located(data, config), lambda db: Ledger(db).verify(deep=deep))
    if as_json:
        print_json(
            {
                "ok": proof.holds,
                "counted": proof.counted,
                "answers": None
                if proof.heard is None
                else {"read": proof.heard.answers, "told": proof.heard.told},
                "wrong": proof.wrong,
                "findings": [
                    {"check": each.check, "id": each.subject, "detail": each.detail}
                    for each in proof.findings
                ],
            }
        )
    else:
        _print(proof)
    if not proof.holds:
        raise typer.Exit(1)


@app.command("list")
def list_rows(
    org: AnyOrgOption = None,
    kind: Annotated[
        str | None, typer.Option("--kind", help="Only rows of this kind, as topup or refund.")
    ] = None,
    start: FromOption = None,
    end: ToOption = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most rows.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """List the last rows, the newest first."""
    if kind is not None and kind not in get_args(Kind):
        raise typer.BadParameter(f"the kinds are {', '.join(get_args(Kind))}", param_hint="--kind")

    async def work(db: Database) -> list[EntryInfo]:
        span = await _span(db, org=org, start=start, end=end, kind=cast("Kind | None", kind))
        return [entry_info(each) for each in await Ledger(db).latest(span, limit=limit)]

    entries = on_database(located(data, config), work)
    if as_json:
        print_json(entries)
    elif entries:
        Console().print(entries_table(entries))
    else:
        print("No such rows. Each answered request writes one, and `ingot credits add` another kind.")


@app.command()
def export(
    org: AnyOrgOption = None,
    start: FromOption = None,
    end: ToOption = None,
    form: Annotated[Literal["csv", "jsonl"], typer.Option("--format", help="csv or jsonl.")] = "csv",
    data: DataOption = None,
    config: ConfigOption = None,
) -> None:
    """Write rows to stdout, the oldest first, each with its price, so that every amount can be reckoned again."""

    async def work(db: Database) -> None:
        span = await _span(db, org=org, start=start, end=end, kind=None)
        async for piece in Ledger(db).export(span, form):
            sys.stdout.write(piece)

    on_database(located(data, config), work)


async def _span(
    db: Database, *, org: str | None, start: str | None, end: str | None, kind: Kind | None
) -> Span:
    first, last = instant(start, option="--from"), instant(end, option="--to")
    if first is not None and last is not None and first > last:
        raise typer.BadParameter(
            "it lies before --from, so that no row could be in between", param_hint="--to"
        )
    return Span(
        org_id=await optional_org_id(db, org, deleted=True),
        start=None if first is None else micros(first),
        end=None if last is None else micros(last),
        kind=kind,
    )


def _print(proof: Proof) -> None:
    for each in proof.findings:
        print(f"{each.check}: {each.subject}: {each.detail}")
    told = ", ".join(f"{count:,} {name}" for name, count in proof.counted.items())
    if proof.holds:
        print(f"Everything adds up: {told}.")
        print(_heard(proof))
        return
    wrong = sum(proof.wrong.values())
    hint(
        f"ingot: {wrong} things do not add up ({told}); rows are never changed: compare with a backup, and tell whoever runs the database"
    )


def _heard(proof: Proof) -> str:
    if proof.heard is None:
        return (
            "Tokens were compared with the stored responses, and not with what the stored answers say themselves, nor was "
            "which rows are marked as estimated: `--deep` reads them."
        )
    mute = proof.heard.answers - proof.heard.told
    return (
        f"Of {proof.heard.answers:,} stored answers {proof.heard.told:,} tell their usage, and it is their rows'; "
        f"{mute:,} tell none. Answers that were not kept cannot be compared."
    )
