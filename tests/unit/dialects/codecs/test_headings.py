"""What is said about a document where only its name has a place."""

import pytest

from ingot.canonical import File, matters
from ingot.dialects.codecs.headings import heading_of, lost_of_file


@pytest.mark.parametrize(
    ("part", "heading", "paths"),
    [
        (File(text="Rain."), None, []),
        (File(data="JVBERi0=", title="A"), None, []),
        (File(data="JVBERi0=", title="a.pdf", filename="a.pdf"), None, []),
        (File(data="JVBERi0=", title="A", filename="a.pdf"), "Title: A", ["x.title"]),
        (File(file_id="file_1", title="A"), "Title: A", ["x.title"]),
        (File(text="Rain.", title="A"), "Title: A", ["x.title"]),
        (
            File(text="Rain.", title="a.txt", filename="a.txt"),
            "Title: a.txt\nFile: a.txt",
            ["x.title", "x.filename"],
        ),
        (File(text="Rain.", context="Old."), "Context: Old.", ["x.context"]),
        (
            File(url="https://a.example/a.pdf", title="A", context="Old."),
            "Title: A\nContext: Old.",
            ["x.title", "x.context"],
        ),
    ],
)
def test_heading_says_what_has_no_place_when_there_is_any(
    part: File, heading: str | None, paths: list[str]
) -> None:
    """A file that goes as one takes its name with it; each line is told, and none refuses the request."""
    losses = list(lost_of_file(part, "chat", at="x"))
    assert heading_of(part) == heading
    assert [loss.path for loss in losses] == paths
    assert [loss for loss in losses if matters(loss)] == []


def test_wish_for_citations_matters_when_the_target_has_none() -> None:
    """No words in front of a document make a target cite it as asked."""
    assert heading_of(File(text="Rain.", citations=True)) is None
    (loss,) = lost_of_file(File(text="Rain.", citations=True), "chat", at="x")
    assert (loss.path, matters(loss)) == ("x.citations", True)
    assert list(lost_of_file(File(text="Rain.", citations=False), "chat", at="x")) == []
