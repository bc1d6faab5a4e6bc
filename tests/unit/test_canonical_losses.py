"""Which losses refuse a request: the table of those that do not, against all that is lost between any two dialects."""

import ast
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Raw

from ingot.canonical import Extras, Kind, Loss, kind_at, lost_extras, matters
from ingot.canonical.losses import KINDS
from ingot.errors import ApiError
from pairs.exchange import PAIRS, send
from pairs.fields import FIELDS
from pairs.longtalk import TALKS
from repository import ROOT

ONLY_CHAT = "only the chat dialect knows it"
SOURCES = {
    path: ast.parse(text)
    for path in sorted((ROOT / "src" / "ingot").rglob("*.py"))
    if "Loss" in (text := path.read_text())
}


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


def at(place: str) -> Kind:
    """The kind of a field at a place that nobody interprets."""
    (loss,) = lost_extras(Extras("chat", {place: Raw(b"1")}), "messages")
    return loss.kind


@pytest.mark.parametrize(
    "place",
    [
        "messages[3].user",
        "tools[0].cache",
        "messages[0].filename",
        "phase",
        "user[0].x",
        "messages[0].metadata.x",
        "x.include",
    ],
)
def test_field_matters_when_no_place_names_it(place: str) -> None:
    """Also where a part of its place is that of a hint."""
    assert matters(Loss(place, at(place), ONLY_CHAT))


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("user", "identity"),
        ("metadata.trace", "identity"),
        ("tools[12].eager_input_streaming", "tool_timing"),
        ("tools[12].function.defer_loading", "tool_timing"),
        ("input[3].phase", "echo"),
        ("messages[1].annotations", "annotations"),
        ("messages[0].content[2].cache_control", "cache_control"),
        ("cache_control", "cache_control"),
        ("client_metadata", "client_metadata"),
        ("include", "include"),
    ],
)
def test_field_matters_not_when_its_place_is_that_of_a_hint(place: str, kind: Kind) -> None:
    """Numbers in a place are nothing to the table."""
    assert at(place) == kind
    assert not matters(Loss(place, kind, ONLY_CHAT))


def test_setting_matters_when_only_its_unknown_values_are_hints() -> None:
    """What a codec asks of `include` is not what it does not know of it."""
    assert kind_at("include", otherwise="setting") == "setting"
    assert kind_at("service_tier", otherwise="setting") == "speed"


def test_default_matters_not_when_it_was_filled_in() -> None:
    """The client said nothing."""
    assert not matters(Loss("max_tokens", "default", "32000 was sent"))


def test_kinds_are_those_of_the_table_and_each_is_lost_somewhere() -> None:
    """Wherever the code makes a loss it sets a kind of the table, and no kind outlives its losses."""
    calls = [
        (path.name, call.lineno, call.args)
        for path, tree in SOURCES.items()
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "Loss"
    ]
    assert len(calls) > 100
    for name, line, given in calls:
        assert len(given) == 3, (name, line)
        assert not isinstance(given[1], ast.Constant) or given[1].value in KINDS, (name, line)
    assert set(KINDS) == set(get_args(Kind))
    assert set(KINDS) <= {word for path, tree in SOURCES.items() for word in _words(path, tree)}


def _words(path: Path, tree: ast.Module) -> set[object]:
    """The constants of a module, but for the table of kinds and their type."""
    told = [
        each
        for each in tree.body
        if path.name != "losses.py" or not ast.unparse(each).startswith(("KINDS", "Kind"))
    ]
    return {each.value for node in told for each in ast.walk(node) if isinstance(each, ast.Constant)}


def test_hint_is_found_when_fields_are_lost() -> None:
    """Most kinds are those of what a field of some dialect loses, so that none outlives its loss unseen."""
    found = {loss.kind for client, target in PAIRS if client != target for loss in lost(client, target)}
    assert {kind for kind, words in KINDS.items() if words.why is not None} - found <= {
        "stream_options",
        "tool_timing",
        "context_management",
        "header",
        "echo",
        "filename",
        "cache_control",
        "annotations",
        "client_metadata",
        "dropped",
        "answer",
    }


def test_conversation_of_an_agent_is_not_refused_when_it_is_translated() -> None:
    """Forty turns with thoughts, failed tools, cache breakpoints and budgets pass between any two dialects."""
    for client, target in PAIRS:
        assert [loss for loss in send(TALKS[client], client, target).losses if matters(loss)] == []


@pytest.mark.parametrize("target", ["chat", "responses"])
def test_conversation_is_not_refused_when_an_earlier_answer_cites(target: str) -> None:
    """Its words arrive; which sources they have may be told in part, or not at all."""
    cited = {
        "type": "char_location",
        "cited_text": "Rain.",
        "document_index": 0,
        "document_title": "Weather",
        "start_char_index": 0,
        "end_char_index": 5,
    }
    page = {
        "type": "web_search_result_location",
        "cited_text": "Rain.",
        "url": "https://a.example/",
        "title": "Weather",
        "encrypted_index": "e",
    }
    said = {"type": "text", "text": "It rains.", "citations": [cited, page]}
    messages = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": [said]},
        {"role": "user", "content": "And now?"},
    ]
    losses = send({"model": "demo", "max_tokens": 9, "messages": messages}, "messages", target).losses
    assert losses
    assert [loss for loss in losses if matters(loss)] == []


@pytest.mark.parametrize(
    ("callers", "lost"),
    [(b'["direct"]', 0), (b'[ "direct" ]', 0), (b'["code_execution_20260120"]', 1), (b"7", 1)],
)
def test_callers_of_a_tool_are_lost_when_they_are_not_the_default(callers: bytes, lost: int) -> None:
    """The model itself calls a tool in all dialects."""
    losses = list(lost_extras(Extras("messages", {"allowed_callers": Raw(callers)}), "chat", at="tools[0]"))
    assert [matters(loss) for loss in losses] == [True] * lost
