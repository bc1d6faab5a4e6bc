"""What all tests share: a skipped test is a failed one on CI, and a server process to call."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from databases import backend, postgres, valkey
from served import Served, serving
from upstream import ScriptedUpstream

# How long an example may take says nothing on a machine that does much else.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

__all__ = ["backend", "postgres", "valkey"]  # fixtures for all tests


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:  # noqa: ARG001  # the hook's signature
    """Turns a skip into a failure where `INGOT_FAIL_ON_SKIP` is set."""
    report: pytest.TestReport = yield  # type: ignore[assignment]  # the wrapper protocol sends the report
    if report.skipped and os.environ.get("INGOT_FAIL_ON_SKIP") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where nothing may be skipped: {report.longrepr}"
    return report  # type: ignore[return-value]  # the wrapper protocol returns it


@pytest.fixture
async def upstream() -> AsyncIterator[ScriptedUpstream]:
    """The scriptable upstream on a loopback port."""
    async with ScriptedUpstream() as running:
        yield running


@pytest.fixture
def relay(upstream: ScriptedUpstream, tmp_path: Path) -> Iterator[Served]:
    """`ingot serve` in a process of its own, in front of the scriptable upstream, without the engine."""
    config = f"""
        [engine]
        enabled = false
        [targets.up]
        base_url = "{upstream.url}"
        timeouts = {{ connect = 2.0, first_byte = 3.0, idle = 3.0 }}
        [models.mock]
        targets = ["up"]
        price = "free"
        [models."org/renamed"]
        targets = [{{ target = "up", model = "mock" }}]
        price = {{ input = 0.15, cached_input = 0.03, output = 0.60 }}
    """
    with serving(config, tmp_path) as served:
        yield served


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`ingot serve` with nothing configured: the embedded engine and the demo model."""
    with serving("", tmp_path_factory.mktemp("demo")) as served:
        yield served
