"""What choices of whole answers and of chunks have in common: ends, log probabilities, citations, failures.

Decides which end and which citation of `chat` is which canonical one. Knows neither answers nor streams.
"""

from collections.abc import Iterable
from typing import Any, Final

from msgspec import Raw

from ingot.canonical import Citation, Failure, FinishReason, Loss
from ingot.dialects.codecs.values import error_in, failure_of, text_of
from ingot.dialects.cuts import dump
from ingot.dialects.finishes import CHAT, FROM_CHAT

Json = dict[str, Any]

KNOWN_CHOICE: Final = frozenset({"index", "message", "delta", "finish_reason", "logprobs"})
# vLLM's word for the stop sequence that was met; the number of a token, where it is one, stays an unknown field.
STOPPED_BY: Final = "stop_reason"
# llama.cpp says it beside the choices, and only where it is asked so; of all that it could tell there, nothing else is.
ASKS_STOP: Final[Json] = {"verbose": True, "response_fields": ["stopping_word"]}
_VERBOSE: Final = "__verbose"


def take_met(value: Json) -> str | None:
    """The stop sequence that an answer or chunk tells beside its choices, taken out of it; empty where none was met."""
    told = value.get(_VERBOSE)
    if type(told) is not dict or len(told) != 1 or type(told.get("stopping_word")) is not str:
        return None
    del value[_VERBOSE]
    met: str = told["stopping_word"]
    return met


def decode_end(choice: Json) -> tuple[FinishReason, str | None, str | None]:
    """The end of a choice that has one: the reason, the target's own word for `other`, and the sequence that was met."""
    word = choice["finish_reason"]
    reason = FROM_CHAT.get(word)
    if reason is None:
        return "other", word, None
    by = choice.get(STOPPED_BY)
    if reason == "stop" and type(by) is str:
        return "stop_sequence", None, by
    return reason, None, None


def encode_end(reason: FinishReason | None, told: str | None, *, native: bool) -> str | None:
    """The word of `chat`; the target's own where that speaks `chat`."""
    if reason is None:
        return None
    return told if native and reason == "other" and told else CHAT[reason]


def known_fields(reason: FinishReason | None) -> frozenset[str]:
    """The fields of a choice that its end is read from, with all others that are known."""
    return _KNOWN_STOPPED if reason == "stop_sequence" else KNOWN_CHOICE


_KNOWN_STOPPED: Final = KNOWN_CHOICE | {STOPPED_BY}


def raw_tokens(logprobs: Any, name: str) -> tuple[Raw, ...]:
    """The tokens under `content` or `refusal` of a choice's log probabilities, each as it is."""
    tokens = logprobs.get(name) if type(logprobs) is dict else None
    return tuple([Raw(dump(token)) for token in tokens]) if type(tokens) is list else ()


def decode_citations(annotations: Any) -> tuple[Citation, ...]:
    """The citations of a message's annotations."""
    if type(annotations) is not list:
        return ()
    return tuple([_decode_citation(each) for each in annotations])


def _decode_citation(annotation: Any) -> Citation:
    raw = Raw(dump(annotation))
    held = annotation.get("url_citation") if type(annotation) is dict else None
    if type(held) is not dict:
        return Citation("chat", raw)
    return Citation(
        "chat",
        raw,
        url=text_of(held.get("url")),
        title=text_of(held.get("title")),
        start=_offset(held.get("start_index")),
        end=_offset(held.get("end_index")),
    )


def _offset(value: Any) -> int | None:
    return value if type(value) is int else None


def encode_citations(
    citations: Iterable[Citation], losses: list[Loss], *, path: str, start: int, length: int
) -> list[Json | Raw]:
    """The annotations that `chat` can give: pages of the web. `start` is where the citing text begins in the message."""
    annotations: list[Json | Raw] = []
    for citation in citations:
        if citation.dialect == "chat":
            annotations.append(citation.raw)
        elif citation.url is None:
            losses.append(Loss(path, "answer", "a citation of something that is no page of the web"))
        else:
            held = {
                "start_index": start + (citation.start or 0),
                "end_index": start + (length if citation.end is None else citation.end),
                "title": citation.title or "",
                "url": citation.url,
            }
            annotations.append({"type": "url_citation", "url_citation": held})
            if citation.quote is not None:
                losses.append(
                    Loss(path, "answer", "the cited words: an annotation of chat has no place for them")
                )
    return annotations


def decode_failure(error: Any) -> Failure:
    """An error object in any of the shapes that servers of this dialect write."""
    return failure_of(error, lambda told: told.get("code"))


def decode_error(body: bytes) -> Failure:
    """What an error body says; the body itself where it is no JSON."""
    return error_in(body, decode_failure)
