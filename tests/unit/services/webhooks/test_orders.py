"""What a request orders: judged at once, its token sealed, an unusable address told or passed over as the preset says."""

import hmac
from typing import Any

import pytest

from hostile import CLOSED, TRICKS, literal
from ingot.config import WebhooksConfig
from ingot.deliveries import STANDARD, decode_policy
from ingot.presets import load
from ingot.sealing import Broken
from ingot.services.webhooks.orders import open_token, order_of
from ingot.store.orders import Hook

OPEN, VALAR = load("open"), load("valar")
URL = "https://hooks.example.org/done"


def digest(data: bytes) -> bytes:
    return hmac.digest(b"p" * 32, data, "sha256")


def ordered(
    metadata: Any, *, preset: Any = OPEN, surface: str = "chat", config: WebhooksConfig | None = None
) -> Hook | None:
    return order_of(
        preset,
        {"metadata": metadata},
        surface=surface,
        org_id="org_a",
        response_id="resp_1",
        reach=config or WebhooksConfig(),
        digest=digest,
    )


def test_order_when_an_address_is_named() -> None:
    """Its host, and the preset's promise; the token opens for this response of this organization alone."""
    hook = ordered({"completion_webhook": URL, "webhook_token": "t0ken"})
    assert hook is not None
    assert (hook.url, hook.place, hook.rejected) == (URL, "https://hooks.example.org:443", None)
    assert decode_policy(hook.policy) == STANDARD
    assert hook.token is not None
    assert b"t0ken" not in hook.token
    assert open_token(hook.token, org_id="org_a", response_id="resp_1", digest=digest) == "t0ken"
    for org_id, response_id in (("org_b", "resp_1"), ("org_a", "resp_2")):
        with pytest.raises(Broken):
            open_token(hook.token, org_id=org_id, response_id=response_id, digest=digest)


def test_order_when_the_preset_promises_less() -> None:
    """C-04: three retries and 30 seconds a try."""
    hook = ordered({"completion_webhook": URL}, preset=VALAR)
    assert hook is not None
    policy = decode_policy(hook.policy)
    assert (len(policy.waits), policy.seconds) == (4, 30)


@pytest.mark.parametrize(
    "value",
    [{}, {"metadata": None}, {"metadata": "text"}, {"metadata": {}}, {"metadata": {"completion_webhook": None}},
     {"metadata": {"webhook_token": "alone"}}],
)  # fmt: skip
def test_nothing_is_ordered_when_no_address_is_named(value: dict[str, Any]) -> None:
    """A token alone calls nobody."""
    made = order_of(
        OPEN, value, surface="chat", org_id="o", response_id="r", reach=WebhooksConfig(), digest=digest
    )
    assert made is None


def test_nothing_is_ordered_when_the_surface_has_no_webhooks() -> None:
    """A preset says on which it has them."""
    assert ordered({"completion_webhook": URL}, preset=load("metask")) is None
    assert ordered({"completion_webhook": URL}, surface="embeddings") is None


@pytest.mark.parametrize(
    "url", [literal(each, 443) for each in CLOSED] + [each.format(port=443) for each in TRICKS]
)
def test_order_is_refused_when_the_address_leads_home(url: str) -> None:
    """T-W-ssrf, as written: no URL of the list is taken, and the reason repeats nothing of it."""
    hook = ordered({"completion_webhook": url}, config=WebhooksConfig(http=True))
    assert hook is not None
    assert hook.rejected is not None
    assert hook.rejected.startswith("The URL ")
    assert (hook.url, hook.token) == ("", None)
    assert ordered({"completion_webhook": url}, preset=VALAR, config=WebhooksConfig(http=True)) is None


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/", "https"),
        ("https://example.org:22/", "port"),
        ("https://9.9.9.9/", "IP address"),
        ("https://example.org/" + "a" * 2048, "2,048"),
        (7, "string"),
    ],
)
def test_order_is_refused_when_the_form_is_not_allowed(url: Any, reason: str) -> None:
    """W08, each rule with its words."""
    hook = ordered({"completion_webhook": url})
    assert hook is not None
    assert reason in str(hook.rejected)


def test_order_is_taken_when_the_operator_opened_a_network() -> None:
    """What is open is said explicitly."""
    config = WebhooksConfig(http=True, ports=[8080], networks=["10.1.0.0/16"])
    hook = ordered({"completion_webhook": "http://10.1.2.3:8080/"}, config=config)
    assert hook is not None
    assert (hook.place, hook.rejected) == ("http://10.1.2.3:8080", None)


@pytest.mark.parametrize("token", ["", "a b", "a\r\nb: c", "ü", "x" * 513, 7])
def test_order_is_refused_when_a_token_fits_no_header(token: Any) -> None:
    """Nothing that could become another header is sent."""
    hook = ordered({"completion_webhook": URL, "webhook_token": token})
    assert hook is not None
    assert "visible ASCII" in str(hook.rejected)
