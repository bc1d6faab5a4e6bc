"""What the scripts of the Python clients share: they run scenarios, and print a line of JSON for each.

INGOT_URL is the server's address, INGOT_KEY a key, INGOT_MODELS the models to ask. Whether what was seen is right is decided
by the test that starts the script, for all clients alike; a script only tells it, in the words of that test.
"""

import asyncio
import base64
import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

URL = os.environ["INGOT_URL"]
V1 = f"{URL}/v1"
KEY = os.environ["INGOT_KEY"]
WRONG_KEY = "sk-wrong-0123456789"
UNKNOWN = "unheard-of"
SCENES: dict[str, Any] = json.loads(Path(__file__).with_name("scenes.json").read_text(encoding="utf-8"))
PATIENCE = 60.0

ROWS = (
    "plain",
    "stream",
    "usage",
    "turns",
    "image",
    "parse",
    "tools",
    "streamed_tools",
    "parallel_tools",
    "forced_tool",
    "loop",
    "previous",
    "conversation",
)

Seen = dict[str, Any]
Scenario = Callable[[str], Awaitable[Seen]]


class Client(Protocol):
    """A client on one surface: a method for each scenario that it can do, which takes a model's name."""

    def ask(self, model: str, text: str, key: str) -> Awaitable[object]:
        """One call, which may fail."""
        ...


def weather(city: Literal["Oslo", "Rome"]) -> str:
    """The weather in a city.

    Args:
        city: The city's name.
    """
    return str(SCENES["weather"][city])


def picture() -> bytes:
    """The image that is shown."""
    return base64.b64decode(SCENES["png"])


async def collect(pieces: Iterable[str] | Any) -> Seen:
    """The text of a stream, and in how many pieces it came."""
    held = [piece async for piece in pieces] if hasattr(pieces, "__aiter__") else list(pieces)
    held = [piece for piece in held if piece]
    return {"text": "".join(held), "streamed": len(held) > 1}


def scenarios(client: Client) -> dict[str, Scenario]:
    """The client's scenarios by name; its errors are made of one call each."""

    def failing(text: str, *, name: str = "{}", key: str = KEY) -> Scenario:
        async def raised(model: str) -> Seen:
            try:
                await client.ask(name.format(model), text, key)
            except Exception as error:  # noqa: BLE001  # which class it is is the question
                return {"raised": type(error).__name__}
            return {"raised": None}

        return raised

    found = {row.replace("_", " "): getattr(client, row) for row in ROWS if hasattr(client, row)}
    return found | {
        "400": failing(SCENES["refused"]),
        "401": failing(SCENES["plain"], key=WRONG_KEY),
        "404": failing(SCENES["plain"], name=UNKNOWN),
        "429": failing(SCENES["limited"], name="limited-{}"),
    }


async def _run(surface: str, model: str, name: str, scenario: Scenario) -> None:
    told = {"surface": surface, "model": model, "name": name}
    try:
        seen = await asyncio.wait_for(scenario(model), PATIENCE)
        line = {**told, "ok": True, "seen": seen}
    except Exception as error:  # noqa: BLE001  # whatever it is, the row tells it
        traceback.print_exc(file=sys.stderr)
        line = {**told, "ok": False, "seen": {"error": f"{type(error).__name__}: {error}"[:500]}}
    print(json.dumps(line), flush=True)


def perform(clients: Mapping[str, Client]) -> None:
    """Runs the scenarios of each surface against each model that INGOT_MODELS names them for."""
    wanted = json.loads(os.environ["INGOT_MODELS"])

    async def run() -> None:
        for surface, client in clients.items():
            for model, names in wanted.items():
                for name, scenario in scenarios(client).items():
                    if name in names:
                        await _run(surface, model, name, scenario)

    asyncio.run(run())
