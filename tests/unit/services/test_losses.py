"""What becomes of losses: which refuse a request, in which words, and how a header tells them."""

from dataclasses import replace

import msgspec
import pytest

from deployments import deployment
from ingot.canonical import Loss
from ingot.services.losses import HEADER_BYTES, Lossy, Lost, header_line, joined, refuse_lossy

SEED = Loss("seed", "setting", "the messages dialect has no such setting")
KEY = Loss("prompt_cache_key", "cache_settings", "the messages dialect has no such setting")
BOUND = Loss("max_tokens", "default", "32000 was sent")
DEPLOYMENT = deployment(name="demo")


def test_request_is_refused_when_a_loss_matters() -> None:
    """By default; hints and defaults are not counted, and the words say what to do."""
    with pytest.raises(Lossy) as caught:
        refuse_lossy((KEY, BOUND, SEED), DEPLOYMENT)
    assert caught.value.param == "seed"
    assert "more" not in caught.value.message.split(".")[0]
    assert 'on_loss = "warn"' in caught.value.message
    assert "'demo'" in caught.value.message


def test_request_passes_when_all_losses_are_hints() -> None:
    """And where the deployment has losses told alone."""
    refuse_lossy((KEY, BOUND), DEPLOYMENT)
    refuse_lossy((SEED,), replace(DEPLOYMENT, on_loss="warn"))


def test_header_tells_each_loss_once_when_there_are_many() -> None:
    """Up to its room; the rest is counted."""
    many = joined((SEED, SEED), tuple(Loss(f"field_{number}", "field", "lost" * 10) for number in range(60)))
    told = header_line(many).decode()
    assert told.startswith("x-ingot-loss: seed=")
    assert told.count("seed=") == 1
    assert len(told) < HEADER_BYTES + 40
    shown = told.count("=")
    assert f"+{len(many) - shown} more" in told


def test_header_is_the_same_when_losses_were_stored() -> None:
    """Also of answers that were stored before losses had kinds."""
    for stored in (
        msgspec.json.encode((SEED, KEY)),
        msgspec.json.encode(
            [{"path": each.path, "reason": each.reason, "filled": True} for each in (SEED, KEY)]
        ),
    ):
        assert header_line(msgspec.json.decode(stored, type=tuple[Lost, ...])) == header_line((SEED, KEY))
