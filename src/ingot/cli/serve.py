"""`ingot serve`: runs the server, and tells on the terminal what to do next."""

import sys
from typing import Annotated

import typer

from ingot import app
from ingot.app import Greeting
from ingot.cli.process import ConfigFile, DataDirectory, LogFormat, LogLevel, run


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1 unless set.")] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on, 0 for a free one; 5150 unless set.")
    ] = None,
    config: ConfigFile = None,
    data: DataDirectory = None,
    allow_public: Annotated[
        bool | None, typer.Option("--allow-public", help="Permit an address that other machines can reach.")
    ] = None,
    worker: Annotated[
        bool | None,
        typer.Option("--worker/--no-worker", help="Work on the queue in this process; on unless set."),
    ] = None,
    log_format: LogFormat = None,
    log_level: LogLevel = None,
) -> None:
    """Serve the API until SIGTERM. Every option is also an environment variable: INGOT_HOST, INGOT_PORT, ..."""
    options: dict[str, object | None] = {
        "server.host": host,
        "server.port": port,
        "server.data": data,
        "server.allow_public": allow_public or None,
        "worker.enabled": worker,
        "server.log_format": log_format,
        "server.log_level": log_level,
    }
    run(lambda load, environ: app.serve(load(), environ=environ, reload=load, greet=greet), config, options)


def greet(greeting: Greeting) -> None:
    """Prints where the server is, the key if it is new, and a call that works when pasted."""
    key = greeting.key or ("$INGOT_BOOTSTRAP_KEY" if greeting.bootstrapped else "$INGOT_API_KEY")
    lines = [f"\nIngot serves at {greeting.url}/v1  (data in {greeting.data})\n"]
    if greeting.key:
        lines.append(f"Your API key, shown this once:\n\n  {greeting.key}\n")
    elif greeting.bootstrapped:
        lines.append("Your API key is the one in INGOT_BOOTSTRAP_KEY.\n")
    else:
        lines.append("Keys are kept from before; `ingot keys create --name NAME` makes another.\n")
    if greeting.models:
        lines.append("Try it:\n")
        lines.append(curl(greeting.url, key=key, model=greeting.models[0]))
    else:
        lines.append(
            "No model is configured yet. `ingot models pull hf:ORG/REPO` fetches one, or name an upstream in "
            "ingot.toml (`ingot config init` writes an example)."
        )
    lines += ["", *greeting.notes]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def curl(url: str, *, key: str, model: str) -> str:
    """A chat call as one pasteable line."""
    quoted = f'"Authorization: Bearer {key}"'
    body = f'{{"model":"{model}","messages":[{{"role":"user","content":"Hello! What is this server?"}}]}}'
    return f"  curl {url}/v1/chat/completions -H {quoted} -H 'Content-Type: application/json' -d '{body}'"
