"""What the end-to-end tests share: one relay that stands for the whole session."""

from collections.abc import Iterator

import pytest
from openai import OpenAI

from standing import Standing, stand


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """`ingot serve` before the scriptable upstream, once for all."""
    with stand(tmp_path_factory.mktemp("standing")) as running:
        yield running


@pytest.fixture(scope="session")
def client(standing: Standing) -> Iterator[OpenAI]:
    """The official client before that relay, as a newcomer makes it but for its patience."""
    with OpenAI(base_url=standing.served.v1, api_key=standing.served.key, timeout=60, max_retries=0) as made:
        yield made
