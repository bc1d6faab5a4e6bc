"""`python -m benchmarks.translation`: what translation costs over the verbatim path, on one core, for every pair.

Times the pure functions that a request and its answer pass through: those of the codecs where the target speaks another
dialect, and those of the relay where it speaks the client's. All else is the same for both. Processor time of this
thread, so that what else runs disturbs little; rounds visit all pairs in turn, the median over the rounds counts.
"""

import argparse
import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import surfaces
from benchmarks.report import machine
from benchmarks.talks import ANSWERS, asked, conversation, stream_of

from ingot.canonical import Origin
from ingot.catalog import Quirks
from ingot.dialects.chat import CHAT
from ingot.dialects.codec import Codec, Destination, Reply
from ingot.dialects.codecs import Wire
from ingot.dialects.codecs.chat import CHAT_CODEC
from ingot.dialects.codecs.messages import MESSAGES_CODEC
from ingot.dialects.codecs.responses import RESPONSES_CODEC
from ingot.dialects.dialect import Dialect
from ingot.dialects.messages import MESSAGES
from ingot.dialects.responses import RESPONSES
from ingot.rawjson import Body
from ingot.services.translation import TranslatedTap, Translation
from ingot.sse import SseSplitter, event_data

CODECS: dict[str, Codec] = {"chat": CHAT_CODEC, "messages": MESSAGES_CODEC, "responses": RESPONSES_CODEC}
RELAYS: dict[str, Dialect] = {"chat": CHAT, "messages": MESSAGES, "responses": RESPONSES}
GOALS = {"chunk us": 25.0, "request us": 250.0, "500 KB ms": 8.0}
RESULTS = Path(__file__).parent / "results"
CHUNKS = 200
BYTES = 500_000


@dataclass(frozen=True, slots=True)
class Work:
    """One thing to time: `repeat` times in a round, `parts` of what is asked for in each; in units of `per` seconds."""

    figure: str
    pair: str
    run: Callable[[], object]
    repeat: int
    parts: int = 1
    per: float = 1e-6


def works() -> list[Work]:
    """All that is timed: for each pair what translation does, for each dialect what the relay does in its place."""
    found: list[Work] = []
    for client in CODECS:
        body = checked(client, asked(client))
        large = checked(client, conversation(client, BYTES))
        found += relay_works(client, body)
        for target in CODECS:
            if client == target:
                continue
            pair = f"{client} to {target}"
            found += [
                Work("request us", pair, there_and_back(client, target, body), 50),
                Work("500 KB ms", pair, partial(one_way(client, target), large), 1, per=1e-3),
                Work("chunk us", pair, streamed(client, target, body), 2, CHUNKS),
            ]
    return found


def checked(client: str, value: dict[str, Any]) -> Body:
    """A client's body as the server has read it before it looks for a target."""
    data = json.dumps(value, ensure_ascii=False).encode()
    return RELAYS[client].decode(data).body


def one_way(client: str, target: str) -> Callable[[Body], bytes]:
    """A request's way to a target."""
    near, far = CODECS[client], CODECS[target]
    to = Destination(Origin(far.name, "target"), "upstream-model", Quirks())

    def translate(body: Body) -> bytes:
        request, _ = near.decode_request(body)
        return far.encode_request(request, to)[0]

    return translate


def there_and_back(client: str, target: str, body: Body) -> Callable[[], object]:
    """A plain request and its answer."""
    near, far = CODECS[client], CODECS[target]
    origin = Origin(far.name, "target")
    to = Destination(origin, "upstream-model", Quirks())
    told = json.dumps(ANSWERS[target], ensure_ascii=False).encode()

    def run() -> object:
        request, _ = near.decode_request(body)
        far.encode_request(request, to)
        answer, _ = far.decode_answer(told, origin)
        return near.encode_answer(answer, Reply("id_1", "demo", 1_790_000_000, request, body))

    return run


def streamed(client: str, target: str, body: Body) -> Callable[[], object]:
    """A stream of short chunks, as the server takes it from the socket's bytes to the client's events."""
    near, far = CODECS[client], CODECS[target]
    request, _ = near.decode_request(body)
    origin = Origin(far.name, "target")
    reply = Reply("id_1", "demo", 1_790_000_000, request, body)
    to = Destination(origin, "upstream-model", Quirks(), stream=True)
    data = stream_of(target, CHUNKS)
    relay = RELAYS[client]
    call = relay.decode(body.data)

    def run() -> object:
        tap = TranslatedTap(
            Translation(Wire(CHAT, far), near, to, b"", reply, ()),
            decoder=far.decode_stream(origin, 1),
            encoder=near.encode_stream(reply),
            watch=relay.tap(call, model="demo", public="demo"),
        )
        return pass_on(data, tap.feed)

    return run


