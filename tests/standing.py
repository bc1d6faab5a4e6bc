"""A relay that stands for the whole session, so that the many calls of the SDK tests pay for one start.

Its upstream runs in a thread of its own and is steered by prompt markers alone. Models that fail on purpose have
targets of their own, whose breakers stay closed: no test feels another's failures.
"""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from openai.types.chat import ChatCompletionUserMessageParam

from served import Served, serving
from upstream import Record, ScriptedUpstream

NAMES = ["mock", "org/renamed"]
"""A model that is relayed verbatim, and one whose answers are patched."""

CONFIG = """
    [engine]
    enabled = false

    [targets.up]
    base_url = "{url}"

    [targets.chat-only]
    base_url = "{url}"
    dialects = ["chat"]

    [targets.failing]
    base_url = "{url}"
    timeouts = {{ first_byte = 0.5 }}
    breaker = {{ failures = 1000 }}

    [targets.limited]
    base_url = "{url}"

    [targets.limited-too]
    base_url = "{url}"

    [models.mock]
    targets = ["up"]
    price = "free"
    owned_by = "scripted"
    created = 1700000000

    [models."org/renamed"]
    targets = [{{ target = "up", model = "mock" }}]
    price = {{ input = 0.15, cached_input = 0.03, output = 0.60 }}

    [models.chat-only]
    targets = ["chat-only"]
    price = "free"

    [models.failing]
    targets = ["failing"]
    price = "free"
    attempts = 1

    [models.limited]
    targets = ["limited"]
    price = "free"
    attempts = 1

    [models.limited-too]
    targets = ["limited-too"]
    price = "free"
    attempts = 1
"""


def says(text: str) -> list[ChatCompletionUserMessageParam]:
    """A conversation of one user message."""
    return [{"role": "user", "content": text}]


@dataclass(frozen=True, slots=True)
class Standing:
    """The relay and the upstream behind it."""

    served: Served
    upstream: ScriptedUpstream

    def received(self, text: str) -> list[Record]:
        """The requests that arrived upstream with `text` in their body."""
        return [record for record in tuple(self.upstream.log) if text.encode() in record.body]


@contextlib.contextmanager
def stand(folder: Path) -> Iterator[Standing]:
    """`ingot serve` in `folder`, before the scriptable upstream."""
    started: Future[ScriptedUpstream] = Future()
    over: Future[None] = Future()

    async def run() -> None:
        async with ScriptedUpstream() as upstream:
            started.set_result(upstream)
            await asyncio.wrap_future(over)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    try:
        upstream = started.result(timeout=60)
        with serving(CONFIG.format(url=upstream.url), folder) as served:
            yield Standing(served, upstream)
    finally:
        over.set_result(None)
        thread.join(60)
