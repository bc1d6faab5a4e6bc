"""The description of batches."""

from typing import Any

import pytest

from ingot.config.batches import BatchesConfig
from ingot.presets import load
from ingot.web import batches, openapi_batches


class Wordless:
    """A desk of which only its form is asked."""

    form = "object"


def test_every_page_is_described_when_served() -> None:
    """Neither a page without a description nor the reverse."""
    desk: Any = Wordless()
    nothing: Any = None
    own = {"limits": BatchesConfig(), "files": nothing, "caller": nothing, "changes": nothing}
    pages = batches.pages(desk, preset=load("open"), **own) | batches.message_pages(desk, **own)
    served = {(path, method.lower()) for path, handlers in pages.items() for method in handlers}
    assert served == {(row.path, row.method) for row in openapi_batches.ROWS}


@pytest.mark.parametrize("preset", ["open", "valar"])
def test_endpoints_are_those_of_the_preset(preset: str) -> None:
    """Each has the dialect of its surface."""
    known = batches.batched(load(preset))
    wanted = (
        {"/v1/responses"}
        if preset == "valar"
        else {
            "/v1/responses",
            "/v1/chat/completions",
            "/v1/messages",
            "/v1/embeddings",
            "/v1/completions",
        }
    )
    assert set(known) == wanted
    assert known["/v1/responses"].name == "responses"
