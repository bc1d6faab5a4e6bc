"""Each closed rule of each preset, broken on a host of its own: exactly the rows that name it turn red, and no others.

    DROPPED    the rule is taken away
    TURNED     where that changes nothing, as the surface refuses the same or the upstream gives the same: it is changed,
               so that what was missing is made up, a bound is narrower, a field of an answer is taken out or made up
    UNSEEN     no row finds it out

Only the rows that a rule can reach are tried: those that send a value it has to do with, or that read an answer it is on.
"""

import textwrap
from collections.abc import Callable, Iterator

import pytest

from brokenrules import Rule, Watched, rules_of, toml
from conformancehouse import CONTEXTS, MODELS, PRICE, TARGETS, WINDOWS, received
from ingot.conformance import Address, Means, Patience, Row, rows_for, try_row
from rig import Backstage, stage
from served import PATIENCE, Served

BASES = ("valar", "valley", "aurora", "aurora-v2", "metask")

DROPPED = {
    "valar": {
        "chat.messages check no_input_audio": "S4-81",
        "chat.reasoning_effort one_of": "S3-11 S4-63",
        "chat.n one_of": "S3-12 S4-80 X3",
        "chat.modalities one_of": "S3-13 S4-91",
        "chat.stream_options drop": "S3-16",
        "chat.store one_of": "S3-17 S4-07 X15",
        "chat.user max_len": "S3-18",
        "chat.metadata check asap_or_standard": "S4-05",
        "chat.service_tier one_of": "S4-94",
        "chat.audio reject": "S4-90",
        "chat.frequency_penalty reject": "S4-82 X3",
        "chat.function_call reject": "S4-98",
        "chat.functions reject": "S4-97",
        "chat.logit_bias reject": "S4-84 X3",
        "chat.logprobs reject": "S4-88 X3",
        "chat.max_tokens reject": "S4-96 X1",
        "chat.prediction reject": "S4-92",
        "chat.presence_penalty reject": "S4-83 X3",
        "chat.seed reject": "S4-86 X3",
        "chat.stop reject": "S4-85 X3",
        "chat.top_logprobs reject": "S4-87 X3",
        "chat.verbosity reject": "S4-89",
        "chat.web_search_options reject": "S4-93",
        "messages.messages check no_documents": "S4-125",
        "messages.messages check no_tool_results": "S4-126",
        "messages.max_tokens range.min": "C-02",
        "messages.metadata check asap_or_standard": "S4-05",
        "messages.stream one_of": "S4-03 S4-120 C-02",
        "messages.tools drop": "S4-115 X9",
        "messages.tool_choice drop": "S4-115 X9",
        "messages.inference_geo reject": "S4-128",
        "messages.service_tier reject": "S4-127",
        "messages.stop_sequences reject": "S4-123",
        "messages.system reject": "S4-121 X12",
        "messages.thinking reject": "S4-122",
        "messages.top_k reject": "S4-124 X9",
        "responses.input check no_audio": "S4-43",
        "responses.input check no_files": "S4-44",
        "responses.input check no_references": "C-05",
        "responses.user max_len": "C-05",
        "responses.text check text_or_schema": "S4-52",
        "responses.tools check local_tools": "S4-35 S4-36 S4-37 S4-38 S4-39 S4-40 S4-41 S4-42",
        "responses.include check included": "S4-45 S4-46 S4-47 S4-48 S4-49",
        "responses.metadata check asap_or_standard": "S4-05",
        "responses.store one_of": "S4-07 C-05",
        "responses.stream one_of": "S4-03 S4-30 R-13",
        "responses.truncation one_of": "S4-50",
        "responses.service_tier one_of": "S4-53",
        "responses.conversation reject": "S4-33",
        "responses.instructions reject": "S4-31 X12",
        "responses.parallel_tool_calls reject": "S4-51 X8 R-03",
        "responses.previous_response_id reject": "S4-32 R-13",
        "responses.prompt reject": "S4-34",
        "chat.service_tier answer": "S4-103",
        "chat.system_fingerprint answer": "S4-102",
        "chat.choices.finish_reason answer": "S4-101 X6",
        "chat.choices.message.reasoning_content answer": "S3-23",
        "chat.choices.delta.tool_calls answer": "S4-71",
        "messages.content answer": "S4-141 R-05",
        "messages.stop_reason answer": "S4-140",
        "messages.usage.cache_read_input_tokens answer": "S4-142 R-05",
        "responses.usage.prompt_tokens answer": "C-05",
        "responses.usage.completion_tokens answer": "C-05",
    },
    "valley": {
        "chat.choices.message.* answer": "S0-16",
        "chat.choices.delta.* answer": "S0-16",
    },
    "aurora": {
        "chat.system becomes": "S1-17 X12",
        "chat.stream one_of": "S1-22 X2",
        "chat.max_tokens default": "S1-15 X1",
        "chat.id answer": "S1-18 X4",
    },
    "aurora-v2": {
        "chat.system becomes": "S1-17 X12",
        "chat.max_tokens default": "S1-15 X1",
        "chat.id answer": "S1-18 X4",
    },
}
"""By preset and rule: the rows."""

