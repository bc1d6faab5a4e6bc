"""Webhooks through a whole server: what requests order and endpoints subscribe to arrives, as its object is read, and signed."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import pytest
from openai import InvalidWebhookSignatureError, OpenAI

from databases import Place
from operator_hands import Hands
from receiver import Post, Receiver, Reply
from retryclient import rows, unique
from rig import Backstage, fresh_id, wait_until
from served import KEY, Served, serving

CONFIG = """
    [engine]
    enabled = false
    [targets.up]
    base_url = "{up}"
    dialects = ["chat"]
    breaker = { failures = 1000 }
    [models.mock]
    targets = ["up"]
    windows = ["asap", "standard"]
    price = { input = 1, output = 2 }
    attempts = 1
    [hosts]
    "valar.example.org" = "valar"
"""
SURFACES: dict[str, Any] = {
    "/v1/chat/completions": lambda text: {"messages": [{"role": "user", "content": text}]},
    "/v1/messages": lambda text: {"messages": [{"role": "user", "content": text}], "max_tokens": 50},
    "/v1/responses": lambda text: {"input": text},
}
VALAR = {"host": "valar.example.org"}
TOKEN = "planted-token-4e1f"
EVENTS = ["response.completed", "response.failed", "response.cancelled", "response.incomplete"]

Scene = tuple[Served, Receiver]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module, which may call one receiver."""
    folder = tmp_path_factory.mktemp("webhooks")
    with Backstage() as upstream, Receiver() as receiver:
        text = textwrap.dedent(CONFIG).replace("{up}", upstream.url) + receiver.section
        with serving(text, folder) as served:
            yield served, receiver


@pytest.fixture
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client."""
    with OpenAI(base_url=scene[0].v1, api_key=KEY, max_retries=0, timeout=60) as made:
        yield made


def ask(
    served: Served, path: str, text: str, *, metadata: dict[str, str], headers: Any = None, **fields: Any
) -> Any:
    """A request that orders a webhook."""
    body = {"model": "mock", **SURFACES[path](text), "metadata": metadata, **fields}
    status, _, answer = served.call(path, body, headers=headers)
    assert status in {200, 202}, answer
    return json.loads(answer)


def order(receiver: Receiver, **more: str) -> dict[str, str]:
    """The metadata that orders one."""
    return {"completion_webhook": receiver.url, "webhook_token": TOKEN, **more}


def logged(served: Served, which: str) -> Any:
    """What the request log says of a response."""
    _, _, listed = served.call("/v1/usage/requests")
    return next(each for each in json.loads(listed)["data"] if each["id"] == which)


def hands(served: Served) -> Hands:
    """The operator's commands on the server's database."""
    return Hands(Place("sqlite", served.data, ""))


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("path", SURFACES)
def test_webhook_brings_what_get_shows_when_the_request_is_done(
    scene: Scene, path: str, *, background: bool
) -> None:
    """W02, W03, S4-06: one POST of the very bytes, with the token, on each surface, waited for or not."""
    served, receiver = scene
    text = unique()
    taken = ask(served, path, text, metadata=order(receiver), **({"background": True} if background else {}))
    [post] = receiver.until(text.removeprefix("echo: "))
    assert post.headers["authorization"] == f"Bearer {TOKEN}"
    assert post.headers["content-type"] == "application/json"
    assert json.loads(post.body)["id"] == taken["id"]
    if background or path != "/v1/messages":  # a message that was waited for is kept nowhere
        status, _, shown = served.call(f"{path}/{taken['id']}")
        assert (status, shown) == (200, post.body)
    else:
        assert json.loads(post.body) == taken


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
def test_webhook_brings_what_get_shows_when_the_answer_was_streamed(scene: Scene, path: str) -> None:
    """The whole answer, put together from its events."""
    served, receiver = scene
    text = unique()
    body = {"model": "mock", **SURFACES[path](text), "metadata": order(receiver), "stream": True}
    assert served.call(path, body)[0] == 200
    [post] = receiver.until(text.removeprefix("echo: "))
    assert served.call(f"{path}/{json.loads(post.body)['id']}")[2] == post.body


def test_webhook_has_no_credential_when_no_token_was_given(scene: Scene) -> None:
    """`Authorization` only when set."""
    served, receiver = scene
    text = unique()
    ask(served, "/v1/responses", text, metadata={"completion_webhook": receiver.url})
    [post] = receiver.until(text.removeprefix("echo: "))
    assert "authorization" not in post.headers


def test_request_runs_when_its_webhook_cannot_be_called(scene: Scene) -> None:
    """W08: the record says why; where the preset does not tell, nothing is said, and nobody is called."""
    served, receiver = scene
    before = len(receiver.posts)
    for url in (
        "http://169.254.169.254/latest",
        "ftp://example.org/",
        "https://u:p@example.org/",
        "nonsense",
    ):
        metadata = {"completion_webhook": url}
        answered = ask(served, "/v1/responses", unique(), metadata=metadata)
        told = logged(served, answered["id"])
        assert told["webhook"]["status"] == "rejected"
        assert told["webhook"]["reason"].startswith("The URL")
        waiting = ask(served, "/v1/responses", unique(), metadata=metadata, background=True)
        _, _, record = served.call(f"/v1/responses/{waiting['id']}")
        assert json.loads(record)["webhook"] == told["webhook"]
        silent = ask(served, "/v1/responses", unique(), metadata=metadata, headers=VALAR)
        assert logged(served, silent["id"])["webhook"] is None
    split = {"completion_webhook": receiver.url, "webhook_token": "a\r\nx-evil: 1"}
    answered = ask(served, "/v1/responses", unique(), metadata=split)
    assert "visible ASCII" in logged(served, answered["id"])["webhook"]["reason"]
    assert len(receiver.posts) == before


def test_webhook_is_signed_with_the_account_secret_when_a_request_ordered_it(
    scene: Scene, client: OpenAI
) -> None:
    """W03: the organization's own secret, shown when it is rotated, verifies with the official client."""
    served, receiver = scene
    secret = hands(served).run("webhooks", "secret", "--rotate", "--force")["secret"]
    text = unique()
    ask(served, "/v1/responses", text, metadata=order(receiver))
    [post] = receiver.until(text.removeprefix("echo: "))
    client.webhooks.verify_signature(post.body, post.headers, secret=secret)
    with pytest.raises(InvalidWebhookSignatureError):
        client.webhooks.verify_signature(post.body + b" ", post.headers, secret=secret)
    assert secret not in json.dumps(hands(served).run("webhooks", "secret"))


