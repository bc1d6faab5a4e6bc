"""The `ingot` command: one sub-command a module."""

import sys

import typer

from ingot import __version__
from ingot.cli import (
    batches,
    bench,
    budgets,
    config,
    conformance,
    constitution,
    db,
    doctor,
    keys,
    ledger,
    members,
    models,
    orgs,
    plans,
    presets,
    promo,
    serve,
    simulate,
    subscriptions,
    usage,
    users,
    webhooks,
    windows,
    work,
)
from ingot.cli import credits as credit
from ingot.cli.output import print_json

app = typer.Typer(
    name="ingot",
    help="Your own AI inference API: one command, any model, OpenAI clients unchanged.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("serve")(serve.serve)
app.command("work")(work.work)
app.add_typer(keys.app, name="keys")
app.add_typer(batches.app, name="batches")
app.add_typer(plans.app, name="plans")
app.add_typer(orgs.app, name="orgs")
app.add_typer(members.app, name="members")
app.add_typer(users.app, name="users")
app.add_typer(models.app, name="models")
app.add_typer(db.app, name="db")
app.add_typer(credit.app, name="credits")
app.add_typer(promo.app, name="promo")
app.add_typer(subscriptions.app, name="subscriptions")
app.add_typer(budgets.app, name="budgets")
app.add_typer(ledger.app, name="ledger")
app.add_typer(webhooks.app, name="webhooks")
app.add_typer(config.app, name="config")
app.add_typer(presets.app, name="presets")
app.add_typer(constitution.app, name="constitution")
app.command("usage")(usage.usage)
app.command("windows")(windows.windows)
app.command("doctor")(doctor.doctor)
app.command("bench")(bench.bench)
app.command("conformance")(conformance.conformance)
app.command("simulate")(simulate.simulate)


@app.command()
def version(*, as_json: bool = typer.Option(False, "--json", help="Print one JSON value.")) -> None:
    """Print the version."""
    if as_json:
        print_json({"name": "ingot", "version": __version__})
    else:
        sys.stdout.write(f"ingot {__version__}\n")


def main() -> None:
    """The console script's entry."""
    app()
