"""What is said about a document, for dialects that have a place for its name at most.

Title and context become a text in front of it, a line each; models are shown them so by the dialect that has them. Decides
these words. Refuses to know what the text is written into.
"""

from collections.abc import Iterator

from ingot.canonical import DialectName, File, Loss, where
from ingot.dialects.codecs.values import filename_of


def heading_of(part: File) -> str | None:
    """The text in front of a document; None where nothing is to be said."""
    lines = [f"{label}: {told}" for label, _, told in _told(part)]
    return "\n".join(lines) if lines else None


def lost_of_file(part: File, to: DialectName, *, at: str) -> Iterator[Loss]:
    """What is said otherwise of a document, and what is not: that an answer shall cite it."""
    for _, field, _ in _told(part):
        reason = f"the {to} dialect has no place for it: it is sent as a text in front of the document"
        yield Loss(where(at, field), "heading", reason)
    if part.citations:
        yield Loss(where(at, "citations"), "document", f"the {to} dialect has no place for it")


def _told(part: File) -> Iterator[tuple[str, str, str]]:
    """Label, field and words of what has no place."""
    # A file that is sent as one has its name, and a title where it has no other.
    named = part.text is None and part.title == filename_of(part)
    if part.title is not None and not named:
        yield "Title", "title", part.title
    if part.filename is not None and part.text is not None:
        yield "File", "filename", part.filename
    if part.context is not None:
        yield "Context", "context", part.context
