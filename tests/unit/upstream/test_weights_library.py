"""The directory of models."""

from pathlib import Path

import pytest

from ingot.upstream.weights.gguf import parse
from ingot.upstream.weights.library import Library, LibraryError, Unreadable, describe
from tiny_gguf import METADATA, gguf


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library without models but the demo."""
    demo = tmp_path / "package" / "demo-tiny.gguf"
    demo.parent.mkdir()
    demo.write_bytes(gguf())
    return Library(tmp_path / "data", demo=demo)


def put(library: Library, name: str, data: bytes | None = None) -> Path:
    """Puts a file there by hand."""
    path = library.folder / f"{name}.gguf"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gguf() if data is None else data)
    return path


def place(library: Library, name: str) -> None:
    """Places a model as a pull does."""
    part = library.part_of(name)
    part.parent.mkdir(parents=True, exist_ok=True)
    part.write_bytes(gguf())
    manifest = describe(
        parse(gguf()), name=name, size=len(gguf()), source="hf:a/b", at=7, sha256="ab", licence="mit"
    )
    library.place(part, manifest)


def test_library_has_the_demo_when_nothing_was_pulled(library: Library) -> None:
    """The first answer needs no download; the label keeps it apart from real models."""
    (model,) = library.list()
    assert (model.name, model.demo, model.embeddings) == ("demo-tiny", True, True)
    assert model.manifest.source == "bundled-demo"


def test_placed_model_keeps_what_was_known(library: Library) -> None:
    """The manifest says where the weights came from and what their sum was."""
    place(library, "org/small")
    model = library.find("org/small")
    assert model is not None
    assert (model.manifest.sha256, model.manifest.licence, model.created) == ("ab", "mit", 7)
    assert model.manifest.price == "free"
    assert model.context_length == 8192
    assert not library.part_of("org/small").exists()


def test_file_is_a_model_when_somebody_put_it_there(library: Library) -> None:
    """A manifest is a convenience; one of another file is not believed."""
    place(library, "other")
    put(library, "other", gguf({**METADATA, "llama.context_length": 99}))
    put(library, "dropped", gguf({**METADATA, "llama.pooling_type": 1}))
    found = {model.name: model for model in library.list()}
    assert found["dropped"].embeddings
    assert found["dropped"].manifest.source == "put here by hand"
    assert found["other"].context_length in {99, 8192}


def test_files_that_are_no_models_are_named(library: Library) -> None:
    """One bad file does not hide the others."""
    put(library, "cut", gguf()[:-5])
    put(library, "-odd name")
    put(library, "demo-tiny")
    reasons = {each.path.name: each.reason for each in library.look() if isinstance(each, Unreadable)}
    assert "is cut" in reasons["cut.gguf"]
    assert "rename" in reasons["-odd name.gguf"]
    assert "bundled" in reasons["demo-tiny.gguf"]
    assert [model.name for model in library.list()] == ["demo-tiny"]


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "/etc/x", "a//b", "a/../b", "a/.b", "a b", "a\\b", "x" * 300, "a/"]
)
def test_names_that_leave_the_directory_are_refused(library: Library, name: str) -> None:
    """A name becomes a path."""
    with pytest.raises(LibraryError, match="not a name"):
        library.path_of(name)
    with pytest.raises(LibraryError, match="not a name"):
        library.remove(name)


def test_name_is_refused_when_it_is_taken(library: Library) -> None:
    """Nothing is overwritten; the demo's name stays the demo's."""
    place(library, "small")
    with pytest.raises(LibraryError, match="already"):
        library.path_of("small")
    with pytest.raises(LibraryError, match="bundled"):
        library.path_of("demo-tiny")


def test_remove_takes_all_of_a_model(library: Library) -> None:
    """Weights, manifest, unfinished bytes and folders that are empty then."""
    place(library, "org/small")
    library.part_of("org/small").write_bytes(b"12345")
    assert library.remove("org/small") == len(gguf()) + 5
    assert list(library.folder.iterdir()) == []
    with pytest.raises(LibraryError, match="no model org/small"):
        library.remove("org/small")


def test_remove_refuses_the_demo(library: Library) -> None:
    """It is part of the package, and a line of configuration away."""
    with pytest.raises(LibraryError, match="demo = false"):
        library.remove("demo-tiny")
