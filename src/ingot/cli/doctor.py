"""`ingot doctor`: looks at everything that a start needs, says what is wrong and what to do about it.

Exit status 0 when nothing is wrong, 1 when something keeps the server from starting or from answering.
"""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import typer

from ingot.cli.options import ConfigOption, DataOption, JsonOption
from ingot.cli.output import print_json
from ingot.config import Config, ConfigError, bind_problem, from_disk
from ingot.store.faults import StoreError
from ingot.store.survey import survey
from ingot.upstream.engine import Missing, default_threads, engine_available
from ingot.upstream.engine.supervisor import binary_argv

Verdict = Literal["ok", "warning", "problem"]

LITTLE_DISK = 2 * 1024**3
MARKS = {"ok": "ok     ", "warning": "warning", "problem": "PROBLEM"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do, where something is to be done."""

    what: str
    verdict: Verdict
    detail: str
    remedy: str = ""


def doctor(
    config: ConfigOption = None,
    data: DataOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Check this machine, the configuration, the data directory, the engine and the upstream targets."""
    findings = list(examine(config, data))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            sys.stdout.write(f"{MARKS[finding.verdict]}  {finding.what}: {finding.detail}\n")
            if finding.remedy:
                sys.stdout.write(f"         -> {finding.remedy}\n")
    raise typer.Exit(1 if any(finding.verdict == "problem" for finding in findings) else 0)


def examine(file: Path | None, data: Path | None) -> Iterator[Finding]:
    """All findings, in the order in which a start meets them."""
    version = ".".join(map(str, sys.version_info[:3]))
    yield Finding("python", "ok", version)
    options: dict[str, object | None] = {"server.data": data}
    try:
        loaded = from_disk(file, os.environ, directory=Path.cwd(), options=options)
    except ConfigError as error:
        yield Finding(
            "configuration", "problem", str(error), "mend the file; `ingot config check` says the same"
        )
        return
    config = loaded.config
    yield Finding("configuration", "ok", str(loaded.file or "defaults, no file"))
    for warning in loaded.warnings:
        yield Finding("configuration", "warning", warning)
    folder = Path(config.server.data).expanduser()
    yield from _look_at_data(folder, config.server.database)
    yield _look_at_port(config)
    yield from _look_at_engine(config)
    for name, target in config.targets.items():
        yield _look_at_target(name, target.base_url)


def _look_at_data(folder: Path, url: str) -> Iterator[Finding]:
    try:
        found = survey(folder, url)
    except StoreError as error:
        yield Finding("database", "problem", error.message)
    else:
        if found.problem:
            yield Finding("database", "problem", found.problem)
        elif found.exists:
            yield Finding("database", "ok", f"{found.kind} at {found.place}")
    if not folder.exists():
        yield Finding("data directory", "ok", f"{folder} will be created by the first start")
        return
    if not folder.is_dir():
        yield Finding("data directory", "problem", f"{folder} is not a directory", "--data names another")
        return
    free = shutil.disk_usage(folder).free
    verdict: Verdict = "ok" if free > LITTLE_DISK else "warning"
    yield Finding("disk", verdict, f"{free / 1e9:.1f} GB free", "" if verdict == "ok" else "models need room")


def _look_at_port(config: Config) -> Finding:
    server = config.server
    problem = bind_problem(config)
    if problem:
        return Finding("address", "problem", problem)
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    with socket.socket(family) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((server.host, server.port))
        except OSError as error:
            return Finding(
                "address",
                "warning",
                f"{server.host}:{server.port}: {error.strerror}",
                "another server, perhaps Ingot itself, holds it; --port chooses another",
            )
    return Finding("address", "ok", f"{server.host}:{server.port} is free")


def _look_at_engine(config: Config) -> Iterator[Finding]:
    settings = config.engine
    if not settings.enabled:
        yield Finding("engine", "ok", "switched off; upstream targets only")
        return
    if settings.command:
        binary = binary_argv(settings.command)[0]
        found = shutil.which(binary)
        verdict: Verdict = "ok" if found else "problem"
        yield Finding("engine", verdict, f"llama-server at {found or binary}")
        return
    available = engine_available()
    if isinstance(available, Missing):
        yield Finding("engine", "warning", available.reason, available.remedy)
    else:
        yield Finding(
            "engine", "ok", f"xllamacpp {available.version}, {settings.threads or default_threads()} threads"
        )


def _look_at_target(name: str, base_url: str) -> Finding:
    url = urlsplit(base_url)
    host = url.hostname or ""
    port = url.port or (443 if url.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=3.0):
            return Finding(f"target {name}", "ok", f"{host}:{port} accepts connections")
    except OSError as error:
        return Finding(
            f"target {name}",
            "problem",
            f"{host}:{port}: {error.strerror or error}",
            "start it, or mend its base_url",
        )
