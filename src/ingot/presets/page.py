"""Presets as people read them: the reference page, one preset as TOML, and what tells two apart.

Made from the very data that the server runs on.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import inspect

from ingot.config.document import toml
from ingot.config.problems import dotted, quoted
from ingot.config.shape import expected, unwrapped
from ingot.presets import words
from ingot.presets.preset import Preset
from ingot.presets.sections import (
    AnswerRule,
    BackgroundTable,
    ErrorsRow,
    ErrorsTable,
    FieldRule,
    IdempotencyTable,
    KeysTable,
    LimitsTable,
    ModelsTable,
    PlanRow,
    PlansTable,
    PresetFile,
    Range,
    StoreTable,
    WebhooksTable,
    When,
)
from ingot.presets.shelf import load, names

Row = TypeVar("Row")

_DEEPEST: Final = 3
"""Tables as far down as this are told apart key by key; `fields.chat.n` is a value."""

_TABLES: Final[tuple[type[msgspec.Struct], ...]] = (
    PresetFile,
    KeysTable,
    PlansTable,
    PlanRow,
    ErrorsTable,
    ErrorsRow,
    LimitsTable,
    StoreTable,
    IdempotencyTable,
    BackgroundTable,
    ModelsTable,
    FieldRule,
    Range,
    WebhooksTable,
    When,
    AnswerRule,
)

_HEAD: Final = """\
# Presets

<!-- Written by `python tests/reference.py` from src/ingot/presets; edit that instead. -->

A preset is a TOML file that says which service a server stands in for: what keys look like, which surfaces are there,
which fields of a request are refused, ignored or filled in, what answers and errors look like. `server.preset` chooses one
for the server, `[hosts]` for a host name; `[presets.NAME]` in [ingot.toml](config.md) makes one of your own. Whether a server keeps a
preset's rules is what `ingot conformance URL --preset NAME` finds out.

Errors look so on every path: where a model answers, in a stream that has begun, on paths and methods that are not there, and
where a connection brings no request that could be read. The admin API alone is not the service's and looks the same under all.

"""

_KEYS_HEAD: Final = """
## Keys of a preset's file

An unknown key is an error; `ingot presets check FILE` lists all that is wrong. With `extends` a file needs only what
differs: tables are put together key by key, while a row, a rule on a field and a list take the place of what was there.
`ingot presets show NAME` prints a preset with all that it extends, `ingot presets diff A B` what tells two apart.
"""


def page() -> str:
    """docs/reference/presets.md."""
    presets = [load(name) for name in names()]
    listed = "".join(f"| [`{each.name}`](#{each.name}) | {each.about} |\n" for each in presets)
    sections = "".join(section(each) for each in presets)
    tables = "".join(_table(cls) for cls in _TABLES)
    return f"{_HEAD}| preset | in short |\n|---|---|\n{listed}{sections}{_KEYS_HEAD}{tables}"


def text(tree: Mapping[str, Any]) -> str:
    """A preset's data as a TOML file."""
    lines = [f"{quoted(key)} = {toml(value)}" for key, value in tree.items() if not isinstance(value, dict)]
    for key, table in tree.items():
        if isinstance(table, dict):
            lines += _headed((key,), table)
    return "\n".join(lines) + "\n"


def differences(old: Preset, new: Preset) -> list[tuple[str, str, str]]:
    """Each key that differs, with both values as TOML; empty where a preset lacks it."""
    before, after = dict(_leaves((), old.tree)), dict(_leaves((), new.tree))
    return [
        (path, before.get(path, ""), after.get(path, ""))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]


