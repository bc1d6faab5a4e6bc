"""What the records say about themselves is complete and current."""

import re
from pathlib import Path
from typing import Any

import msgspec

from ingot.config import Config, load
from ingot.config.reference import HEADINGS, json_schema, page, template

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"


def test_page_when_records_changed() -> None:
    """The page in the repository is the one that the records make: `ingot config reference` writes it anew."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_page_when_searched_for_any_key() -> None:
    """Each key of each record has a row with a type and a meaning."""
    text = page()
    for heading, cls in HEADINGS:
        part = text.partition(f"## `{heading}`\n")[2].partition("\n## ")[0]
        for each in msgspec.structs.fields(cls):
            row = re.search(rf"^\| `{each.encode_name}` \|.*\|$", part, re.MULTILINE)
            assert row is not None, (heading, each.encode_name)
            assert all(cell.strip() for cell in row[0].strip("|").split(" | "))


def test_template_when_nothing_is_changed() -> None:
    """The first file means the defaults."""
    assert load(template(), {}) == Config()


def test_template_when_all_is_uncommented() -> None:
    """Every setting in it is valid, and those with a default show it."""
    text = re.sub(r"(?m)^#(?=[a-z\[])", "", template())
    config = load(text, {"OPENAI_API_KEY": "k", "RESEND_API_KEY": "k", "SMTP_PASSWORD": "k"})
    assert set(config.models) == {"fast", "zai-org/GLM-5.1"}
    assert config.server == Config().server
    assert config.limits == Config().limits
    assert (config.engine.threads, config.engine.context) == (4, 8192)


def properties(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [each for record in schema["$defs"].values() for each in record["properties"].values()]


def test_schema_when_read_by_an_editor() -> None:
    """Each key is described; nothing asks for null, which TOML does not have; prices are numbers."""
    schema = json_schema()
    assert all(each["description"] for each in properties(schema))
    assert '"null"' not in str(schema).replace("'", '"')
    assert None not in [each.get("default", 0) for each in properties(schema)]
    assert schema["$defs"]["PriceConfig"]["properties"]["input"]["type"] == "number"
    assert schema["$defs"]["ModelConfig"]["required"] == ["targets", "price"]
    assert all(record["additionalProperties"] is False for record in schema["$defs"].values())