def delivered(receiver: Receiver, which: str, kind: str) -> Post:
    """The event of a kind about an object, once it is there."""

    def found() -> list[Post]:
        return [post for post in receiver.of(which) if json.loads(post.body).get("type") == kind]

    wait_until(found, f"{kind} of {which}")
    [post] = found()
    return post


def test_openai_client_unwraps_when_endpoints_get_events(scene: Scene, client: OpenAI) -> None:
    """Create, subscribe, unwrap, rotate with an overlap, test, list, delete: all by the official client."""
    served, receiver = scene
    assert set(EVENTS) <= set(client.webhooks.event_types.list().data)
    made = client.webhooks.create(name="mine", url=receiver.url, event_types=EVENTS)  # type: ignore[arg-type]  # as text
    assert made.signing_secret.startswith("whsec_")
    done = client.responses.create(model="mock", input="echo: hook", background=True)
    post = delivered(receiver, done.id, "response.completed")
    event = client.webhooks.unwrap(post.body, post.headers, secret=made.signing_secret)
    assert event.type == "response.completed"
    assert (event.data.id, event.id) == (done.id, post.id)
    silent = client.responses.create(model="mock", input="{{silent}} never", background=True)
    client.responses.cancel(silent.id)
    delivered(receiver, silent.id, "response.cancelled")
    failing = client.responses.create(model="mock", input="{{fail 400}} bad", background=True)
    delivered(receiver, failing.id, "response.failed")
    rotated = client.webhooks.rotate_secret(made.id, keep_old_secret_active_for_24_hours=True)
    tested = client.webhooks.test(made.id, event_type="response.completed")
    assert (tested.status_code, tested.success) == (200, True)
    last = receiver.posts[-1]
    for secret in (made.signing_secret, rotated.signing_secret):
        client.webhooks.unwrap(last.body, last.headers, secret=secret)
    client.webhooks.update(made.id, name="renamed")
    assert client.webhooks.retrieve(made.id).name == "renamed"
    assert made.id in {each.id for each in client.webhooks.list()}
    assert client.webhooks.delete(made.id).deleted
    assert made.id not in {each.id for each in client.webhooks.list()}
    assert "rotate" in " ".join(
        action for (action,) in rows(served.data, "SELECT action FROM audit WHERE subject = ?", made.id)
    )


