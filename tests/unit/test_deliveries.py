"""Signatures that every verifier takes and no changed byte survives, and the schedule of tries."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime

import pytest
from openai import InvalidWebhookSignatureError, OpenAI
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from ingot import deliveries
from ingot.addresses import read_url
from ingot.deliveries import STANDARD, Generation, Policy

PEPPER = b"p" * 32


def digest(data: bytes) -> bytes:
    return hmac.digest(PEPPER, data, "sha256")


def headers(event: str, at: int, signature: str) -> dict[str, str]:
    return {"webhook-id": event, "webhook-timestamp": str(at), "webhook-signature": signature}


def now() -> int:
    """Verifiers compare with the clock of the machine."""
    return int(datetime.now(UTC).timestamp())


@pytest.mark.parametrize("body", [b'{"a":1}', '{"ü":"✓"}'.encode(), b"{}"])
def test_signature_verifies_when_receivers_check_it(body: bytes) -> None:
    """T-W-vectors: by Standard Webhooks' own library, by OpenAI's client, and by hand."""
    secret, at = deliveries.derive(digest, "we_1", 1), now()
    shown = deliveries.shown_secret(secret)
    signature = deliveries.sign([secret], "evt_1", at=at, body=body)
    told = headers("evt_1", at, signature)
    Webhook(shown).verify(body, told)
    with OpenAI(api_key="unused") as client:
        client.webhooks.verify_signature(body, told, secret=shown)
    made = hmac.new(
        base64.b64decode(shown.removeprefix("whsec_")), b"evt_1.%d." % at + body, hashlib.sha256
    ).digest()
    assert signature == "v1," + base64.b64encode(made).decode()


def test_signature_is_refused_when_a_byte_is_flipped() -> None:
    """Of the body, the id, the time or the signature: each byte, one by one."""
    secret, at, body = deliveries.derive(digest, "we_1", 1), now(), b'{"type":"response.completed"}'
    shown = deliveries.shown_secret(secret)
    signature = deliveries.sign([secret], "evt_1", at=at, body=body)
    Webhook(shown).verify(body, headers("evt_1", at, signature))
    with OpenAI(api_key="unused") as client:
        for place in range(len(body)):
            changed = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
            with pytest.raises(WebhookVerificationError):
                Webhook(shown).verify(changed, headers("evt_1", at, signature))
            with pytest.raises(InvalidWebhookSignatureError):
                client.webhooks.verify_signature(changed, headers("evt_1", at, signature), secret=shown)
        for place in range(3, len(signature) - 2):
            other = "A" if signature[place] != "A" else "B"
            changed_signature = signature[:place] + other + signature[place + 1 :]
            with pytest.raises(InvalidWebhookSignatureError):
                client.webhooks.verify_signature(body, headers("evt_1", at, changed_signature), secret=shown)
        for told in (headers("evt_2", at, signature), headers("evt_1", at + 1, signature)):
            with pytest.raises(InvalidWebhookSignatureError):
                client.webhooks.verify_signature(body, told, secret=shown)


def test_both_secrets_sign_when_one_was_rotated() -> None:
    """W10: the old one until its time is over, never a third."""
    rotated = Generation(3, old_until=2_000_000)
    assert rotated.numbers(1_999_999) == (3, 2)
    assert rotated.numbers(2_000_000) == (3,)
    assert Generation().numbers(0) == (1,)
    at, body = now(), b"{}"
    secrets = [deliveries.derive(digest, "we_1", number) for number in rotated.numbers(1)]
    told = headers("evt_1", at, deliveries.sign(secrets, "evt_1", at=at, body=body))
    for secret in secrets:
        Webhook(deliveries.shown_secret(secret)).verify(body, told)
    gone = deliveries.shown_secret(deliveries.derive(digest, "we_1", 1))
    with pytest.raises(WebhookVerificationError):
        Webhook(gone).verify(body, told)


def test_secrets_differ_when_owner_number_or_pepper_do() -> None:
    """Nobody's secret follows from another's; each is long, and its hint tells little."""
    made = {
        deliveries.derive(digest, owner, number) for owner in ("we_1", "we_2", "org_1") for number in (1, 2)
    }
    made.add(deliveries.derive(lambda data: hmac.digest(b"q" * 32, data, "sha256"), "we_1", 1))
    assert len(made) == 7
    assert {len(secret) for secret in made} == {deliveries.SECRET_BYTES}
    for secret in made:
        assert len(deliveries.hint(secret).removeprefix("whsec_...")) == 4
    with pytest.raises(ValueError, match="24 bytes"):
        deliveries.derive(lambda _: b"short", "we_1", 1)
    with pytest.raises(ValueError, match="24 bytes"):
        deliveries.derive(lambda _: b"", "we_1", 1)


def test_schedule_is_the_published_one_when_nothing_answers() -> None:
    """W04: ten tries within 72 hours, each wait a tenth more or less."""
    assert len(STANDARD.waits) == 10
    assert STANDARD.waits[:7] == (0, 5, 60, 300, 1800, 7200, 18_000)
    assert sum(STANDARD.waits) == pytest.approx(72 * 3600, abs=60)
    for tries in range(1, 10):
        low, high = (deliveries.next_wait(STANDARD, tries, part=part) for part in (0.0, 1.0))
        assert low == pytest.approx(0.9 * STANDARD.waits[tries])
        assert high == pytest.approx(1.1 * STANDARD.waits[tries])
    assert deliveries.next_wait(STANDARD, 10, part=0.5) is None
    assert 1.1 * sum(STANDARD.waits) < deliveries.LAST_SECONDS


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        (None, None),
        ("soon", None),
        ("-5", None),
        ("1e3", None),
        ("9" * 30, None),
    ],
)
def test_retry_after_when_it_is_read(told: str | None, expected: float | None) -> None:
    """Seconds, or nothing at all."""
    assert deliveries.read_retry_after(told) == expected


def test_wait_follows_the_receiver_when_it_asks_for_one() -> None:
    """Longer than the schedule where it says so, up to an hour; never shorter."""
    policy = Policy((0, 60), 15.0)
    assert deliveries.next_wait(policy, 1, part=0.5, retry_after=600) == 600
    assert deliveries.next_wait(policy, 1, part=0.5, retry_after=1) == 60
    assert deliveries.next_wait(policy, 1, part=0.5, retry_after=86_400) == 3600


@pytest.mark.parametrize(
    ("status", "verdict"),
    [(200, "delivered"), (204, "delivered"), (301, "again"), (302, "again"), (400, "again"), (404, "again"),
     (410, "gone"), (429, "again"), (500, "again"), (503, "again")],
)  # fmt: skip
def test_status_when_it_is_judged(status: int, verdict: str) -> None:
    """W05: 2xx is there, 410 is the end, all else is tried again."""
    assert deliveries.judge(status) == verdict


def test_place_when_urls_name_the_same_host() -> None:
    """Failures are counted by scheme, host and port."""
    places = {
        deliveries.place_of(read_url(url)) for url in ("https://A.example/x", "https://a.example:443/y?z")
    }
    assert places == {"https://a.example:443"}
    assert deliveries.place_of(read_url("http://[2001:db8::1]:8080/")) == "http://[2001:db8::1]:8080"


def test_policy_when_it_was_stored() -> None:
    """What was promised when the request came counts, whatever the preset says later."""
    policy = Policy((0.0, 5.0), 30.0)
    assert deliveries.decode_policy(deliveries.encode_policy(policy)) == policy


def test_event_when_it_is_written() -> None:
    """OpenAI's shape: an id, a time, a type, and the object's id."""
    assert deliveries.encode_event("evt_1", "batch.completed", object_id="batch_1", at=7) == (
        b'{"id":"evt_1","object":"event","created_at":7,"type":"batch.completed","data":{"id":"batch_1"}}'
    )
