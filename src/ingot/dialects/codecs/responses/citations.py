"""Annotations of an output text as citations, and citations as annotations.

Decides which annotation can be said in other dialects. Knows neither items nor streams.
"""

from collections.abc import Iterable
from typing import Any

from msgspec import Raw

from ingot.canonical import Citation, Loss
from ingot.dialects.codecs.values import text_of
from ingot.dialects.cuts import dump

Json = dict[str, Any]


def decode_citations(annotations: Any) -> tuple[Citation, ...]:
    """The citations of a text's annotations."""
    if type(annotations) is not list:
        return ()
    return tuple([decode_citation(each) for each in annotations])


def decode_citation(annotation: Any) -> Citation:
    """One annotation; of what it is not known to say, its raw text tells."""
    raw = Raw(dump(annotation))
    if type(annotation) is not dict:
        return Citation("responses", raw)
    return Citation(
        "responses",
        raw,
        url=text_of(annotation.get("url")),
        title=text_of(annotation.get("title")),
        start=_offset(annotation.get("start_index")),
        end=_offset(annotation.get("end_index")),
        file_id=text_of(annotation.get("file_id")),
        filename=text_of(annotation.get("filename")),
    )


def _offset(value: Any) -> int | None:
    return value if type(value) is int else None


def encode_citations(
    citations: Iterable[Citation], losses: list[Loss], *, path: str, length: int
) -> list[Json | Raw]:
    """The annotations of a text of this length: its own ones, and pages of the web from other dialects."""
    annotations: list[Json | Raw] = []
    for citation in citations:
        if citation.dialect == "responses":
            annotations.append(citation.raw)
        elif citation.url is None:
            losses.append(Loss(path, "earlier_answer", "a citation of something that is no page of the web"))
        else:
            annotations.append(
                {
                    "type": "url_citation",
                    "start_index": citation.start or 0,
                    "end_index": length if citation.end is None else citation.end,
                    "title": citation.title or "",
                    "url": citation.url,
                }
            )
            if citation.quote is not None:
                losses.append(
                    Loss(path, "earlier_answer", "the cited words: an annotation has no place for them")
                )
    return annotations