def test_endpoint_is_told_when_a_batch_ends(scene: Scene, client: OpenAI) -> None:
    """batch.completed and batch.cancelled, each in the commit that ends the batch; its requests tell nothing."""
    served, receiver = scene
    kinds: Any = ["batch.completed", "batch.cancelled", "response.completed"]
    made = client.webhooks.create(name="batches", url=receiver.url, event_types=kinds)
    for prompt, kind in (("echo: one", "batch.completed"), ("{{delay 2}} echo: late", "batch.cancelled")):
        entry = {"custom_id": "a", "params": {"model": "mock", "input": prompt}}
        body = {"endpoint": "/v1/responses", "requests": [entry]}
        status, _, answer = served.call("/v1/batches", body)
        assert status == 200, answer
        which = json.loads(answer)["id"]
        if kind == "batch.cancelled":
            assert served.call(f"/v1/batches/{which}/cancel", method="POST")[0] == 200
        post = delivered(receiver, which, kind)
        event = client.webhooks.unwrap(post.body, post.headers, secret=made.signing_secret)
        assert event.type == kind
    told = hands(served).run("webhooks", "deliveries", "--endpoint", made.id)["data"]
    assert {each["type"] for each in told} == {"batch.completed", "batch.cancelled"}
    client.webhooks.delete(made.id)


def test_c04_request_of_a_batch_calls_when_it_is_done(scene: Scene) -> None:
    """The same order as in a request of its own: its body is what GET of the response gives, and the token calls."""
    served, receiver = scene
    text = unique()
    entries = [
        {"custom_id": "told", "params": {"model": "mock", "input": text, "metadata": order(receiver)}},
        {"custom_id": "silent", "params": {"model": "mock", "input": "echo: nobody is told"}},
    ]
    status, _, answer = served.call("/v1/batches", {"endpoint": "/v1/responses", "requests": entries})
    assert status == 200, answer
    [post] = receiver.until(text.removeprefix("echo: "), 1)
    which = json.loads(post.body)["id"]
    assert post.body == served.call(f"/v1/responses/{which}")[2]
    assert post.headers["authorization"] == f"Bearer {TOKEN}"
    one = served.call(f"/v1/batches/{json.loads(answer)['id']}/told")[2]
    assert (json.loads(one)["id"], TOKEN.encode() in one) == (which, False)


def test_webhook_comes_again_when_the_receiver_failed_and_by_hand(scene: Scene) -> None:
    """W05, W11: a failure is followed by another try with the same id; a command delivers once more what has arrived."""
    served, receiver = scene
    text = unique()
    receiver.answer = lambda post, before: Reply(
        500 if text.removeprefix("echo: ").encode() in post.body and not before else 200
    )
    try:
        ask(served, "/v1/responses", text, metadata=order(receiver))
        first, second = receiver.until(text.removeprefix("echo: "), 2)
    finally:
        receiver.answer = lambda _, __: Reply()
    assert (first.id, first.body) == (second.id, second.body)
    tell = hands(served)

    def noted() -> Any:
        [told] = tell.run("webhooks", "deliveries", "--event", first.id)["data"]
        return told if told["state"] == "delivered" else None

    wait_until(noted, "the delivery is noted")
    told = noted()
    assert [each["status"] for each in told["tries"]] == [500, 200]
    assert {each["family"] for each in told["tries"]} == {"ipv4"}
    assert tell.run("webhooks", "redeliver", "--event", first.id) == {"deliveries": 1, "gone": 0}
    assert len({post.id for post in receiver.until(text.removeprefix("echo: "), 3)}) == 1


def test_token_is_nowhere_when_webhooks_were_delivered(scene: Scene, client: OpenAI) -> None:
    """T-W-leak: neither logs, nor the database's files, nor answers and commands hold the token or a secret."""
    served, receiver = scene
    made = client.webhooks.create(name="leak", url=receiver.url, event_types=["response.completed"])
    text = unique()
    for background in (False, True):
        taken = ask(
            served,
            "/v1/responses",
            text,
            metadata=order(receiver, team="blue"),
            background=background,
            store=not background,
        )
        shown = served.call(f"/v1/responses/{taken['id']}")[2].decode()
        assert "blue" in shown
        assert TOKEN not in json.dumps(taken) + shown
    receiver.until(text.removeprefix("echo: "), 2)
    held = [served.log_file.read_bytes()]
    held += [path.read_bytes() for path in served.data.rglob("*") if path.is_file()]
    held += [served.call(page)[2] for page in ("/v1/usage/requests", "/v1/webhook_endpoints", "/metrics")]
    held.append(json.dumps(hands(served).run("webhooks", "deliveries")).encode())
    held.append(json.dumps(hands(served).run("webhooks", "list")).encode())
    assert len(held) > 6
    for secret in (TOKEN, made.signing_secret, made.signing_secret.removeprefix("whsec_")):
        assert [len(each) for each in held if secret.encode() in each] == []


