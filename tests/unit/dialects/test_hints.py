"""Which losses refuse a request: the table of those that do not, against all that is lost between any two dialects."""

import pytest

from ingot.canonical import Loss
from ingot.dialects.hints import HINTS, hint_of, matters
from ingot.errors import ApiError
from pairs.exchange import PAIRS, send
from pairs.fields import FIELDS
from pairs.longtalk import TALKS

ONLY_CHAT = "only the chat dialect knows it"


def lost(client: str, target: str) -> set[Loss]:
    """All that the fields of one dialect lose at a target of another."""
    found: set[Loss] = set()
    for body in FIELDS[client].values():
        for newer in (False, True):
            try:
                found.update(send(body, client, target, newer=newer).losses)
            except ApiError:
                continue
    return found


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("seed", "the messages dialect has no such setting"),
        ("include", "the messages dialect has no such setting"),
        ("tools[0]", "a tool of type 'web_search' exists in the responses dialect only"),
        ("messages[3].user", ONLY_CHAT),
        ("tools[0].cache", ONLY_CHAT),
        ("reasoning_effort", "the messages dialect knows no effort 'odd'"),
        ("messages[0].filename", ONLY_CHAT),
    ],
)
def test_loss_matters_when_no_row_names_it(path: str, reason: str) -> None:
    """Also where its place looks like that of a hint."""
    assert matters(Loss(path, reason))


def test_loss_matters_not_when_it_is_a_default_or_a_hint() -> None:
    """Numbers in a place are nothing to the table."""
    assert not matters(Loss("max_tokens", "32000 was sent", filled=True))
    assert not matters(Loss("user", ONLY_CHAT))
    assert not matters(Loss("metadata.trace", "only the messages dialect knows it"))
    assert not matters(Loss("tools[12].eager_input_streaming", "only the messages dialect knows it"))
    assert not matters(Loss("input[3].phase", "only the responses dialect knows it"))
    assert not matters(Loss("messages[1].annotations", ONLY_CHAT))
    assert not matters(Loss("messages[0].content[2].cache_control", ONLY_CHAT))
    assert not matters(Loss("tools[0].cache_control", ONLY_CHAT))
    assert not matters(Loss("client_metadata", "only the responses dialect knows it"))


def test_row_is_used_when_fields_are_lost() -> None:
    """Most rows fit what a field of some dialect loses, so that none outlives its loss unseen."""
    found = {loss for client, target in PAIRS if client != target for loss in lost(client, target)}
    used = {hint.what for loss in found if (hint := hint_of(loss)) is not None}
    unseen = {hint.what for hint in HINTS} - used
    assert unseen <= {
        "`stream_options.*`",
        "`eager_input_streaming` and `defer_loading` of a tool",
        "`context_management` of messages",
        "headers such as `anthropic-beta`",
        "`phase`, `caller` and `reasoning_details` of earlier answers",
        "`filename` beside a title",
        "`cache_control` in other dialects' requests, as gateways take it",
        "`annotations` of an earlier answer",
        "`client_metadata`",
    }


def test_conversation_of_an_agent_is_not_refused_when_it_is_translated() -> None:
    """Forty turns with thoughts, failed tools, cache breakpoints and budgets pass between any two dialects."""
    for client, target in PAIRS:
        assert [loss for loss in send(TALKS[client], client, target).losses if matters(loss)] == []
