"""The rows of the four systems that presets decide by themselves: keys, plans, errors, limits. One test a row."""

import pytest

from ingot import errors, ids
from ingot.errors import ApiError, Forbidden, InvalidRequest, QuotaExceeded, RateLimited, Unauthenticated
from ingot.presets import encode_error, load
from ingot.presets.preset import error_classes
from ingot.pricing import UNITS_PER_USD
from ingot.signing import make_key
from ruled import refusal, told

TREE = sorted(error_classes().values(), key=lambda kind: kind.__name__)


def example(kind: type[ApiError]) -> ApiError:
    """An error of this class."""
    if kind is errors.MethodNotAllowed:
        return errors.MethodNotAllowed("What went wrong.", allow=("POST",))
    return kind("What went wrong.")


def key(preset: str) -> str:
    """A key as a server under this preset issues it."""
    return make_key(load(preset).keys.prefix, random_text=ids.random_text).text


def missing_key() -> ApiError:
    """What a request without a key meets."""
    return Unauthenticated("No API key given.", code="missing_api_key")


def invalid_key() -> ApiError:
    """What a request with a key that holds no more, or never did, meets."""
    return Unauthenticated("This API key was revoked.")


# ---- valley


def test_s0_04_missing_key_is_an_openai_error() -> None:
    """Without a key: 401 in OpenAI's format."""
    status, error = told("valley", missing_key())
    assert status == 401
    assert error["type"] == "invalid_request_error"
    assert error["message"]


def test_s0_05_invalid_key_has_the_exact_body() -> None:
    """Three keys with these values, and no `param`."""
    expected = (
        b'{"error":{"message":"Invalid API key.","type":"invalid_request_error","code":"invalid_api_key"}}'
    )
    assert encode_error(load("valley"), invalid_key(), "req_1") == (401, expected)


def test_s0_06_keys_begin_with_metal_sk() -> None:
    """`metal_sk_...`."""
    assert key("valley").startswith("metal_sk_")


@pytest.mark.parametrize("kind", TREE)
def test_s0_15_every_error_has_type_and_message(kind: type[ApiError]) -> None:
    """Every class of error keeps OpenAI's status, and has `type` and `message`."""
    error = example(kind)
    status, told_error = told("valley", error)
    assert status == error.status
    assert told_error["type"]
    assert told_error["message"]


# ---- aurora


def test_s1_02_missing_key_is_unauthorized() -> None:
    """401 with the code `unauthorized`."""
    status, error = told("aurora", missing_key())
    assert (status, error["code"]) == (401, "unauthorized")


def test_s1_03_invalid_key_is_unauthorized() -> None:
    """401 with the code `unauthorized`."""
    status, error = told("aurora", invalid_key())
    assert (status, error["code"]) == (401, "unauthorized")


def test_s1_04_keys_begin_with_mk() -> None:
    """`mk_...`."""
    assert key("aurora").startswith("mk_")


def test_s1_05_an_account_has_at_most_three_keys() -> None:
    """Three, whatever the plan."""
    aurora = load("aurora")
    assert aurora.keys.most == 3
    assert {plan.keys for plan in aurora.plans.values()} == {3}


def test_s1_06_free_has_five_requests_a_minute() -> None:
    """A new organization begins with Free."""
    aurora = load("aurora")
    assert aurora.default_plan == "free"
    assert aurora.plans["free"].rpm == 5


def test_s1_07_limit_is_told_as_rate_limited() -> None:
    """429 with the code `rate_limited`."""
    status, error = told("aurora", RateLimited("Slow down.", retry_after=3))
    assert (status, error["code"]) == (429, "rate_limited")


def test_s1_08_internal_failure_is_a_server_error() -> None:
    """500 with the code `server_error`; every other fault on this side has the same code."""
    status, error = told("aurora", errors.PlatformError("Something broke."), "req_7")
    assert (status, error["code"], error["type"]) == (500, "server_error", "server_error")
    assert error["message"] == "Something broke. (request id req_7)"
    for kind in TREE:
        if kind.blame != "client" and kind is not errors.UpstreamRejected:
            assert told("aurora", example(kind))[1]["code"] == "server_error", kind


def test_s1_09_all_errors_share_one_format() -> None:
    """The same keys in the same order, whatever the error."""
    shapes = {tuple(told("aurora", example(kind))[1]) for kind in TREE}
    assert shapes == {("message", "type", "param", "code")}