def test_deleted_response_is_delivered_no_more(scene: Scene) -> None:
    """What a client deletes while nobody answers its webhook is gone from there too."""
    served, receiver = scene
    text = unique()
    receiver.answer = lambda _, __: Reply(503)
    try:
        taken = ask(served, "/v1/responses", text, metadata=order(receiver))
        receiver.until(text.removeprefix("echo: "))
        assert served.call(f"/v1/responses/{taken['id']}", method="DELETE")[0] == 200
        bodies = rows(served.data, "SELECT body FROM webhook_events WHERE object_id = ?", taken["id"])
        assert bodies == [(None,)]
    finally:
        receiver.answer = lambda _, __: Reply()


def test_endpoint_is_refused_when_its_url_cannot_be_called(scene: Scene) -> None:
    """400 that names the field; what is another organization's is not found."""
    served, receiver = scene
    wanted = {"name": "x", "event_types": ["batch.completed"]}
    for url in ("http://10.0.0.1/", "https://localhost/", "https://[::1]:8443/", "ftp://example.org"):
        status, _, answer = served.call("/v1/webhook_endpoints", {**wanted, "url": url})
        assert (status, json.loads(answer)["error"]["param"]) == (400, "url")
    status, _, answer = served.call(
        "/v1/webhook_endpoints", {**wanted, "url": receiver.url, "event_types": ["no.such"]}
    )
    assert (status, json.loads(answer)["error"]["param"]) == (400, "event_types[0]")
    status, _, made = served.call("/v1/webhook_endpoints", {**wanted, "url": receiver.url})
    assert status == 200
    which = json.loads(made)["id"]
    other = hands(served).customer(unique(), plan="pro", postpaid=True).key
    for path, method in (("", "GET"), ("", "DELETE"), ("/rotate_secret", "POST"), ("/test", "POST")):
        body = {"event_type": "batch.completed"} if path == "/test" else None if method != "POST" else {}
        foreign = served.call(f"/v1/webhook_endpoints/{which}{path}", body, method=method, key=other)
        missing = served.call(f"/v1/webhook_endpoints/we_none{path}", body, method=method, key=other)
        assert foreign[0] == missing[0] == 404
        assert foreign[2].replace(which.encode(), b"we_none") == missing[2]
    assert served.call("/v1/webhook_endpoints", headers=VALAR)[0] == 404


def test_endpoint_is_made_once_when_asked_twice(scene: Scene) -> None:
    """An idempotency key gives the same secret again."""
    served, receiver = scene
    wanted = {"name": "once", "url": receiver.url, "event_types": ["batch.failed"]}
    key = {"idempotency-key": fresh_id()}
    first = served.call("/v1/webhook_endpoints", wanted, headers=key)
    again = served.call("/v1/webhook_endpoints", wanted, headers=key)
    assert first[0] == 200
    assert first[2] == again[2]
    assert again[1]["idempotent-replayed"] == "true"


def test_rotation_is_refused_when_two_old_secrets_would_sign(scene: Scene) -> None:
    """W10: 409 within 24 hours, unless it is forced."""
    served, receiver = scene
    wanted = {"name": "spun", "url": receiver.url, "event_types": ["batch.failed"]}
    which = json.loads(served.call("/v1/webhook_endpoints", wanted)[2])["id"]
    path, keep = f"/v1/webhook_endpoints/{which}/rotate_secret", {"keep_old_secret_active_for_24_hours": True}
    assert served.call(path, keep)[0] == 200
    for body in (keep, {}):
        status, _, told = served.call(path, body)
        assert (status, json.loads(told)["error"]["code"]) == (409, "secret_rotated_recently")
    assert served.call(path, {**keep, "force": True})[0] == 200
    assert served.call(path, {"force": True})[0] == 200
    assert served.call(path, {})[0] == 200


def test_pages_say_nothing_when_nobody_is_known(scene: Scene) -> None:
    """Without a key nobody sees endpoints."""
    served, _ = scene
    for path in ("/v1/webhook_endpoints", "/v1/webhook_event_types"):
        assert served.call(path, key=None)[0] == 401
