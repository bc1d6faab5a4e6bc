"""The suite finds out what is wrong: one rule of a preset is overridden, and exactly its rows turn red.

Each broken preset extends one that ships and has a host name of its own. All rows are tried, so that what is broken here
stands for much: each rule on a field is broken in `test_conformance_rules`.
"""

import contextlib
import textwrap
from collections.abc import Callable, Iterator

import pytest

from conformancehouse import CONTEXTS, MODELS, PRICE, TARGETS, WINDOWS, received
from ingot.conformance import Address, Means, Patience, Subject, rows_for, run
from rig import Backstage, stage
from served import PATIENCE, Served

BROKEN: dict[str, tuple[str, str, set[str]]] = {
    "stops": ("valar", '[fields.chat]\nstop = "accept"', {"S4-85", "X3"}),
    "fingerprints": ("valar", '[answers.chat]\nsystem_fingerprint = "accept"', {"S4-102"}),
    "results": ("valar", '[fields.messages]\nmessages = "accept"', {"S4-125", "S4-126"}),
    "forgets": ("valar", "[idempotency.headers]\nchat = []", {"S3-02", "S3-03", "C-01"}),
    "anykey": ("valar", '[keys]\nheaders = ["bearer", "x-api-key"]', {"R-01", "S4-143"}),
    "keeps": ("valar", 'surfaces = ["chat", "stored", "models", "usage"]', {"S4-95"}),
    "blind": ("valar", 'surfaces = ["chat", "models"]', {"C-64", "C-65"}),
    "polite": ("valley", '[errors.rows.invalid_api_key]\nmessage = "Who are you?"', {"S0-05", "X7"}),
    "strict": ("valley", '[fields.chat]\nlogit_bias = "reject"', {"S0-11", "X3"}),
    "numbered": ("aurora", '[answers.chat]\nid = "accept"', {"S1-18", "X4"}),
    "hot": ("metask", "[fields.chat]\ntemperature = { range = { min = 0, max = 1.5 } }", {"S2-07"}),
    "bounded": ("metask", "[fields.chat]\nmax_tokens = { default = 1024 }", {"S2-08", "X1"}),
    "lost": ("metask", "[errors.rows.NotFound]\nstatus = 400", {"C-20", "C-21", "W-01"}),
}
"""By host: whose preset it is, the rule that differs, and the rows that find it out."""

BASES = ("valar", "valley", "aurora", "metask")

ALWAYS = {"S4-01", "S0-06", "S1-04"}
"""Red for want of a surface or of windows, or as keys are the server's and begin as its own preset says."""

Scene = tuple[Served, Backstage]


def config(base: str) -> str:
    """A server with the models of a preset, and a host for it and for each one that breaks it."""
    models = [
        f'"{name}" = {{ targets = ["up"], attempts = 1, on_loss = "warn", account_ids = "relay", {PRICE}{WINDOWS.get(name, "")} }}'
        for name in MODELS[base]
    ]
    broken = {name: text for name, (preset, text, _) in BROKEN.items() if preset == base}
    presets = [
        f'[presets.{name}]\nextends = "{base}"\n{text.replace("[", f"[presets.{name}.", 1) if text[0] == "[" else text}'
        for name, text in broken.items()
    ]
    hosts = ["[hosts]", *(f'"{name}.example.org" = "{name}"' for name in (*broken, base))]
    return "\n".join([textwrap.dedent(TARGETS), "[models]", *models, *presets, *hosts])


@pytest.fixture(scope="module")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Scene]]:
    """One server for each preset that is broken, as each address may try few wrong keys a minute."""
    with contextlib.ExitStack() as stack:
        known: dict[str, Scene] = {}

        def find(base: str) -> Scene:
            if base not in known:
                known[base] = stack.enter_context(stage(tmp_path_factory.mktemp(base), config(base)))
                known[base][1].up.house.contexts.update(CONTEXTS)
            return known[base]

        yield find


async def red(scene: Scene, preset: str, host: str) -> dict[str, str]:
    """The rows of a preset that a host does not keep, with what was expected and seen."""
    served, upstream = scene
    subject = Subject(
        preset,
        Address.parse(served.v1, host=f"{host}.example.org"),
        served.key,
        MODELS[preset][0],
        Means(image_model="sees", thinking_prompt="think: Hm.", received=received(upstream)),
        Patience(first_byte=PATIENCE, idle=PATIENCE),
    )
    found = [verdict async for verdict in run(subject, rows_for(preset)) if verdict.result == "fail"]
    return {each.id: f"{each.expected} / {each.seen}" for each in found if each.id not in ALWAYS}


@pytest.mark.parametrize("name", BROKEN)
async def test_exactly_its_rows_are_red_when_a_rule_is_broken(
    serve: Callable[[str], Scene], name: str
) -> None:
    """Neither fewer nor more."""
    preset, _, wanted = BROKEN[name]
    seen = await red(serve(preset), preset, name)
    assert seen.keys() == wanted, seen


@pytest.mark.parametrize("base", BASES)
async def test_no_row_is_red_when_nothing_is_broken(serve: Callable[[str], Scene], base: str) -> None:
    """The preset as it ships, on a host of the same server."""
    assert await red(serve(base), base, base) == {}
