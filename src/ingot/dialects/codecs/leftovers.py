"""Fields that no codec interprets: kept as raw JSON where they are found, put back where they came from.

Values of a decoded object are encoded anew: equal as JSON, whatever their spaces were.
A field of an object inside is kept under a dotted name (`function.examples`), which is its place in a `Loss` too.
Decides nothing about which fields are known. Knows no dialect.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from msgspec import Raw

from ingot.canonical import DialectName, Extras
from ingot.dialects.cuts import dump


def unknown(
    value: Mapping[str, Any], known: Collection[str], *, inside: str = "", nulls: bool = False
) -> Iterator[tuple[str, Raw]]:
    """The fields of a decoded object that are not known, encoded; `inside` is the name of that object in its holder."""
    for name, held in value.items():
        if name not in known and (nulls or held is not None):
            yield (f"{inside}.{name}" if inside else name), Raw(dump(held))


def extras_of(fields: Mapping[str, Raw], dialect: DialectName) -> Extras | None:
    """The fields as extras; None where there are none."""
    return Extras(dialect, dict(fields)) if fields else None


def restore(extras: Extras | None, into: dict[str, Any], *, dialect: DialectName) -> None:
    """Puts extras of this dialect back into the object that they were found in; a known field is not overwritten."""
    if extras is None or extras.dialect != dialect:
        return
    for name, raw in extras.fields.items():
        holder, _, inner = name.partition(".")
        if inner and isinstance(into.get(holder), dict):
            into[holder].setdefault(inner, raw)
        else:
            into.setdefault(name, raw)
