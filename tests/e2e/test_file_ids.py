"""Files that requests name by their ids, through a whole server: targets get their bytes, and only those of the caller."""

import base64
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from anthropic import Anthropic, NotFoundError
from openai import OpenAI

from databases import Place
from messagehouse import Scene
from operator_hands import Hands
from pictures import data_uri, jpeg, png
from rig import fresh_id, stage, wait_until

CONFIG = """
    [files]
    inline_bytes = 100000
    [images]
    image_bytes = 50000
    most = 3
    [targets]
    up = { base_url = "{up}", dialects = ["chat", "responses", "messages"], breaker = { failures = 1000 } }
    talks = { base_url = "{up}", dialects = ["chat"] }
    blind = { base_url = "{up}", dialects = ["chat", "responses"], images = "refuse" }
    [models]
    gpt = { targets = ["up"], price = { input = 1, output = 2 } }
    talks = { targets = ["talks"], price = "free" }
    blind = { targets = ["blind"], price = "free" }
"""
PICTURE = png(16, 16)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"
NOTE = "Füße".encode()
Body = dict[str, Any]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """One server for the module."""
    with stage(tmp_path_factory.mktemp("ids"), CONFIG) as both:
        yield both


@pytest.fixture(scope="module")
def client(scene: Scene) -> Iterator[OpenAI]:
    """The official client, without retries of its own."""
    with OpenAI(base_url=scene[0].v1, api_key=scene[0].key, max_retries=0, timeout=60) as made:
        yield made


def upload(client: OpenAI, name: str, data: bytes, purpose: Any = "user_data") -> str:
    """The id of a new file."""
    return client.files.create(file=(name, data), purpose=purpose).id


def of_responses(part: Body, model: str = "gpt", **fields: Any) -> tuple[str, Body]:
    """A request whose second part is this one."""
    content = [{"type": "input_text", "text": "echo: seen"}, part]
    return "/v1/responses", {"model": model, "input": [{"role": "user", "content": content}], **fields}


def of_chat(part: Body) -> tuple[str, Body]:
    """The same for chat."""
    content = [{"type": "text", "text": "echo: seen"}, part]
    return "/v1/chat/completions", {"model": "gpt", "messages": [{"role": "user", "content": content}]}


def of_messages(block: Body) -> tuple[str, Body]:
    """The same for messages."""
    content = [{"type": "text", "text": "echo: seen"}, block]
    return "/v1/messages", {
        "model": "gpt",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": content}],
    }


def refused(scene: Scene, asked: tuple[str, Body], *, key: str | None = None) -> tuple[int, Body]:
    """How a request is refused, of which no target sees anything."""
    served, upstream = scene
    before = len(upstream.up.log)
    status, _, answer = served.call(*asked, key=key or served.key)
    assert len(upstream.up.log) == before
    told: Body = json.loads(answer)["error"]
    return status, told


@pytest.mark.parametrize("model", ["gpt", "talks"])
def test_response_is_asked_with_bytes_when_it_names_files(scene: Scene, client: OpenAI, model: str) -> None:
    """Whether its target speaks responses or chat; what is stored keeps the ids, and is gone on from by them."""
    image, paper = upload(client, "cat.png", PICTURE, "vision"), upload(client, "a.pdf", PDF)
    request_id = fresh_id()
    parts: Any = [
        {"type": "input_text", "text": "echo: seen"},
        {"type": "input_image", "file_id": image, "detail": "low"},
        {"type": "input_file", "file_id": paper},
    ]
    made = client.responses.create(
        model=model,
        input=[{"role": "user", "content": parts}],
        extra_headers={"x-request-id": request_id},
    )
    assert made.output_text == "seen"
    [record] = scene[1].until_seen(request_id)
    sent = json.dumps(record.json)
    assert data_uri(PICTURE) in sent
    assert data_uri(PDF, "application/pdf") in sent
    assert '"filename": "a.pdf"' in sent
    assert image not in sent
    assert paper not in sent
    items: Any = client.responses.input_items.list(made.id).data
    assert [part.get("file_id") for part in items[0].to_dict()["content"]] == [None, image, paper]
    again = fresh_id()
    asked: Any = {"model": model, "input": "echo: more", "previous_response_id": made.id}
    client.responses.create(**asked, extra_headers={"x-request-id": again})
    assert data_uri(PICTURE) in json.dumps(scene[1].until_seen(again)[0].json)
    client.files.delete(image)
    with pytest.raises(openai.NotFoundError) as caught:
        client.responses.create(**asked)
    assert (caught.value.code, caught.value.param) == ("file_not_found", "previous_response_id")


