"""The errors that the official OpenAI client for Python makes of ours, against a relay on a real port.

What the upstream says is a function of the prompt, so that every test knows the right answer: see `upstream_answers`.
"""

import openai
import pytest
from openai import OpenAI

from standing import NAMES, Standing, says


def test_error_when_the_key_is_wrong(standing: Standing) -> None:
    """A wrong key is a 401 with OpenAI's code; none of it is repeated."""
    with (
        OpenAI(base_url=standing.served.v1, api_key="sk-wrong-0123456789", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as caught,
    ):
        client.chat.completions.create(model="mock", messages=says("echo: hi"))
    assert caught.value.code == "invalid_api_key"
    assert "0123456789" not in str(caught.value)


def test_error_when_the_model_or_the_route_is_unknown(client: OpenAI) -> None:
    """An unknown model and an unknown route are NotFoundErrors that say what there is."""
    with pytest.raises(openai.NotFoundError, match="mock") as caught:
        client.chat.completions.create(model="gpt-unheard-of", messages=says("echo: hi"))
    assert (caught.value.param, caught.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(model="mock", prompt="a cat")
    assert caught.value.code == "unknown_url"


@pytest.mark.parametrize(
    ("field", "wrong", "param"),
    [
        ("temperature", 3, "temperature"),
        ("n", 0, "n"),
        ("messages", [{"role": "user"}], "messages[0].content"),
        ("messages", [], "messages"),
        ("tool_choice", "required", "tool_choice"),
        ("stream_options", {"include_usage": True}, "stream_options"),
    ],
)
def test_error_when_a_field_is_wrong(client: OpenAI, field: str, wrong: object, param: str) -> None:
    """A BadRequestError names the field by its path."""
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="mock", messages=says("echo: hi"), extra_body={field: wrong})
    assert caught.value.param == param
    assert caught.value.type == "invalid_request_error"
    assert caught.value.code


def test_error_when_the_upstream_refuses_the_request(client: OpenAI) -> None:
    """What the client can mend comes back with the upstream's own words."""
    with pytest.raises(openai.BadRequestError, match="scripted failure 400"):
        client.chat.completions.create(model="mock", messages=says("{{fail 400}} hi"))
    with pytest.raises(openai.UnprocessableEntityError):
        client.chat.completions.create(model="mock", messages=says("{{fail 422}} hi"))


@pytest.mark.parametrize(
    ("script", "status"), [("fail 500", 502), ("fail 503", 503), ("hangup rst", 502), ("silent", 504)]
)
def test_error_when_the_upstream_fails(client: OpenAI, script: str, status: int) -> None:
    """A broken, lost or silent upstream is an InternalServerError, which clients try again."""
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="failing", messages=says(f"{{{{{script}}}}} hi"))
    assert caught.value.status_code == status
    assert caught.value.type == "server_error"


def test_error_when_rate_limited(client: OpenAI, standing: Standing) -> None:
    """Without retries of its own the client sees a RateLimitError with Retry-After; with them it obeys and succeeds."""
    prompt = "echo: python is patient {{fail 429 retry-after=1 times=1}}"
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model="limited", messages=says("{{fail 429 retry-after=1}} hi"))
    assert caught.value.response.headers["retry-after"] == "1"
    assert caught.value.code == "rate_limit_exceeded"

    patient = client.with_options(max_retries=2)
    raw = patient.chat.completions.with_raw_response.create(model="limited-too", messages=says(prompt))
    assert raw.retries_taken == 1
    assert raw.parse().choices[0].message.content == "python is patient"
    first, second = standing.received("echo: python is patient")
    # A lower bound holds however slow the machine is; unasked, the client would come back after half a second.
    assert second.started - first.started > 0.9


@pytest.mark.parametrize("script", ["error-at 3", "cut 3", "rst 3"])
@pytest.mark.parametrize("model", NAMES)
def test_error_when_a_stream_breaks(client: OpenAI, model: str, script: str) -> None:
    """What came before is given, then the client raises: a broken stream never looks like a whole one."""
    chunks = []

    def read() -> None:
        with client.chat.completions.create(
            model=model, messages=says(f"words: 9 {{{{{script}}}}}"), stream=True
        ) as stream:
            for chunk in stream:
                chunks.append(chunk)  # noqa: PERF402  # what came before the error is to be kept

    with pytest.raises(openai.APIError) as caught:
        read()
    assert len(chunks) == 3
    assert caught.value.type == "server_error"
    assert caught.value.code == "upstream_error"
    after = client.chat.completions.create(model=model, messages=says("echo: still here"))
    assert after.choices[0].message.content == "still here"


def test_error_when_the_client_is_impatient(client: OpenAI, standing: Standing) -> None:
    """A client that times out raises, and its request is no longer anybody's work."""
    hasty = client.with_options(timeout=0.5)
    with pytest.raises(openai.APITimeoutError):
        hasty.chat.completions.create(model="mock", messages=says("{{silent}} impatient"))
    with (
        pytest.raises(openai.APITimeoutError),
        hasty.chat.completions.create(
            model="mock", messages=says("words: 4 {{hang 2}} impatient"), stream=True
        ) as stream,
    ):
        list(stream)
    assert len(standing.received("impatient")) == 2
