"""What is said of a loss: where, of which kind, and why. The one table of kinds decides which of them change no answer.

A kind is set where a loss is found; fields that nobody interprets get theirs by their places. Decides nothing about what
is lost, nor about what becomes of a loss. Sentences are for people: nothing is read out of them.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from msgspec import Raw, Struct, json

from ingot.canonical.parts import DialectName, Extras, where

Kind = Literal[
    # What may change an answer: reasons to refuse a request.
    "setting",
    "part",
    "document",
    "detail",
    "tool",
    "choice",
    "format",
    "field",
    # What changes none.
    "cache_settings",
    "cache_breakpoint",
    "cache_control",
    "annotations",
    "client_metadata",
    "identity",
    "speed",
    "prediction",
    "diagnostics",
    "include",
    "stream_options",
    "tool_timing",
    "context_management",
    "header",
    "thoughts",
    "shown_thoughts",
    "effort",
    "tool_error",
    "late_instructions",
    "earlier_answer",
    "shown_behind",
    "echo",
    "heading",
    "speaker",
    "filename",
    "dropped",
    # What is no matter of what a client asked.
    "default",
    "answer",
]


class Loss(Struct, frozen=True, gc=False):
    """What cannot be carried over: its path in the body it stood in (`messages[2].content[0]`), its kind, and why."""

    path: str
    kind: Kind
    reason: str


Losses = tuple[Loss, ...]


@dataclass(frozen=True, slots=True)
class Words:
    """A kind in words for the reference page, and why it changes no answer; without a `why` it may change one."""

    what: str
    why: str | None = None


KINDS: Final[dict[Kind, Words]] = {
    "setting": Words("a setting that the target has not, or a value of it"),
    "part": Words("a part of a turn, or its place"),
    "document": Words("what is said about a document"),
    "detail": Words("how closely an image is looked at"),
    "tool": Words("a tool"),
    "choice": Words("a choice among tools"),
    "format": Words("a format of the answer, or what is said about it"),
    "field": Words("a field that only the client's dialect knows"),
    "cache_settings": Words(
        "`prompt_cache_key`, `prompt_cache_retention`, `prompt_cache_options`",
        "A cache saves time and money; the answer is the same.",
    ),
    "cache_breakpoint": Words("`cache_control`, `prompt_cache_breakpoint`", "The same."),
    "cache_control": Words(
        "`cache_control` in other dialects' requests, as gateways take it",
        "The same.",
    ),
    "annotations": Words(
        "`annotations` of an earlier answer",
        "They name the sources of what was said, and not what is asked.",
    ),
    "client_metadata": Words("`client_metadata`", "It tells who asks, as `user` does."),
    "identity": Words(
        "`user`, `safety_identifier`, `metadata`",
        "They tell who asks and what for, to whoever runs the target; Ingot keeps its own record.",
    ),
    "speed": Words(
        "`service_tier`, `speed`",
        "How soon a target answers, and for how much; windows of Ingot hold all the same.",
    ),
    "prediction": Words("`prediction`", "It makes an answer faster, never another."),
    "diagnostics": Words("`diagnostics`", "It asks what a cache did."),
    "include": Words(
        "`include` of what hosted tools give",
        "Hosted tools are refused by themselves, so that there is nothing to include; thoughts stay with their model.",
    ),
    "stream_options": Words("`stream_options.*`", "How a stream is cut into events; the answer is the same."),
    "tool_timing": Words(
        "`eager_input_streaming` and `defer_loading` of a tool",
        "When its pieces come, and when it is shown to the model: here it is shown from the start.",
    ),
    "context_management": Words(
        "`context_management` of messages",
        "It makes room by leaving out what is old; the target gets all of it.",
    ),
    "header": Words(
        "headers such as `anthropic-beta`",
        "What they switch on has fields of its own, and each of those is carried, told or refused by itself.",
    ),
    "thoughts": Words(
        "thoughts of another model, seals and summaries",
        "They are no other model's to read; the answers that came of them are there.",
    ),
    "shown_thoughts": Words(
        "`reasoning.summary`, `reasoning.generate_summary`, `reasoning.context`, `thinking.display`",
        "What is shown of thoughts, not what comes of them.",
    ),
    "effort": Words(
        "a budget or an effort that the target has not",
        "How much a model thinks is a wish: the nearest is sent, or it thinks as it does by default.",
    ),
    "tool_error": Words(
        "`is_error` of a tool's result",
        "The result itself arrives, and says what went wrong.",
    ),
    "late_instructions": Words(
        "instructions later than at the start",
        "All their words arrive where they stood, as the user's.",
    ),
    "earlier_answer": Words(
        "what an earlier answer was: a refusal, its order, its sources, arguments that are no JSON",
        "All its words arrive.",
    ),
    "shown_behind": Words(
        "images and documents of a tool's result that are shown behind it",
        "The target sees them, in the turn behind the result.",
    ),
    "echo": Words(
        "`phase`, `caller` and `reasoning_details` of earlier answers",
        "They echo how an answer was told, and hold nothing of it.",
    ),
    "heading": Words(
        "title, context and name of a document",
        "They are sent as a text in front of it.",
    ),
    "speaker": Words(
        "`name` of a speaker",
        "Where several speak in a role it is sent in front of their words; a sole one tells nobody apart.",
    ),
    "filename": Words("`filename` beside a title", "The document has a name."),
    "dropped": Words(
        "a field that the quirk `drop` of a target names",
        "Whoever runs this server vouches that it changes nothing there.",
    ),
    "default": Words("a default that had to be filled in", "The client said nothing that could be lost."),
    "answer": Words("something of an answer", "The answer is there."),
}


def matters(loss: Loss) -> bool:
    """Whether the loss takes away what the client asked for, and may change the answer."""
    return KINDS[loss.kind].why is None


# --- fields that nobody interprets ---

EMPTY: Final = (b"null", b"[]", b"{}")
"""Values of unknown fields with which nothing is said."""

# How far an item of a conversation had come is told by what it says.
_STATE: Final = "status"
# What a field says that asks for what all dialects do: the model calls a tool itself.
_DEFAULTS: Final[dict[str, Any]] = {"allowed_callers": ["direct"]}
_INDEX: Final = re.compile(r"\[\d+\]")

# Places in requests without their numbers: whole ones, those of all members of an object, and last steps of any path.
_PLACES: Final[dict[str, Kind]] = {
    "prompt_cache_key": "cache_settings",
    "prompt_cache_retention": "cache_settings",
    "prompt_cache_options": "cache_settings",
    "cache_control": "cache_control",
    "messages.annotations": "annotations",
    "client_metadata": "client_metadata",
    "user": "identity",
    "safety_identifier": "identity",
    "metadata": "identity",
    "service_tier": "speed",
    "speed": "speed",
    "prediction": "prediction",
    "diagnostics": "diagnostics",
    "tools.eager_input_streaming": "tool_timing",
    "tools.function.eager_input_streaming": "tool_timing",
    "tools.defer_loading": "tool_timing",
    "tools.function.defer_loading": "tool_timing",
    "context_management": "context_management",
    "reasoning.summary": "shown_thoughts",
    "reasoning.generate_summary": "shown_thoughts",
    "reasoning.context": "shown_thoughts",
    "thinking.display": "shown_thoughts",
}
_MEMBERS: Final[dict[str, Kind]] = {"metadata": "identity", "stream_options": "stream_options"}
_LAST: Final[dict[str, Kind]] = {
    "cache_control": "cache_control",
    "phase": "echo",
    "caller": "echo",
    "reasoning_details": "echo",
}
# What a codec does not interpret of these is another matter than the setting itself.
_UNKNOWN: Final[dict[str, Kind]] = {"include": "include"}


def kind_at(place: str, *, otherwise: Kind) -> Kind:
    """The kind of what is lost at a place of a request; `otherwise` where the place alone says nothing."""
    plain = _INDEX.sub("", place)
    told = _PLACES.get(plain)
    if told is not None:
        return told
    first, _, rest = plain.partition(".")
    if not rest:
        return otherwise
    return _MEMBERS.get(first) or _LAST.get(plain.rpartition(".")[2], otherwise)


def lost_extras(
    extras: Extras | None, to: DialectName, *, at: str = "", silent: Collection[bytes] = EMPTY
) -> Iterable[Loss]:
    """A loss for each field that `to` cannot be given; values that are `silent` say nothing (of counts, a zero too)."""
    if extras is None or extras.dialect == to:
        return ()
    reason = f"only the {extras.dialect} dialect knows it"
    return [
        Loss(place := where(at, name), _UNKNOWN.get(place) or kind_at(place, otherwise="field"), reason)
        for name, value in extras.fields.items()
        if bytes(value) not in silent and name != _STATE and not _is_default(name, value)
    ]


def _is_default(name: str, value: Raw) -> bool:
    return name in _DEFAULTS and bool(json.decode(value) == _DEFAULTS[name])