TURNED = {
    "valar": {
        "chat.model require": "S3-05",
        "chat.messages require": "S3-06",
        "chat.temperature range.min": "S3-07 S4-60 C-01",
        "chat.temperature range.max": "S3-07",
        "chat.top_p range.min": "S3-08 S4-60",
        "chat.top_p range.max": "S3-08 S4-60",
        "chat.max_completion_tokens range.min": "S3-09",
        "messages.model require": "C-02",
        "messages.messages require": "C-02",
        "messages.max_tokens require": "C-02",
        "messages.temperature range.min": "S4-111 R-07",
        "messages.temperature range.max": "S4-111 R-07",
        "messages.top_p range.min": "S4-111",
        "messages.top_p range.max": "S4-111",
        "responses.model require": "C-05",
        "responses.input require": "C-05",
        "responses.max_output_tokens range.min": "C-05",
        "responses.temperature range.min": "S4-11 C-05",
        "responses.temperature range.max": "C-05",
        "responses.top_p range.min": "S4-11 C-05",
        "responses.top_p range.max": "S4-11 C-05",
        "chat.choices.logprobs answer": "S3-24 S4-104 X14 R-12",
        "chat.choices.message.content answer": "S3-23 A-07 A-08",
        "chat.choices.message.refusal answer": "S3-23",
        "chat.usage.prompt_tokens_details answer": "S3-25",
        "chat.usage.completion_tokens_details answer": "S3-25",
        "messages.usage.cache_creation_input_tokens answer": "S4-142 R-05",
    },
    "valley": {
        "chat.model require": "S0-15",
        "chat.messages require": "S0-15",
        "chat.* answer": "S0-16",
        "chat.id answer": "X4",
        "chat.choices.* answer": "S0-16",
    },
    "aurora": {
        "chat.model require": "S1-13",
        "chat.messages require": "S1-14",
        "chat.temperature range.min": "S1-16",
        "chat.temperature range.max": "S1-16",
    },
    "aurora-v2": {
        "chat.model require": "S1-13",
        "chat.messages require": "S1-14",
        "chat.temperature range.min": "S1-16",
        "chat.temperature range.max": "S1-16",
    },
    "metask": {
        "chat.model require": "C-20",
        "chat.messages require": "C-20",
        "chat.temperature range.min": "S2-07 A-15",
        "chat.temperature range.max": "S2-07",
        "chat.top_p range.min": "S2-09 S2-10",
        "chat.top_p range.max": "S2-09 S2-10",
        "chat.max_tokens range.min": "S2-08",
        "chat.id answer": "S2-11 X4",
    },
}
"""By preset and rule: the rows."""

UNSEEN = {
    "valar": {
        "responses.input check asked_for_something": "the surface itself refuses an empty input",
        "responses.stream_options drop": "no row speaks of it",
        "chat.choices.message.reasoning answer": "the scripted upstream says reasoning_content",
        "chat.choices.delta.reasoning answer": "the scripted upstream says reasoning_content",
        "messages.stop_details answer": "no row speaks of it",
        "messages.usage.cache_creation answer": "no row speaks of it",
    },
}
"""By preset and rule: why."""

ALWAYS = {"S0-06", "S1-04", "X13", "C-60"}
"""Red always: keys and models are the server's, so that keys begin as its own preset says, and all models are there."""

SLOW = {"S4-151"}
"""Sends 100,001 plain requests in a batch, with which no rule has to do."""

RULES = {base: {rule.name: rule for rule in rules_of(base)} for base in BASES}
CASES = [
    *((base, name, "dropped", rows) for base, table in DROPPED.items() for name, rows in table.items()),
    *((base, name, "turned", rows) for base, table in TURNED.items() for name, rows in table.items()),
]

Reached = list[tuple[Row, Watched]]


