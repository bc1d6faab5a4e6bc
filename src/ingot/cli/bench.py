"""`ingot bench URL`: how fast an OpenAI-compatible server is, as its client sees it.

Reads options and shows figures; what is measured and how is `ingot.upstream.loadtest`.
Exit codes: 0 measured, 1 not a single answer, 2 wrong usage. The figures go to stdout, the progress to stderr.
"""

import asyncio
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ingot.cli.output import fail, print_json
from ingot.clock import SystemClock
from ingot.upstream.client import Client
from ingot.upstream.loadfigures import Level, Sample, Spread
from ingot.upstream.loadtest import LoadTest, Patience, Plan, Unusable

MOST_CONCURRENCY = 4096


def bench(
    url: Annotated[
        str, typer.Argument(help="Base URL, as http://127.0.0.1:5150/v1; without a path /v1 is meant.")
    ],
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="The model to ask; else the first that the server lists."),
    ] = None,
    key: Annotated[
        str | None, typer.Option("--key", envvar="INGOT_API_KEY", help="The API key.", show_envvar=True)
    ] = None,
    concurrency: Annotated[
        str,
        typer.Option(
            "--concurrency", "-c", help="Requests at a time: one number, or several levels as 1,4,8."
        ),
    ] = "1,4,8",
    requests: Annotated[int, typer.Option("--requests", "-n", min=1, help="Requests at each level.")] = 32,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = 128,
    prompt_tokens: Annotated[
        int, typer.Option("--prompt-tokens", min=1, help="Length of the prompt in tokens, approximately.")
    ] = 64,
    stream: Annotated[bool, typer.Option("--stream/--no-stream", help="Ask for streams.")] = True,
    timeout: Annotated[
        float,
        typer.Option("--timeout", min=0.1, help="Seconds without a byte after which a request has failed."),
    ] = 300.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON value.")] = False,
) -> None:
    """Measure any OpenAI-compatible server: time to first token, tokens/s, latency percentiles, errors."""
    levels = parse_levels(concurrency)
    plan = Plan(
        base_url=url,
        model=model or "",
        key=key,
        max_tokens=max_tokens,
        prompt_tokens=prompt_tokens,
        stream=stream,
        patience=Patience(first_byte=timeout, idle=timeout),
    )
    try:
        plan, figures = asyncio.run(measure(plan, levels, requests=requests))
    except Unusable as problem:
        fail(str(problem))
    if as_json:
        print_json(record(plan, figures))
    else:
        show(plan, figures)
    if not any(level.succeeded for level in figures):
        raise typer.Exit(1)


def parse_levels(text: str) -> list[int]:
    """The levels of a sweep, as 1,4,8."""
    try:
        levels = [int(part) for part in text.split(",")]
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no list of numbers such as 1,4,8") from error
    if not all(0 < level <= MOST_CONCURRENCY for level in levels):
        raise typer.BadParameter(f"concurrency goes from 1 to {MOST_CONCURRENCY}")
    return levels


async def measure(plan: Plan, levels: list[int], *, requests: int) -> tuple[Plan, list[Level]]:
    """Warms up with one request, whose failure ends it all, then measures each level."""
    client = Client(max_idle=max(levels))
    clock = SystemClock()
    try:
        if not plan.model:
            plan = replace(plan, model=await LoadTest(plan, client=client, clock=clock).first_model())
        test = LoadTest(plan, client=client, clock=clock)
        first = await test.ask()
        if first.error is not None:
            raise Unusable(f"the first request failed ({first.error}). {first.detail}".strip())
        figures = []
        for level in levels:
            with ExitStack() as stack:
                figures.append(await test.run(level, requests, done=progress(stack, level, requests)))
        return plan, figures
    finally:
        await client.close()


def progress(stack: ExitStack, level: int, requests: int) -> Callable[[Sample], None]:
    """What to call after each request: a bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return lambda _: None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = stack.enter_context(Progress(*columns, console=console, transient=True))
    task = bar.add_task(f"{level} at a time", total=requests)
    return lambda _: bar.advance(task)


def record(plan: Plan, figures: list[Level]) -> dict[str, object]:
    """The result as JSON; the key is left out."""
    return {
        "url": plan.base_url,
        "model": plan.model,
        "stream": plan.stream,
        "max_tokens": plan.max_tokens,
        "prompt_tokens": plan.prompt_tokens,
        "levels": [asdict(level) for level in figures],
    }


def show(plan: Plan, figures: list[Level]) -> None:
    """The result as a table, one column a level."""
    how = "streams" if plan.stream else "whole answers"
    table = Table(title=f"{plan.model} at {plan.base_url}, {how}", title_justify="left")
    table.add_column("requests at a time")
    for level in figures:
        table.add_column(str(level.concurrency), justify="right")
    columns = [rows(level) for level in figures]
    for name in {name: None for column in columns for name in column}:
        table.add_row(name, *(column.get(name, "") for column in columns))
    console = Console()
    console.print(table)
    for level in figures:
        for kind, times in level.errors.items():
            console.print(f"{level.concurrency} at a time: {times} x {kind}")
    if not all(level.tokens_from_usage for level in figures):
        console.print(
            "The server sent no usage: tokens are the deltas that came, and unknown without a stream."
        )


def number(value: float) -> str:
    """A figure with about three digits."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def rows(level: Level) -> dict[str, str]:
    """The cells of a level by their row's name, those without a figure left out."""
    cells = {
        "requests/s": number(level.requests_per_second),
        "tokens/s": number(level.tokens_per_second),
        **spread_rows("first token, ms", level.first_token_ms),
        **spread_rows("between tokens, ms", level.inter_token_ms),
        **spread_rows("whole answer, ms", level.latency_ms),
        "succeeded": f"{level.succeeded} of {level.requests}",
    }
    speed = level.stream_tokens_per_second
    return cells if speed is None else {**cells, "tokens/s of one answer, p50": number(speed.p50)}


def spread_rows(name: str, found: Spread | None) -> dict[str, str]:
    """The rows of a distribution."""
    if found is None:
        return {}
    return {
        f"{name}, p50": number(found.p50),
        f"{name}, p95": number(found.p95),
        f"{name}, p99": number(found.p99),
    }
