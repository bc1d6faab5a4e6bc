"""Failures with wrong keys are counted by whom the trusted proxy saw, on every surface of a real server."""

from collections.abc import Iterator

import pytest

from ingot.services.failures import FAILURES_PER_MINUTE
from rig import Backstage, Line, chat, stage
from served import Served

Stage = tuple[Served, Backstage]

CONFIG = """
    [server]
    trusted_proxies = ["127.0.0.1", "10.0.0.0/8"]
    [targets.up]
    base_url = "{up}"
    [models.mock]
    targets = ["up"]
    price = "free"
"""
ROUTES = ["POST /v1/chat/completions", "GET /v1/models", "GET /admin/v1/me"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One server for the module; the tests are its proxy."""
    with stage(tmp_path_factory.mktemp("proxies"), CONFIG) as both:
        yield both


def _ask(line: Line, route: str, key: str, *forwarded: str) -> int:
    body = chat("echo: hello") if route.startswith("POST") else b""
    lines = "".join(f"X-Forwarded-For: {value}\r\n" for value in forwarded)
    head = f"{route} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
    line.send(f"{head}{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    return line.answer().status


@pytest.mark.parametrize(("number", "route"), list(enumerate(ROUTES)), ids=ROUTES)
def test_guesses_are_counted_by_the_address_that_the_proxy_saw(scene: Stage, number: int, route: str) -> None:
    """Whatever a guesser claims to be, in the same line or in one of its own, and by however many hops it comes."""
    served, _ = scene
    guesser, other = f"198.51.{number}.1", f"198.51.{number}.2"
    with Line(served.port) as line:
        statuses = []
        for turn in range(FAILURES_PER_MINUTE):
            claims = f"203.0.113.{turn}"
            told = ((f"{claims}, {guesser}",), (claims, guesser), (f"{claims}, {guesser}:{turn}, 10.0.0.7",))
            statuses.append(_ask(line, route, f"ik-guess-{turn}", *told[turn % 3]))
        # Each failure is worked off in two seconds, and the machine may be slow: some more are needed at the most.
        while statuses[-1] == 401 and len(statuses) < 20 * FAILURES_PER_MINUTE:
            statuses.append(_ask(line, route, f"ik-guess-{len(statuses)}", guesser))
        assert set(statuses[:FAILURES_PER_MINUTE]) == {401}
        assert statuses[-1] == 429
        assert _ask(line, route, "ik-guess", other) == 401
        assert _ask(line, route, served.key, other) in {200, 403}
