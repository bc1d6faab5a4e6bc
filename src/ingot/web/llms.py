"""`/llms.txt` and the page that it leads to: an index of the documentation for programs, under the preset that is served.

    the description of the API --operations that the preset offers--> /llms.txt
    the preset's own data -------------------------------------------> /reference.md

Both are made from the data that the server runs on. Decides which operations belong to which surface; refuses to know how
they are answered. Format: llmstxt.org.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from ingot.presets.page import section
from ingot.presets.preset import Preset
from ingot.web.surfaces import DIALECTS

INDEX: Final = "/llms.txt"
REFERENCE: Final = "/reference.md"

_ASKED: Final = {f"/v1{dialect.surface}": name for name, dialect in DIALECTS}
# What is kept of answers is a surface of its own, uploads are a way to files, webhooks have two ways; any other has the name that its path begins with.
_KEPT: Final = {
    "chat": "stored",
    "responses": "kept_responses",
    "uploads": "files",
    "webhook_endpoints": "webhooks",
    "webhook_event_types": "webhooks",
}
_REFERENCE: Final = "Every field of a request that is required, refused or changed, what answers and errors look like, plans and limits"
_POINTER: Final = str.maketrans({"~": "~0", "/": "~1", "{": "%7B", "}": "%7D"})


def index(preset: Preset, description: bytes) -> str:
    """The text of `/llms.txt`; `description` is that of `/openapi.json`."""
    paths: dict[str, dict[str, Any]] = msgspec.json.decode(description)["paths"]
    name, colon, about = preset.about.partition(":")
    offered: list[str] = []
    beside: list[str] = []
    for path, operations in paths.items():
        for method, operation in operations.items():
            surface = surface_of(method, path)
            if surface is None or preset.offers(surface):
                line = f"- [{method.upper()} {path}]({_place(method, path)}): {operation['summary']}"
                (beside if surface is None else offered).append(line)
    return "\n".join(
        [
            f"# {name if colon else 'Ingot'}",
            "",
            f"> {(about if colon else preset.about).strip()}",
            "",
            *_keys(preset),
            "",
            "## Documentation",
            "",
            f"- [Reference]({REFERENCE}): {_REFERENCE}",
            "- [OpenAPI 3.1](/openapi.json): Every path, with the schemas of requests, answers and errors",
            "",
            "## API",
            "",
            *offered,
            "",
            "## Optional",
            "",
            *beside,
            "",
        ]
    )


def reference(preset: Preset) -> str:
    """The text of `/reference.md`."""
    return section(preset).lstrip().replace("## ", "# ", 1)


def surface_of(method: str, path: str) -> str | None:
    """The surface that an operation is part of; None for the pages around the API."""
    if method == "post" and path in _ASKED:
        return _ASKED[path]
    _, version, name, *_ = [*path.split("/"), "", ""]
    return _KEPT.get(name, name) if version == "v1" else None


def _keys(preset: Preset) -> Iterator[str]:
    ways = {"bearer": "`Authorization: Bearer KEY`", "x-api-key": "`x-api-key: KEY`"}
    told = " or ".join(ways[header] for header in sorted(preset.keys.headers))
    yield f"All paths of the API stand below this host. Keys begin with `{preset.keys.prefix}_` and come as {told}."


def _place(method: str, path: str) -> str:
    return f"/openapi.json#/paths/{path.translate(_POINTER)}/{method}"