def test_file_is_read_when_its_request_waited(scene: Scene, client: OpenAI) -> None:
    """Work in the background is kept with the id, and asked with the bytes; tokens of an input are counted with them."""
    paper = upload(client, "late.pdf", PDF + b"late")
    uri = data_uri(PDF + b"late", "application/pdf")
    asked: Any = of_responses({"type": "input_file", "file_id": paper})[1]
    made = client.responses.create(**asked, background=True)
    wait_until(lambda: client.responses.retrieve(made.id).status == "completed", "the answer")
    client.responses.input_tokens.count(**asked)
    seen = [record.path for record in scene[1].up.log if uri in json.dumps(record.json)]
    assert seen == ["/v1/responses", "/v1/responses/input_tokens"]


def test_chat_is_asked_with_bytes_when_it_names_a_file(scene: Scene, client: OpenAI) -> None:
    """Under the name that the client gives, or the file's own."""
    note = upload(client, "note.md", NOTE)
    path, body = of_chat({"type": "file", "file": {"file_id": note, "filename": "b.md"}})
    body["messages"][0]["content"].append({"type": "file", "file": {"file_id": note}})
    request_id = fresh_id()
    status, _, answer = scene[0].call(path, body, headers={"x-request-id": request_id})
    assert status == 200, answer
    [record] = scene[1].until_seen(request_id)
    files = [part["file"] for part in record.json["messages"][0]["content"][1:]]
    uri = data_uri(NOTE, "text/markdown")
    assert files == [{"filename": "b.md", "file_data": uri}, {"filename": "note.md", "file_data": uri}]


def test_message_is_asked_with_bytes_when_it_names_files(scene: Scene, client: OpenAI) -> None:
    """By Anthropic's client: images and PDFs as base64, text as text; another client's or no file is a 404."""
    served, upstream = scene
    image, paper, note = (
        upload(client, "a", PICTURE),
        upload(client, "b", PDF),
        upload(client, "c", NOTE),
    )
    request_id = fresh_id()

    def block(kind: str, name: str) -> Any:
        return {"type": kind, "source": {"type": "file", "file_id": name}}

    with Anthropic(base_url=served.url, api_key=served.key, max_retries=0) as theirs:
        content: Any = [block("image", image), block("document", paper), block("document", note)]
        theirs.messages.create(
            model="gpt",
            max_tokens=9,
            messages=[{"role": "user", "content": content}],
            extra_headers={"x-request-id": request_id},
        )
        [record] = upstream.until_seen(request_id)
        sources = [each["source"] for each in record.json["messages"][0]["content"]]
        data = base64.b64encode(PICTURE).decode()
        assert sources[0] == {"type": "base64", "media_type": "image/png", "data": data}
        assert (sources[1]["media_type"], base64.b64decode(sources[1]["data"])) == ("application/pdf", PDF)
        assert sources[2] == {"type": "text", "media_type": "text/plain", "data": NOTE.decode()}
        with pytest.raises(NotFoundError) as caught:
            theirs.messages.create(
                model="gpt",
                max_tokens=9,
                messages=[{"role": "user", "content": [block("image", "file_none")]}],
            )
    told: Any = caught.value.body
    assert "messages.0.content.0.source.file_id" in told["error"]["message"]
    assert told["error"]["details"]["error_code"] == "file_not_found"


