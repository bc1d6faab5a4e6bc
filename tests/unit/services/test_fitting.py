"""What is asked of each route before work is taken that nobody waits for."""

import json
from typing import Any

import pytest

from deployments import deployment
from ingot.catalog import Quirks, Route, Target
from ingot.dialects.chat import CHAT
from ingot.errors import ClientError
from ingot.services.door import Inference
from ingot.services.fitting import check, fit
from ingot.services.grants import Grant
from ingot.services.keys import Principal

TAKES = Route(Target("takes", "http://127.0.0.1:9/v1", dialects=frozenset({"chat"})), "theirs")
REFUSES = Route(
    Target(
        "refuses",
        "http://127.0.0.1:9/v1",
        dialects=frozenset({"chat"}),
        quirks=Quirks(reject=frozenset({"seed", "logit_bias"})),
    ),
    "theirs",
)
FOREIGN = Route(Target("foreign", "http://127.0.0.1:9/v1", dialects=frozenset({"messages"})), "theirs")


def _inference(*routes: Route, **fields: Any) -> Inference:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **fields}
    model = deployment(*routes, capabilities=frozenset({"/v1/chat/completions"}))
    who = Principal("key_1", "kid", "name", "org_1", "inference", Grant())
    call = CHAT.decode(json.dumps(body).encode())
    return Inference("r", "/v1/chat/completions", CHAT, call, model, who, response_id="r", created_at=0)


async def test_fit_when_a_target_speaks_the_dialect() -> None:
    """Its body has the target's name of the model."""
    wanted = _inference(TAKES)
    fitted = await fit(wanted, wanted.call, TAKES)
    assert (json.loads(fitted.body)["model"], fitted.translation) == ("theirs", None)


@pytest.mark.parametrize("routes", [(TAKES,), (REFUSES, TAKES), (TAKES, REFUSES), (FOREIGN, TAKES)])
def test_check_when_a_route_takes_it(routes: tuple[Route, ...]) -> None:
    """One target that takes the request is enough, wherever it stands."""
    wanted = _inference(*routes, seed=1)
    check(wanted, wanted.call)


@pytest.mark.parametrize("routes", [(REFUSES,), (REFUSES, FOREIGN), (FOREIGN, REFUSES)])
def test_check_when_no_route_takes_it(routes: tuple[Route, ...]) -> None:
    """The refusal is the one that a client who waits would get: that of a target of its own dialect, if there is one."""
    wanted = _inference(*routes, logit_bias={"1": 2})
    with pytest.raises(ClientError) as caught:
        check(wanted, wanted.call)
    assert caught.value.param == "logit_bias"
    assert "not supported by the model 'm'" in caught.value.message