def _headed(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    inner = [key for key, value in table.items() if isinstance(value, dict) and len(path) < _DEEPEST - 1]
    if len(inner) < len(table) or not table:
        yield ""
        yield f"[{dotted(path)}]"
        yield from (f"{quoted(key)} = {toml(value)}" for key, value in table.items() if key not in inner)
    for key in inner:
        yield from _headed((*path, key), table[key])


def _leaves(path: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in table.items():
        place = (*path, key)
        if isinstance(value, dict) and len(place) < _DEEPEST:
            yield from _leaves(place, value)
        else:
            yield dotted(place), toml(value)


def section(preset: Preset) -> str:
    """One preset, as the page has it."""
    keys, errors, base = preset.keys, preset.errors, preset.extends
    rows = [
        ("surfaces", ", ".join(preset.tree["surfaces"])),
        ("keys", f"`{keys.prefix}_...`, in {' or '.join(sorted(keys.headers))}"),
        ("keys of one account", "as many as the plan says" if keys.most is None else f"at most {keys.most}"),
        *((f"plan {name}", _settings(row)) for name, row in preset.tree["plans"]["rows"].items()),
        ("plan of a new organization", preset.default_plan),
        (
            "envelope of errors",
            "the surface's own" if preset.envelope == "surface" else "OpenAI's everywhere",
        ),
        ("statuses of errors", ", ".join(map(str, sorted(errors.statuses))) or "all"),
        *((f"error {name}", _settings(row)) for name, row in preset.tree["errors"].get("rows", {}).items()),
        ("headers about limits", ", ".join(preset.limit_headers) or "none"),
        ("`store` where not given", toml(preset.stores)),
        ("retries are known by", _retries(preset)),
        ("work in the background", _background(preset)),
        ("`metadata.completion_webhook`", _webhooks(preset)),
        ("models tell beside OpenAI's fields", ", ".join(sorted(preset.model_extras)) or "nothing"),
    ]
    lines = [f"\n## {preset.name}\n", preset.about + (f" Extends [`{base}`](#{base})." if base else "")]
    lines += ["\n| setting | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]
    for surface, table in preset.fields.items():
        lines += [f"\n| field of {surface} | rule |", "|---|---|"]
        lines += [f"| {_field(name)} | {words.rule(rule)} |" for name, rule in _ordered(table)]
    for surface, looks in preset.looks.items():
        lines += [f"\n| field of {surface}'s answers | what the client sees |", "|---|---|"]
        lines += [f"| {_path(name)} | {words.look(said)} |" for name, said in _ordered(looks)]
    return "\n".join(lines) + "\n"


def _ordered(table: Mapping[str, Row]) -> list[tuple[str, Row]]:
    return sorted(table.items(), key=lambda row: (row[0].endswith("*"), row[0]))


def _field(name: str) -> str:
    return "any other" if name == "*" else f"`{name}`"


def _path(name: str) -> str:
    above, dot, last = name.rpartition(".")
    return _field(name) if last != "*" or not dot else f"any other of `{above}`"


def _settings(row: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} `{toml(value)}`" for key, value in row.items()) or "no limits"


def _retries(preset: Preset) -> str:
    by_headers: dict[str, list[str]] = {}
    for surface, headers in preset.idempotency.headers.items():
        by_headers.setdefault(" or ".join(f"`{each}`" for each in headers), []).append(surface)
    said = [f"{headers} on {', '.join(surfaces)}" for headers, surfaces in by_headers.items()]
    return f"{'; '.join(said)}; at most {preset.idempotency.longest} characters" if said else "nothing"


def _background(preset: Preset) -> str:
    rules = preset.background
    return f"on {', '.join(sorted(rules.surfaces))}, taken with {rules.status}" if rules.surfaces else "none"


def _webhooks(preset: Preset) -> str:
    rules = preset.webhooks
    if not rules.surfaces:
        return "ignored"
    told = "told in the record" if rules.told else "ignored"
    tries = f"{len(rules.policy.waits)} tries of {rules.policy.seconds:g} s"
    return f"on {', '.join(sorted(rules.surfaces))}, {tries}; an address that cannot be used is {told}"


def _table(cls: type[msgspec.Struct]) -> str:
    heading, _, said = (cls.__doc__ or "").strip().partition(": ")
    lines = [f"\n### {heading}\n", f"{said[:1].upper()}{said[1:]}\n"]
    lines += ["| key | type | meaning |", "|---|---|---|"]
    for each in msgspec.structs.fields(cls):
        described = inspect.type_info(each.type)
        kind, extra = unwrapped(described)
        schema = described.extra_json_schema if isinstance(described, inspect.Metadata) else None
        meaning = (schema or {}).get("description", "") + (
            f" In {extra['unit']}." if extra.get("unit") else ""
        )
        need = " **required**" if each.required else ""
        lines.append(f"| `{each.encode_name}` | {expected(kind)}{need} | {meaning} |")
    return "\n".join(lines) + "\n"