class House:
    """A preset on a server with a host for each of its broken rules, and what each row asks where none is broken."""

    def __init__(self, base: str, served: Served, upstream: Backstage) -> None:
        self.base, self.served, self.upstream = base, served, upstream
        self._watched: Reached = []

    def subject(self, host: str) -> Watched:
        """Whoever tries a host."""
        return Watched(
            self.base,
            Address.parse(self.served.v1, host=f"{host}.example.org"),
            self.served.key,
            MODELS[self.base][0],
            Means(
                image_model="sees" if "sees" in MODELS[self.base] else None,
                thinking_prompt="think: Hm.",
                received=received(self.upstream),
            ),
            Patience(first_byte=PATIENCE, idle=PATIENCE),
        )

    async def watched(self) -> Reached:
        """Each row with what it sent and read under the preset as it ships, where it holds."""
        if not self._watched:
            for row in rows_for(self.base):
                if row.id in SLOW:
                    continue
                subject = self.subject(self.base)
                verdict = await try_row(subject, row)
                assert verdict.result != "fail" or row.id in ALWAYS, verdict
                self._watched.append((row, subject))
        return self._watched

    async def red(self, rule: Rule, *, turned: bool) -> dict[str, str]:
        """The rows that a host without the rule, or with another, does not keep; with what was expected and seen."""
        subject = self.subject(host(self.base, rule, turned=turned))
        rows = [row for row, seen in await self.watched() if rule.reaches(seen, turned=turned)]
        found = [verdict for row in rows if (verdict := await try_row(subject, row)).result == "fail"]
        return {each.id: f"{each.expected} / {each.seen}" for each in found if each.id not in ALWAYS}


def host(base: str, rule: Rule, *, turned: bool) -> str:
    """The name of the preset in which a rule is broken."""
    return f"{base}-{list(RULES[base]).index(rule.name)}{'-turned' if turned else ''}"


def config() -> str:
    """A server with all models, and a host for each preset and for each one that breaks a rule of it."""
    names = dict.fromkeys(name for base in BASES for name in MODELS[base])
    models = [
        f'"{name}" = {{ targets = ["up"], attempts = 1, on_loss = "warn", account_ids = "relay", {PRICE}{WINDOWS.get(name, "")} }}'
        for name in names
    ]
    broken, presets = list(BASES), list[str]()
    for base, rules in RULES.items():
        for name, rule in rules.items():
            ways = {host(base, rule, turned=False): rule.without()}
            if name in TURNED[base]:
                ways[host(base, rule, turned=True)] = rule.turned(base)
            presets += [toml(each, base, tables) for each, tables in ways.items()]
            broken += ways
    hosts = [f'"{name}.example.org" = "{name}"' for name in broken]
    return "\n".join([textwrap.dedent(TARGETS), "[models]", *models, *presets, "[hosts]", *hosts])


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], House]]:
    """One server for all; what is known of a preset is found out when it is first asked for."""
    with stage(tmp_path_factory.mktemp("rules"), config()) as (served, upstream):
        upstream.up.house.contexts.update(CONTEXTS)
        houses = {base: House(base, served, upstream) for base in BASES}
        yield houses.__getitem__


@pytest.mark.parametrize("base", BASES)
def test_every_closed_rule_has_its_place(base: str) -> None:
    """In one of the three tables, once; and every row that is named there is one of the preset."""
    tables = (DROPPED.get(base, {}), TURNED[base], UNSEEN.get(base, {}))
    assert sorted(name for table in tables for name in table) == sorted(RULES[base])
    named = {row for table in tables[:2] for rows in table.values() for row in rows.split()}
    assert named <= {row.id for row in rows_for(base)}


@pytest.mark.parametrize(
    ("base", "name", "how", "rows"), CASES, ids=[f"{case[0]} {case[1]}" for case in CASES]
)
async def test_exactly_its_rows_are_red_when_a_rule_is_broken(
    house: Callable[[str], House], base: str, name: str, how: str, rows: str
) -> None:
    """Neither fewer nor more."""
    seen = await house(base).red(RULES[base][name], turned=how == "turned")
    assert seen.keys() == set(rows.split()), seen


@pytest.mark.parametrize("base", BASES)
async def test_no_row_is_red_where_the_surface_has_the_same_rule(
    house: Callable[[str], House], base: str
) -> None:
    """What refuses a request in any case needs no rule to do so."""
    for name in (*TURNED[base], *UNSEEN.get(base, ())):
        rule = RULES[base][name]
        if not rule.of_answers:
            assert await house(base).red(rule, turned=False) == {}, name
