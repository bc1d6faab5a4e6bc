"""The description of the pages over stored completions, conversations and usage."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request

from ingot.clock import ManualClock
from ingot.errors import NotFound
from ingot.services.idempotency import Retries
from ingot.store.database import Database
from ingot.store.engine import open_database
from ingot.web import background, openapi_more
from keyhouse import Lines
from pagehouse import all_pages


@dataclass
class Nothing:
    """A surface without a response in the background."""

    surface: str

    async def read(self, org_id: str, which: str) -> bytes | None:  # noqa: ARG002  # the protocol's names
        return None

    async def stream(self, org_id: str, which: str, *, after: int | None) -> AsyncIterator[bytes] | None:  # noqa: ARG002  # the protocol's names
        return None

    async def cancel(self, org_id: str, which: str) -> bytes | None:  # noqa: ARG002  # the protocol's names
        return None

    async def delete(self, org_id: str, which: str) -> bytes | None:  # noqa: ARG002  # the protocol's names
        return None

    def missing(self, which: str) -> NotFound:
        return NotFound(which)


def _described() -> dict[str, Any]:
    paths: dict[str, Any] = {"/v1/chat/completions": {"post": {"summary": "there already"}}}
    schemas, _ = msgspec.json.schema_components(openapi_more.KINDS, ref_template="#/{name}")
    found = dict(zip(openapi_more.KINDS, schemas, strict=True))
    openapi_more.add_paths(paths, found, error={"$ref": "#/ErrorBody"}, anthropic={"$ref": "#/ErrorBody"})
    return paths


async def _served(db: Database, blobs: Path) -> set[tuple[str, str]]:
    clock = ManualClock()
    retries = await Retries.open(db, clock=clock, log=Lines())
    pages = all_pages(db, clock, retries, blobs=blobs)

    async def organization(_: Request) -> str:
        return "org"

    for surface in background.PATHS:
        pages = background.joined(pages, Nothing(surface), organization=organization)
    await retries.close()
    return {(path.replace(":path", ""), method.lower()) for path, own in pages.items() for method in own}


async def test_every_page_is_described_when_served(tmp_path: Any) -> None:
    """Neither a page without a description nor the reverse, and nothing that was there is lost."""
    paths = _described()
    described = {(path, method) for path, own in paths.items() for method in own}
    async with open_database(tmp_path) as db:
        assert described == await _served(db, tmp_path) | {("/v1/chat/completions", "post")}
    assert paths["/v1/chat/completions"]["post"] == {"summary": "there already"}


def test_parameters_are_named_when_a_page_has_them() -> None:
    """The path's own are required, the query's are not."""
    paths = _described()
    found = {each["name"]: each["required"] for each in paths["/v1/usage/breakdown"]["get"]["parameters"]}
    assert found == {"range": False, "date": False}
    [one] = paths["/v1/chat/completions/{id}"]["delete"]["parameters"]
    assert (one["name"], one["in"], one["required"]) == ("id", "path", True)
    answer = paths["/v1/usage/export"]["get"]["responses"]["200"]["content"]
    assert list(answer) == ["text/csv"]
