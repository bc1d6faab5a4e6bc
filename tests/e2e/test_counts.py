"""Tokens of a request, counted by targets of every kind: each at the route that it has, else estimated."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from messagehouse import ask, error_of
from pairs.words import Json
from served import Served, serving

MESSAGES = "/v1/messages/count_tokens"
RESPONSES = "/v1/responses/input_tokens"
# What each kind of server answers, by the path below its folder; what is not there is a 404.
KINDS: dict[str, dict[str, Json]] = {
    "newest": {"/v1/chat/completions/input_tokens": {"input_tokens": 21}},
    "vllm": {"/tokenize": {"count": 22, "max_model_len": 4096, "tokens": [1] * 22}},
    "llama": {"/tokenize": {"tokens": [1] * 23}, "/apply-template": {"prompt": "<s>user: hi"}},
    "plain": {},
    "anthropic": {"/v1/messages/count_tokens": {"input_tokens": 25}},
    "openai": {"/v1/responses/input_tokens": {"object": "response.input_tokens", "input_tokens": 26}},
}
SPOKEN = {"anthropic": "messages", "openai": "responses"}
SEVERAL = {
    "several": ["plain", "vllm"],
    "choosy": ["held", "vllm"],
    "held": ["held"],
    "plainly": ["held", "plain"],
    "strict": ["strict", "vllm"],
    "both": ["strict", "held"],
}
ABOUT: Json = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)"}}}
TOOL: Json = {"name": "f", "input_schema": ABOUT}
HI: Json = {"messages": [{"role": "user", "content": "hi there"}], "system": "Be brief."}
IN: Json = {"input": "hi there", "instructions": "Be brief."}


@dataclass
class Houses:
    """Servers of every kind behind one port, and what they were asked."""

    url: str = ""
    asked: list[tuple[str, Json]] = field(default_factory=list)

    def config(self) -> str:
        """A model for each of them, and one that has several."""
        lines = ["[engine]", "enabled = false"]
        for kind in KINDS:
            lines += [
                f"[targets.{kind}]",
                f'base_url = "{self.url}/{kind}/v1"',
                f'dialects = ["{SPOKEN.get(kind, "chat")}"]',
                f"[models.{kind}]",
                f'targets = ["{kind}"]',
                'price = "free"',
            ]
        lines += [
            "[targets.held]",
            f'base_url = "{self.url}/newest/v1"',
            'dialects = ["chat"]',
            "quirks = { gbnf = true }",
            "[targets.strict]",
            f'base_url = "{self.url}/anthropic/v1"',
            'dialects = ["messages"]',
            'quirks = { reject = ["tools"] }',
        ]
        for name, targets in SEVERAL.items():
            lines += [f"[models.{name}]", f"targets = {targets}", 'price = "free"']
        return "\n".join(lines)


@contextlib.contextmanager
def houses() -> Iterator[Houses]:
    """The servers on a loopback port."""
    seen = Houses()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Says nothing."""

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            seen.asked.append((self.path, body))
            _, kind, path = self.path.split("/", 2)
            told = KINDS[kind].get(f"/{path}")
            data = json.dumps(told or {"error": {"message": "Not Found"}}).encode()
            self.send_response(404 if told is None else 200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        seen.url = f"http://127.0.0.1:{server.server_address[1]}"
        yield seen
        server.shutdown()


Scene = tuple[Served, Houses]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module, and its targets."""
    with houses() as behind, serving(behind.config(), tmp_path_factory.mktemp("counts")) as served:
        yield served, behind


def counted(
    scene: Scene, path: str, model: str, **fields: Any
) -> tuple[int, dict[str, str], list[tuple[str, Json]]]:
    """The count, the headers, and what the target was asked."""
    scene[1].asked.clear()
    body = {"model": model, **(HI if path == MESSAGES else IN), **fields}
    status, headers, answer, _ = ask(scene[0], body, path=path)
    assert status == 200, answer
    told = json.loads(answer)
    assert told.keys() == ({"input_tokens"} if path == MESSAGES else {"object", "input_tokens"})
    return told["input_tokens"], headers, scene[1].asked


@pytest.mark.parametrize(
    ("model", "tokens"),
    [("newest", 21), ("vllm", 22), ("llama", 23), ("anthropic", 25), ("openai", 26), ("several", 22)],
)
@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_count_is_the_targets_when_it_has_a_route(scene: Scene, path: str, model: str, tokens: int) -> None:
    """Whatever the client speaks, and of several targets one that counts; no mark says otherwise."""
    found, headers, _ = counted(scene, path, model)
    assert found == tokens
    assert "x-ingot-estimated" not in headers


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_count_is_an_estimate_when_the_target_has_no_route(scene: Scene, path: str) -> None:
    """A header says so; more text is more tokens."""
    few, headers, _ = counted(scene, path, "plain")
    assert headers["x-ingot-estimated"] == "true"
    assert few == 5  # 17 bytes of text, and four of them a token
    field_, held = ("system", "word " * 400) if path == MESSAGES else ("instructions", "word " * 400)
    more, _, _ = counted(scene, path, "plain", **{field_: held})
    assert more > few + 400


def test_target_is_asked_for_the_prompt_alone_when_it_counts(scene: Scene) -> None:
    """In its own words, without what says how to answer: servers refuse that there."""
    tool = {"name": "f", "input_schema": {"type": "object"}}
    _, _, asked = counted(scene, MESSAGES, "openai", tools=[tool], temperature=0.5)
    [(path, body)] = asked
    assert path == "/openai/v1/responses/input_tokens"
    assert body.keys() == {"model", "input", "instructions", "tools"}
    _, headers, asked = counted(scene, RESPONSES, "anthropic", prompt_cache_key="k")
    [(path, body)] = asked
    assert path == "/anthropic/v1/messages/count_tokens"
    assert body.keys() == {"model", "messages", "system"}
    assert "prompt_cache_key=" in headers["x-ingot-loss"]
    _, _, asked = counted(scene, MESSAGES, "llama")
    assert [path for path, _ in asked] == [
        "/llama/v1/chat/completions/input_tokens",
        "/llama/tokenize",
        "/llama/apply-template",
        "/llama/tokenize",
    ]
    assert asked[-1][1] == {"content": "<s>user: hi", "add_special": True, "parse_special": True}


def test_request_is_refused_when_it_could_not_be_asked_either(scene: Scene) -> None:
    """What a translation would lose is named, as an answer to it would; nobody is asked."""
    scene[1].asked.clear()
    tool = {"type": "web_search_20250305", "name": "web_search"}
    status, _, answer, request_id = ask(scene[0], {"model": "vllm", **HI, "tools": [tool]}, path=MESSAGES)
    assert (status, "tools.0" in error_of(answer, request_id)["message"]) == (400, True)
    assert scene[1].asked == []


@pytest.mark.parametrize(("model", "tokens"), [("choosy", 22), ("strict", 22)])
def test_next_target_counts_when_the_first_cannot_take_the_request(
    scene: Scene, model: str, tokens: int
) -> None:
    """Whatever dialect it speaks: a grammar that cannot hold a schema, and a field that it does not have."""
    found, headers, asked = counted(scene, MESSAGES, model, tools=[TOOL])
    assert (found, {path.split("/")[1] for path, _ in asked}) == (tokens, {"vllm"})
    assert "x-ingot-estimated" not in headers


def test_count_is_an_estimate_when_the_target_that_takes_the_request_has_no_route(scene: Scene) -> None:
    """The other's refusal is no reason: an answer would come from the one that takes it."""
    _, headers, asked = counted(scene, MESSAGES, "plainly", tools=[TOOL])
    assert headers["x-ingot-estimated"] == "true"
    assert {path.split("/")[1] for path, _ in asked} == {"plain"}


@pytest.mark.parametrize(
    ("model", "told"), [("held", "tools.0"), ("both", "tools: Not supported by the model")]
)
def test_refusal_is_told_when_no_target_takes_the_request(scene: Scene, model: str, told: str) -> None:
    """The first one, as whoever asks for an answer is told; nobody is asked."""
    scene[1].asked.clear()
    status, _, answer, request_id = ask(scene[0], {"model": model, **HI, "tools": [TOOL]}, path=MESSAGES)
    assert (status, told in error_of(answer, request_id)["message"]) == (400, True), answer
    assert scene[1].asked == []


@pytest.mark.parametrize("path", [MESSAGES, RESPONSES])
def test_count_is_exact_when_the_engine_counts(demo: Served, path: str) -> None:
    """As many as the same request is then said to have used, tools and earlier turns included."""
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    said: list[Json] = [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "What is this server?"},
    ]
    if path == MESSAGES:
        body = {
            "model": "demo-tiny",
            "messages": said,
            "system": "Be brief.",
            "tools": [{"name": "f", "input_schema": schema}],
        }
        answering, bound = "/v1/messages", {"max_tokens": 4}
    else:
        body = {
            "model": "demo-tiny",
            "input": said,
            "instructions": "Be brief.",
            "tools": [{"type": "function", "name": "f", "parameters": schema}],
        }
        answering, bound = "/v1/responses", {"max_output_tokens": 16}
    status, headers, answer, _ = ask(demo, body, path=path)
    assert status == 200, answer
    assert "x-ingot-estimated" not in headers
    status, _, used, _ = ask(demo, {**body, **bound}, path=answering)
    assert status == 200, used
    usage = json.loads(used)["usage"]
    assert json.loads(answer)["input_tokens"] == usage["input_tokens"] + usage.get(
        "cache_read_input_tokens", 0
    )
