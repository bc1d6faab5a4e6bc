"""What answers and refusals say in headers and in words, under each preset; the seed rows about them by name."""

import contextlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from databases import Place
from operator_hands import Customer, Hands, house
from rig import Answer, Backstage, Line, chat, fresh_id, post
from served import KEY, Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    [models]
    mock = { targets = ["up"], price = "free", attempts = 1 }
"""
CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Scene:
    """A server under a preset."""

    hands: Hands
    served: Served
    upstream: Backstage

    def ask(self, body: bytes, key: str = KEY, *, more: str = "") -> Answer:
        """A chat call over a connection of its own."""
        with Line(self.served.port) as line:
            line.send(post(body, more=more).replace(KEY.encode(), key.encode()))
            return line.answer()

    def customer(self, plan: str) -> Customer:
        """An organization of its own for a test."""
        return self.hands.customer(fresh_id(), plan=plan, postpaid=True)


Under = Callable[[str], Scene]


@pytest.fixture(scope="module")
def under(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Under]:
    """The server under a preset, started when it is first asked for."""
    with contextlib.ExitStack() as stack:
        known: dict[str, Scene] = {}

        def find(preset: str) -> Scene:
            if preset not in known:
                folder = tmp_path_factory.mktemp(preset)
                hands = Hands(Place("sqlite", folder / "data", ""), preset)
                (served,), upstream = stack.enter_context(house(folder, CONFIG, hands))
                known[preset] = Scene(hands, served, upstream)
            return known[preset]

        yield find


def _figures(headers: dict[str, str]) -> dict[str, str]:
    """The header lines about limits."""
    return {name: value for name, value in headers.items() if "ratelimit" in name}


FIGURES = {
    *(
        f"x-ratelimit-{what}-{of}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
    *(
        f"anthropic-ratelimit-{of}-{what}"
        for what in ("limit", "remaining", "reset")
        for of in ("requests", "tokens")
    ),
    "ratelimit",
    "ratelimit-policy",
}


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])
def test_l07_both_families_are_on_answers_and_refusals(under: Under, *, stream: bool) -> None:
    """They count down, never below zero; a refusal adds when to come back, in seconds and in milliseconds."""
    scene = under("open")
    customer = scene.customer("free")
    body = chat("hello", stream=stream, max_tokens=10)
    answers = [scene.ask(body, customer.key) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    for place, answer in enumerate(answers):
        headers = answer.headers
        assert set(_figures(headers)) == FIGURES
        assert headers["x-ratelimit-limit-requests"] == headers["anthropic-ratelimit-requests-limit"] == "5"
        left = max(0, 4 - place)
        assert headers["x-ratelimit-remaining-requests"] == str(left)
        assert headers["anthropic-ratelimit-requests-remaining"] == str(left)
        assert headers["x-ratelimit-limit-tokens"] == "40000"
        assert "nan" not in json.dumps(_figures(headers)).lower()
        assert '"-' not in json.dumps(_figures(headers))
        assert ("retry-after" in headers) is ("retry-after-ms" in headers) is (answer.status == 429)
    refused = answers[-1]
    seconds, millis = int(refused.headers["retry-after"]), int(refused.headers["retry-after-ms"])
    assert 1 <= seconds <= 60
    assert millis <= seconds * 1000
    assert refused.headers["content-type"].startswith("application/json")
    assert refused.error["code"] == "rate_limit_exceeded"
    assert "5 requests a minute" in refused.error["message"]
    if stream:
        assert all(answer.headers["content-type"].startswith("text/event-stream") for answer in answers[:5])


def test_l04_request_is_refused_when_its_tokens_are_beyond_the_limit(under: Under) -> None:
    """Before anything is asked upstream; and it is not charged as a request."""
    scene = under("open")
    customer = scene.customer("free")
    before = len(scene.upstream.up.log)
    refused = scene.ask(chat("hello", max_tokens=50_000), customer.key)
    assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
    assert "lower max_tokens" in refused.error["message"]
    assert len(scene.upstream.up.log) == before
    assert (
        scene.ask(chat("hello", max_tokens=10), customer.key).headers["x-ratelimit-remaining-requests"] == "4"
    )


def test_l03_bad_request_is_not_charged(under: Under) -> None:
    """A body that is refused for its shape leaves the limits as they were."""
    scene = under("open")
    customer = scene.customer("free")
    for _ in range(7):
        assert scene.ask(chat("hello", temperature=7), customer.key).status == 400
    assert scene.ask(chat("hello"), customer.key).headers["x-ratelimit-remaining-requests"] == "4"


def test_headers_are_absent_when_nothing_is_limited(under: Under) -> None:
    """The operator's own key has no limits, and none are told."""
    assert _figures(under("open").ask(chat("hello")).headers) == {}


# ---- seed rows


@pytest.mark.parametrize("preset", ["valley", "aurora", "valar", "metask"])
def test_s0_04_s3_01_credential_is_needed_on_every_request(under: Under, preset: str) -> None:
    """401 in OpenAI's format, on every route that needs one."""
    served = under(preset).served
    for path, body in ((CHAT, json.loads(chat("hello"))), ("/v1/models", None)):
        status, _, answer = served.call(path, body, key=None)
        assert status == 401
        assert {"message", "type", "code"} <= set(json.loads(answer)["error"])


def test_s0_05_body_names_an_invalid_key(under: Under) -> None:
    """Three exact values, and no `param`."""
    for key in ("metal_sk_live_0123456789abcdef", "sk-nobody", "metal_sk_"):
        status, _, answer = under("valley").served.call(CHAT, json.loads(chat("hello")), key=key)
        assert status == 401
        assert json.loads(answer) == {
            "error": {
                "message": "Invalid API key.",
                "type": "invalid_request_error",
                "code": "invalid_api_key",
            }
        }