def pass_on(data: bytes, feed: Callable[[bytes], bytes | None]) -> int:
    """Gives a stream's events to a tap, as the server does."""
    splitter = SseSplitter()
    size = 0
    for event in splitter.feed(data):
        held = event_data(event)
        kept = None if held is None else feed(held)
        size += len(kept or b"")
    return size


def relay_works(client: str, body: Body) -> list[Work]:
    """What the verbatim path does with the same requests, answers and chunks."""
    relay = RELAYS[client]
    call = relay.decode(body.data)
    told = json.dumps(ANSWERS[client], ensure_ascii=False).encode()
    data = stream_of(client, CHUNKS)

    def run() -> object:
        relay.prepare(call, model="upstream-model", quirks=Quirks())
        relay.read_usage(told)
        return relay.patch_answer(told, "demo")

    def stream() -> object:
        return pass_on(data, relay.tap(call, model="demo", public="demo").feed)

    return [Work("request us", client, run, 50), Work("chunk us", client, stream, 2, CHUNKS)]


def measure(found: list[Work], rounds: int) -> dict[tuple[str, str], float]:
    """The median of each figure by pair, over rounds that take turns."""
    times: dict[tuple[str, str], list[float]] = {}
    for each in found:
        each.run()
    for _ in range(rounds):
        for each in found:
            gc.collect()
            began = time.thread_time_ns()
            for _ in range(each.repeat):
                each.run()
            spent = (time.thread_time_ns() - began) / 1e9 / each.repeat / each.parts
            times.setdefault((each.figure, each.pair), []).append(spent / each.per)
    return {key: statistics.median(values) for key, values in times.items()}


def table(told: dict[tuple[str, str], float]) -> tuple[str, bool]:
    """The figures as a table, and whether all goals are met: what translation costs more than the relay."""
    lines = [
        "| pair | request us | over verbatim | chunk us | over verbatim | 500 KB ms |",
        "|---|---|---|---|---|---|",
    ]
    worst = dict.fromkeys(GOALS, 0.0)
    for pair in dict.fromkeys(pair for _, pair in told):
        cells = [pair]
        client = pair.partition(" ")[0]
        for figure in ("request us", "chunk us"):
            mine = told[figure, pair]
            cells.append(f"{mine:.1f}")
            verbatim = told[figure, client]
            cells.append("" if pair == client else f"{mine - verbatim:.1f}")
            if pair != client:
                worst[figure] = max(worst[figure], mine - verbatim)
        large = told.get(("500 KB ms", pair))
        cells.append("" if large is None else f"{large:.2f}")
        worst["500 KB ms"] = max(worst["500 KB ms"], large or 0.0)
        lines.append(f"| {' | '.join(cells)} |")
    lines.append("")
    for figure, most in GOALS.items():
        verdict = "met" if worst[figure] <= most else "NOT met"
        lines.append(f"- {figure}, the dearest pair: {worst[figure]:.3g}, at most {most:.3g}: {verdict}")
    return "\n".join(lines), all(worst[figure] <= most for figure, most in GOALS.items())


def main() -> int:
    """Measures, prints and writes the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.translation", description=__doc__)
    parser.add_argument("--rounds", type=int, default=15, help="how often each pair is visited")
    parser.add_argument(
        "--served", type=int, default=0, metavar="ROUNDS", help="measure a server too, in so many rounds"
    )
    options = parser.parse_args()
    text, met = table(measure(works(), options.rounds))
    if options.served:
        text += f"\n\n## End to end\n\n{surfaces.__doc__}\n{surfaces.table(surfaces.measure(options.served))}"
    head = (
        f"# Translation\n\n{machine()}. Median of {options.rounds} rounds, processor time of one thread. Rows with one "
        "name are the verbatim path; `over verbatim` is what translation costs more.\n\n"
    )
    (RESULTS / "translation.md").write_text(head + text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    raise SystemExit(main())