def test_file_is_not_found_when_it_is_not_the_callers(scene: Scene, client: OpenAI) -> None:
    """Of another organization, expired, deleted or never there: the same 404 that names the field, on all surfaces."""
    served = scene[0]
    place = Place("sqlite", served.data, "")
    key = Hands(place).customer("Others", plan="pro", credit="5").key
    own, gone, late = (upload(client, name, PICTURE) for name in ("own", "gone", "late"))
    client.files.delete(gone)
    place.run(f"UPDATE files SET expires_at = 1 WHERE id = '{late}'")  # noqa: S608  # our own id
    for name, asking in ((own, key), (gone, None), (late, None), ("file-provider", None), ("", None)):
        for asked, field in (
            (of_responses({"type": "input_image", "file_id": name}), "input[0].content[1].file_id"),
            (
                of_responses({"type": "input_file", "file_id": name}, background=True),
                "input[0].content[1].file_id",
            ),
            (
                of_chat({"type": "file", "file": {"file_id": name}}),
                "messages[0].content[1].file.file_id",
            ),
        ):
            status, error = refused(scene, asked, key=asking)
            assert (status, error["code"], error["param"]) == (404, "file_not_found", field)


def test_file_is_refused_when_it_is_not_what_is_taken(scene: Scene, client: OpenAI) -> None:
    """What is no image, what is too large, too many, or for a model that reads text only; nothing is forwarded."""
    pdf, picture, big = (
        upload(client, "a.png", PDF),
        upload(client, "b.png", PICTURE),
        upload(client, "c.png", png(size=50_001)),
    )
    huge, odd = upload(client, "d.bin", bytes(100_001)), upload(client, "e.bin", b"\xff\xfe\x00")
    field = "input[0].content[1].file_id"
    for part, model, code in (
        ({"type": "input_image", "file_id": pdf}, "gpt", "unsupported_image_media_type"),
        ({"type": "input_image", "file_id": big}, "gpt", "image_file_too_large"),
        ({"type": "input_file", "file_id": huge}, "gpt", "file_too_large"),
        ({"type": "input_image", "file_id": picture}, "blind", "unsupported_value"),
    ):
        status, error = refused(scene, of_responses(part, model))
        assert (status, error["code"], error["param"]) == (400, code, field), error
    path, body = of_responses({"type": "input_image", "file_id": picture})
    body["input"][0]["content"] += [{"type": "input_image", "file_id": picture}] * 3
    status, error = refused(scene, (path, body))
    assert (status, error["code"]) == (400, "array_above_max_length")
    assert error["param"] == "input[0].content[4].file_id"
    status, error = refused(
        scene, of_messages({"type": "document", "source": {"type": "file", "file_id": odd}})
    )
    assert (status, "messages.0.content.1.source.file_id" in error["message"]) == (400, True)


def test_file_is_refused_when_only_a_target_could_open_it(scene: Scene) -> None:
    """What runs in a target's container has no files of ours, and must name none of the operator's."""
    tool = {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-provider"]}}
    path, body = of_responses({"type": "input_text", "text": "x"}, tools=[tool])
    status, error = refused(scene, (path, body))
    assert (status, error["param"]) == (400, "tools[0].container.file_ids")
    status, error = refused(scene, of_messages({"type": "container_upload", "file_id": "file_provider"}))
    assert (status, "messages.0.content.1.type" in error["message"]) == (400, True)


def test_image_is_refused_when_its_type_is_another(scene: Scene) -> None:
    """What is declared and what the bytes say have to agree, on all surfaces."""
    uri = data_uri(PICTURE, "image/jpeg")
    source = {"type": "base64", "media_type": "image/jpeg", "data": uri.partition(",")[2]}
    for asked, field in (
        (of_responses({"type": "input_image", "image_url": uri}), "input[0].content[1].image_url"),
        (of_chat({"type": "image_url", "image_url": {"url": uri}}), "messages[0].content[1].image_url.url"),
        (of_messages({"type": "image", "source": source}), "messages.0.content.1.source"),
    ):
        status, error = refused(scene, asked)
        assert (status, f"'{field}'" in error["message"]) == (400, True)
        assert error.get("code", "invalid_image_format") == "invalid_image_format"
    right = of_chat({"type": "image_url", "image_url": {"url": data_uri(jpeg(), "image/jpg")}})
    assert scene[0].call(*right)[0] == 200
