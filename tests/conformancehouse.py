"""Servers for the conformance suite: one under each preset, with all that a tester can hold, before the scriptable upstream."""

import contextlib
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from databases import Place
from ingot.conformance import Address, Means, Patience, Subject
from ingot.conformance.wire import Json
from operator_hands import Hands, house
from receiver import Receiver, Sink
from rig import Backstage, fresh_id
from served import PATIENCE, Served

PRICE = "price = { input = 0.15, output = 0.60 }"
ENDING = ', deprecated = "2026-11-01", shutdown_date = "2099-05-01"'
TARGETS = """
    [targets.up]
    base_url = "{up}"
    breaker = { failures = 1000 }
    [targets.blind]
    base_url = "{up}"
    quirks = { reject = ["image_url"] }
"""
CONTEXTS = {"valley-fast-1": 32_768, "valley-pro-1": 200_000}
MODELS: dict[str, tuple[str, ...]] = {
    "open": ("mock", "org/slashed", "sees", "reads"),
    "valley": ("valley-fast-1", "valley-pro-1"),
    "aurora": ("aurora",),
    "aurora-v2": ("aurora",),
    "metask": ("gpt-4o-mini", "org/slashed"),
    "valar": ("zai-org/GLM-5.1-FP8", "sees", "reads"),
}
"""By preset; the first is the one that is asked."""
WINDOWS = {
    "mock": ', windows = ["asap", "priority", "standard", "flex"]',
    "zai-org/GLM-5.1-FP8": ', windows = ["asap", "standard"]',
}
"""Of those that have more than asap."""
OWN = {
    "aurora": ', card = { summary = "Answers briefly.", license = "Apache-2.0" }, constitution = "bundled:aurora"'
}
"""What a model has of its own."""


def config(preset: str) -> str:
    """A server with the models that the service has; one of valley's is announced to end."""
    models = [
        f'"{name}" = {{ targets = ["{"blind" if name == "reads" else "up"}"], attempts = 1, {PRICE}'
        f"{ENDING if name == 'valley-pro-1' else ''}{WINDOWS.get(name, '')}{OWN.get(name, '')} }}"
        for name in MODELS[preset]
    ]
    return "\n".join([TARGETS, "[models]", *models])


@dataclass(frozen=True, slots=True)
class Trial:
    """A running server and whoever tries it."""

    served: Served
    upstream: Backstage
    subject: Subject


def received(upstream: Backstage) -> Callable[[str], list[Json]]:
    """What arrived at the backend with a text in it."""

    def look(text: str) -> list[Json]:
        return [record.json for record in list(upstream.up.log) if text.encode() in record.body]

    return look


HELD = {
    "open": ("free",),
    "valley": ("maker",),
    "aurora": ("free", "maker"),
    "aurora-v2": ("free", "maker"),
    "metask": ("free", "empty", "narrow"),
    "valar": ("other",),
}
"""What rows of a preset need: each account costs its commands."""


def means(preset: str, hands: Hands, upstream: Backstage) -> Means:
    """All that a tester of this preset can hold."""
    models, held = MODELS[preset], HELD[preset]

    def key(account: str, plan: str = "free", *, postpaid: bool = True) -> str | None:
        return hands.customer(fresh_id(), plan=plan, postpaid=postpaid).key if account in held else None

    if "narrow" in held:
        hands.run("plans", "create", "narrow", "--models", models[0])
    return Means(
        other_key=key("other"),
        free_key=key("free"),
        empty_key=key("empty", postpaid=False),
        narrow_key=key("narrow", "narrow"),
        image_model="sees" if "sees" in models else None,
        text_model="reads" if "reads" in models else None,
        embeddings_model=models[0] if preset == "open" else None,
        failing_prompt="{{fail 500}} Hello.",
        thinking_prompt="think: Hm.",
        make_key=maker(hands) if "maker" in held else None,
        received=received(upstream),
    )


def maker(hands: Hands) -> Callable[[], Awaitable[str | None]]:
    """Makes keys of one free account."""
    org_id = hands.customer(fresh_id(), plan="free", postpaid=True).org_id

    async def make_key() -> str | None:
        told = hands.try_run("keys", "create", "--name", fresh_id(), "--org", org_id)
        return None if told is None else str(told["key"])

    return make_key


@contextlib.contextmanager
def open_trial(folder: Path, preset: str) -> Iterator[Trial]:
    """A server under a preset; the key that is used was issued by it."""
    hands = Hands(Place("sqlite", folder / "data", ""), preset)
    with (
        Receiver() as receiver,
        house(folder, f"{config(preset)}\n{receiver.section}", hands) as ((served,), upstream),
    ):
        upstream.up.house.contexts.update(CONTEXTS)
        key = hands.run("keys", "create", "--name", "conformance")["key"]
        subject = Subject(
            preset,
            Address.parse(served.v1),
            key,
            MODELS[preset][0],
            replace(means(preset, hands, upstream), sink=Sink(receiver)),
            Patience(first_byte=PATIENCE, idle=PATIENCE),
        )
        yield Trial(served, upstream, subject)
