"""What the end-to-end tests share: one relay that stands for the whole session."""

from collections.abc import Iterator

import pytest

from standing import Standing, stand


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """`ingot serve` before the scriptable upstream, once for all."""
    with stand(tmp_path_factory.mktemp("standing")) as running:
        yield running
