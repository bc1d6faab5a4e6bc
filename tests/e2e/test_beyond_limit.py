"""A request that alone asks for more than the limit of a minute: the official clients are told so and do not come back."""

from collections.abc import Iterator
from dataclasses import dataclass

import openai
import pytest
from openai import OpenAI

from databases import Place
from nodejs import run_program
from operator_hands import Customer, Hands, house
from served import Served
from standing import says

CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models]
    mock = { targets = ["up"], price = "free" }
"""
LIMIT = 40_000
"""Tokens a minute on the plan `free`."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A server and a customer on the plan `free`."""

    served: Served
    customer: Customer


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    folder = tmp_path_factory.mktemp("beyond")
    hands = Hands(Place("sqlite", folder / "data", ""))
    with house(folder, CONFIG, hands) as ((served,), _):
        yield Scene(served, hands.customer("Beyond", plan="free", postpaid=True))


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
@pytest.mark.parametrize(
    ("content", "most"), [("hi", LIMIT + 10_000), ("hi " * 2 * LIMIT, 10)], ids=["long answer", "long prompt"]
)
def test_python_client_asks_once_when_no_wait_would_help(
    scene: Scene, content: str, most: int, *, stream: bool
) -> None:
    """The message names the limit and the field; there is no time to return, and the client's own retries stay away."""
    with OpenAI(base_url=scene.served.v1, api_key=scene.customer.key) as client:
        assert client.max_retries > 0
        with pytest.raises(openai.RateLimitError) as caught:
            client.chat.completions.create(
                model="mock", messages=says(content), max_tokens=most, stream=stream
            )
    headers = caught.value.response.headers
    assert "40,000 tokens a minute" in caught.value.message
    assert "max_tokens" in caught.value.message
    assert headers["x-should-retry"] == "false"
    assert not {"retry-after", "retry-after-ms"} & headers.keys()
    # What the client itself counts: the answer that it raises for is that to its first try.
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"


def test_node_client_asks_once_when_no_wait_would_help(scene: Scene) -> None:
    """The same for the official client of the other language."""
    run_program("beyond", url=scene.served.v1, key=scene.customer.key)