@pytest.mark.parametrize(
    ("preset", "prefix"), [("valley", "metal_sk_"), ("aurora", "mk_"), ("valar", "valar_")]
)
def test_s0_06_s1_04_keys_begin_as_the_preset_says(under: Under, preset: str, prefix: str) -> None:
    """Those that the command makes, too, and they work."""
    scene = under(preset)
    customer = scene.customer("free")
    assert customer.key.startswith(prefix)
    assert scene.ask(chat("hello"), customer.key).status == 200


@pytest.mark.parametrize(
    "key", [None, "mk_live_0123456789abcdef", "nonsense"], ids=["none", "unknown", "nonsense"]
)
def test_s1_02_s1_03_credential_is_unauthorized_when_it_is_missing_or_wrong(
    under: Under, key: str | None
) -> None:
    """Status 401, code `unauthorized`, in the one body that all errors share."""
    status, _, answer = under("aurora").served.call(CHAT, json.loads(chat("hello")), key=key)
    error = json.loads(answer)["error"]
    assert (status, error["code"]) == (401, "unauthorized")
    assert set(error) == {"message", "type", "param", "code"}


def test_s1_05_fourth_key_is_refused(under: Under) -> None:
    """Three keys an account, whoever makes them."""
    hands = under("aurora").hands
    org_id = under("aurora").customer("free").org_id
    for number in (2, 3):
        hands.run("keys", "create", "--name", f"key {number}", "--org", org_id)
    hands.run("keys", "create", "--name", "key 4", "--org", org_id, code=1)


def test_s1_06_s1_07_c_31_sixth_request_of_a_minute_is_refused(under: Under) -> None:
    """Free is five a minute; the sixth is a 429 with the code `rate_limited`, and no body tells more than it should."""
    scene = under("aurora")
    customer = scene.customer("free")
    answers = [scene.ask(chat("hello"), customer.key) for _ in range(6)]
    assert [answer.status for answer in answers] == [200] * 5 + [429]
    assert answers[-1].error["code"] == "rate_limited"
    assert set(_figures(answers[-1].headers)) == FIGURES
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


def test_s1_08_s1_09_failure_of_ours_has_the_same_body(under: Under) -> None:
    """`server_error` where an upstream failed, in the keys of every other error."""
    answer = under("aurora").ask(chat("{{fail 500}} hello"))
    assert answer.status >= 500
    assert answer.error["code"] == "server_error"


def test_s3_02_retry_key_has_at_most_255_characters(under: Under) -> None:
    """255 are taken; 256 are refused, and nothing is asked."""
    scene = under("valar")
    before = len(scene.upstream.up.log)
    assert scene.ask(chat("hello"), more=f"idempotency-key: {'k' * 255}\r\n").status == 200
    refused = scene.ask(chat("hello"), more=f"idempotency-key: {'k' * 256}\r\n")
    assert (refused.status, refused.error["param"]) == (400, "Idempotency-Key")
    assert len(scene.upstream.up.log) == before + 1


def test_s3_03_stored_answer_is_returned_when_the_value_comes_again(under: Under) -> None:
    """Equal bodies with equal ids, one inference."""
    scene = under("valar")
    before = len(scene.upstream.up.log)
    more = f"idempotency-key: {fresh_id()}\r\n"
    first, again = (scene.ask(chat("hello"), more=more) for _ in range(2))
    assert (first.status, again.status, first.body) == (200, 200, again.body)
    assert len(scene.upstream.up.log) == before + 1


def test_s3_04_value_is_independent_when_another_key_or_organization_sends_it(under: Under) -> None:
    """Three API keys of two organizations: three inferences."""
    scene = under("valar")
    customer = scene.customer("free")
    second = scene.hands.run("keys", "create", "--name", "second", "--org", customer.org_id)["key"]
    before = len(scene.upstream.up.log)
    more = f"idempotency-key: {fresh_id()}\r\n"
    for key in (KEY, customer.key, second):
        answer = scene.ask(chat("hello"), key, more=more)
        assert answer.status == 200
        assert "idempotent-replayed" not in answer.headers
    assert len(scene.upstream.up.log) == before + 3


def test_s4_07_s4_95_answers_are_always_stored(tmp_path: Path) -> None:
    """`store: false` is refused, whatever else was asked is kept; who may read stored completions finds it later."""
    place = Place("sqlite", tmp_path / "data", "")
    answers: list[dict[str, Any]] = []
    given: list[dict[str, Any]] = [{}, {"store": True}]
    with house(tmp_path / "valar", CONFIG, Hands(place, "valar")) as ((served,), _):
        status, _, refused = served.call(CHAT, json.loads(chat("hello", store=False)))
        assert (status, json.loads(refused)["error"]["param"]) == (400, "store")
        for fields in given:
            status, _, body = served.call(CHAT, json.loads(chat(f"echo: {fresh_id()}", **fields)))
            assert status == 200
            answers.append(json.loads(body))
            assert served.call(f"{CHAT}/{answers[-1]['id']}")[0] == 404
    hands = Hands(place)
    with house(tmp_path / "open", CONFIG, hands) as ((served,), _):
        stranger = hands.customer("stranger", plan="free", postpaid=True)
        for answer in answers:
            status, _, body = served.call(f"{CHAT}/{answer['id']}")
            found = json.loads(body)
            assert (status, found["id"]) == (200, answer["id"])
            assert found["choices"][0]["message"]["content"] == answer["choices"][0]["message"]["content"]
            assert served.call(f"{CHAT}/{answer['id']}", key=stranger.key)[0] == 404
