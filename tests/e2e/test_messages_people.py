"""Messages of customers: limits and money as on the other surfaces, and the preset that wants OpenAI's errors."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import upstream_messages as anthropic
from databases import Place
from messagehouse import ask, body_of, error_of, events
from operator_hands import Customer, Hands, house
from rig import Backstage, Line, fresh_id, post, wait_until
from served import Served

CONFIG = """
    [targets.up]
    base_url = "{up}"
    dialects = ["messages"]
    [models]
    claude = { targets = ["up"], price = { input = 3, output = 15 } }
    gratis = { targets = ["up"], price = "free" }
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """A server, its operator, and the upstream."""

    served: Served
    upstream: Backstage
    hands: Hands

    def customer(self, name: str, *, plan: str = "pro", credit: str = "") -> Customer:
        """A new one."""
        return self.hands.customer(name, plan=plan, credit=credit)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    folder = tmp_path_factory.mktemp("people")
    hands = Hands(Place("sqlite", folder / "data", ""))
    with house(folder, CONFIG, hands) as ((served,), upstream):
        yield Scene(served, upstream, hands)


def test_limits_are_told_in_anthropics_headers_when_they_are_spent(scene: Scene) -> None:
    """Five requests a minute, counts of tokens among them; the sixth is a rate_limit_error with a time to come back."""
    key = scene.customer("Limited", plan="free").key
    paths = ["/v1/messages", "/v1/messages", "/v1/messages/count_tokens", "/v1/messages", "/v1/messages"]
    for left, path in zip((4, 3, 2, 1, 0), paths, strict=True):
        status, headers, _, _ = ask(scene.served, body_of("hi", model="gratis"), path=path, key=key)
        assert status == 200
        assert headers["anthropic-ratelimit-requests-limit"] == "5"
        assert headers["anthropic-ratelimit-requests-remaining"] == str(left)
    for path in ("/v1/messages", "/v1/messages/count_tokens"):
        status, headers, answer, request_id = ask(
            scene.served, body_of("hi", model="gratis"), path=path, key=key
        )
        assert (status, error_of(answer, request_id)["type"]) == (429, "rate_limit_error")
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert int(headers["retry-after"]) > 0
        assert not scene.upstream.seen(request_id)


def test_tokens_of_the_answer_count_when_it_has_come(scene: Scene) -> None:
    """The reservation is for `max_tokens`; what stays taken is what was used."""
    key = scene.customer("Tokens", plan="free").key
    body = body_of("words: 4", model="gratis", max_tokens=30_000)
    _, headers, _, _ = ask(scene.served, body, key=key)
    assert headers["anthropic-ratelimit-tokens-remaining"] == "0"
    _, headers, _, _ = ask(scene.served, body_of("hi", model="gratis", max_tokens=1), key=key)
    # A sixth of a minute's 40,000 would pass at once.
    assert int(headers["anthropic-ratelimit-tokens-remaining"]) > 6_500


@pytest.mark.parametrize("streamed", [False, True])
def test_ledger_has_what_was_used_when_an_answer_is_paid(scene: Scene, *, streamed: bool) -> None:
    """One row an answer, and the proof of the books finds nothing; to count costs nothing."""
    customer = scene.customer(f"Paying {streamed}", credit="5")
    body = body_of("one two three", stream=streamed)
    assert ask(scene.served, body, key=customer.key)[0] == 200
    assert ask(scene.served, body, path="/v1/messages/count_tokens", key=customer.key)[0] == 200
    usage = anthropic.message(body)["usage"]
    used = (usage["input_tokens"], usage["output_tokens"])
    assert scene.hands.spent(customer.org_id) == [(*used, (used[0] * 3 + used[1] * 15) * 1_000_000)]
    scene.hands.verified()


def test_request_is_a_billing_error_when_there_is_no_credit(scene: Scene) -> None:
    """402, before the target is asked; counting goes on."""
    customer = scene.customer("Broke")
    status, _, answer, request_id = ask(scene.served, body_of("hi"), key=customer.key)
    assert (status, error_of(answer, request_id)["type"]) == (402, "billing_error")
    assert not scene.upstream.seen(request_id)
    assert ask(scene.served, body_of("hi"), path="/v1/messages/count_tokens", key=customer.key)[0] == 200


def test_answers_are_kept_whole_when_they_were_streamed(scene: Scene) -> None:
    """The store has the message that the stream spelled out, and the request as it came."""
    customer = scene.customer("Kept", credit="5")
    body = body_of("think: this and that", stream=True)
    _, _, answer, _ = ask(scene.served, body, key=customer.key)
    assert events(answer)[-1][0] == "message_stop"
    query = f"SELECT surface, state, request, answer FROM responses WHERE org_id = '{customer.org_id}'"  # noqa: S608  # our own id
    ((surface, state, request, kept),) = scene.hands.rows(query)
    assert (surface, state) == ("messages", "completed")
    assert json.loads(bytes(request)) == body
    assert json.loads(bytes(kept)) == anthropic.message(body)


def test_what_came_is_paid_when_the_client_leaves(scene: Scene) -> None:
    """Input as the target told it, output by the deltas that came."""
    customer = scene.customer("Leaving", credit="5")
    body = body_of("words: 500 {{gap 0.01}}", max_tokens=600, stream=True)
    request_id = fresh_id()
    more = f"x-request-id: {request_id}\r\nx-api-key: {customer.key}\r\n"
    data = post(json.dumps(body).encode(), path="/v1/messages", more=more)
    with Line(scene.served.port) as line:
        line.send(b"\r\n".join(row for row in data.split(b"\r\n") if not row.startswith(b"authorization")))
        while b"content_block_delta" not in line.read(4096):
            pass
    (record,) = scene.upstream.until_seen(request_id)
    wait_until(lambda: record.aborted is not None, "the target was left")
    wait_until(lambda: scene.hands.spent(customer.org_id), "the ledger has it")
    ((input_tokens, output_tokens, _),) = scene.hands.spent(customer.org_id)
    assert input_tokens == anthropic.count(body)["input_tokens"]
    assert 1 <= output_tokens < 500


@pytest.fixture(scope="module")
def valar(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A server under the preset `valar`."""
    folder = tmp_path_factory.mktemp("valar")
    hands = Hands(Place("sqlite", folder / "data", ""), preset="valar")
    with house(folder, CONFIG, hands) as ((served,), upstream):
        yield Scene(served, upstream, hands)


def test_s4_143_s4_146_bearer_alone_counts_and_errors_are_openais_on_valar(valar: Scene) -> None:
    """S4-143: x-api-key alone is a 401. S4-146: one envelope. S4-145: the version is not looked at. S4-129: no counting."""
    key = valar.customer("V").key
    body = body_of("hi", model="gratis")
    nonsense = {"anthropic-version": "nonsense"}
    assert ask(valar.served, body, key=key, headers=nonsense)[0] == 200
    for headers, own, path, status in (
        ({"x-api-key": key}, None, "/v1/messages", 401),
        ({}, key, "/v1/messages/count_tokens", 404),
        (nonsense, key, "/v1/models/nobody", 404),
    ):
        told, _, answer, _ = ask(
            valar.served, body if "messages" in path else None, path=path, key=own, headers=headers
        )
        assert told == status
        assert {"message", "type"} <= set(json.loads(answer)["error"])
        assert "type" not in json.loads(answer)
    told, _, answer, _ = ask(valar.served, {**body, "system": "x"}, key=key)
    assert (told, json.loads(answer)["error"]["param"]) == (400, "system")
