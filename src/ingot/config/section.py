"""What all sections of the configuration are made of: a struct that knows its keys, and a key's description."""

from msgspec import Meta, Struct


def about(text: str, unit: str = "", *, missing: str = "", instead: object = None, example: str = "") -> Meta:
    """A key's description, for the schema and the reference page.

    `missing` is what to say where a required key is absent or wrong, and `instead` a harmless value to go on
    with, so that the rest is checked too. `example` is TOML for a key without a default.
    """
    return Meta(
        description=text, extra={"unit": unit, "missing": missing, "instead": instead, "example": example}
    )


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file; it knows all of its keys."""