def test_s1_11_only_chat_and_models_are_there() -> None:
    """Every other surface finds nothing."""
    aurora = load("aurora")
    assert aurora.surfaces == {"chat", "models"}
    assert aurora.offers("chat")
    assert not aurora.offers("usage")


def test_c_31_free_and_pro_differ_in_limits_and_in_turn() -> None:
    """Free: 5 requests a minute, 3 keys. Pro: more of everything, and its work comes first."""
    free, pro = (load("aurora").plans[name] for name in ("free", "pro"))
    assert (free.rpm, free.keys) == (5, 3)
    assert free.rpm is not None
    assert pro.rpm is not None
    assert pro.rpm > free.rpm
    assert pro.weight > free.weight


# ---- metask


@pytest.mark.parametrize("kind", TREE)
def test_c_20_errors_have_the_documented_statuses_only(kind: type[ApiError]) -> None:
    """400, 401, 403, 404, 429 and 500, each with an `error` object."""
    status, error = told("metask", example(kind))
    assert status in {400, 401, 403, 404, 429, 500}
    assert error["message"].startswith("What went wrong.")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("Bad."), 400),
        (Unauthenticated("Who?"), 401),
        (Forbidden("No."), 403),
        (errors.NotFound("Where?"), 404),
        (errors.MethodNotAllowed("No.", allow=("POST",)), 404),
        (RateLimited("Slow down."), 429),
        (errors.PlatformError("Broken."), 500),
        (errors.Overloaded("Busy."), 500),
        (errors.UpstreamTimeout("Late."), 500),
        (errors.UpstreamRejected("Odd.", status=422), 400),
        (errors.TooLarge("Big."), 400),
    ],
)
def test_c_20_status_is_kept_where_it_is_documented(error: ApiError, status: int) -> None:
    """What has no status there gets the general one of its kind."""
    assert told("metask", error)[0] == status


def test_c_50_no_credit_is_forbidden() -> None:
    """At a balance of zero: 403; other presets answer 402."""
    error = QuotaExceeded("The balance is used up.")
    assert told("metask", error)[0] == 403
    assert told("open", error)[0] == 402


# ---- valar


@pytest.mark.parametrize("error", [missing_key(), invalid_key()])
def test_s3_01_key_is_required(error: ApiError) -> None:
    """401 without one."""
    assert told("valar", error)[0] == 401


def test_s3_02_idempotency_key_has_at_most_255_characters() -> None:
    """In the header `Idempotency-Key`."""
    idempotency = load("valar").idempotency
    assert idempotency.names("chat") == ("idempotency-key",)
    assert idempotency.longest == 255


def test_s4_07_store_is_only_true() -> None:
    """`false` is refused and names the field; not given counts as true."""
    assert refusal("valar", {"store": False}).param == "store"
    assert load("valar").stores is True


def test_s4_95_stored_completions_are_not_there() -> None:
    """No list, no reading, no deletion."""
    assert not load("valar").offers("stored")


def test_s4_143_keys_come_as_bearer_only() -> None:
    """`x-api-key` alone is not read."""
    assert load("valar").keys.headers == {"bearer"}
    assert load("open").keys.headers == {"bearer", "x-api-key"}


def test_s4_146_errors_have_openais_envelope_everywhere() -> None:
    """Also where the surface's own dialect has another."""
    assert load("valar").envelope == "openai"
    assert load("open").envelope == "surface"


def test_c_01_other_body_under_a_known_key_is_an_idempotency_error() -> None:
    """400 with the type `idempotency_error`."""
    error = InvalidRequest("This key came with another body.", code="idempotency_error")
    for preset in ("valar", "open"):
        status, shape = told(preset, error)
        assert (status, shape["type"]) == (400, "idempotency_error")


def test_plans_cost_nothing_unless_they_say_so() -> None:
    """No plan that ships has a price or gives credit."""
    for name in ("open", "valley", "aurora", "aurora-v2", "metask", "valar"):
        for plan in load(name).plans.values():
            assert (plan.monthly_price, plan.monthly_credits) == (0, 0)
            assert plan.price_factor * UNITS_PER_USD == 1_000_000 * UNITS_PER_USD
