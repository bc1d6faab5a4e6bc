"""The directory of models: what is there, what it says about itself, what may be removed.

    <data>/models/NAME.gguf    the weights; NAME may hold slashes, which are folders
    <data>/models/NAME.json    the manifest that `ingot models pull` wrote beside it
    <data>/models/NAME.part    what came of a model that is not complete, and NAME.part.json

It decides which names and files count as a model, and refuses to know where files come from. A GGUF that somebody put
there by hand is a model too: its header speaks for it.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import msgspec

from ingot.upstream.weights.gguf import GgufError, Header, read_whole

FOLDER = "models"
DEMO_NAME = "demo-tiny"
SUFFIX = ".gguf"
PART_SUFFIX = ".part"
LONGEST_NAME = 200
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")


class LibraryError(ValueError):
    """What was asked of the directory cannot be done; the message says what would be right."""


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a model; unknown things are null."""

    name: str
    file: str
    sha256: str | None
    size: int
    source: str
    pulled_at: int
    """Seconds since the epoch."""
    licence: str | None
    context_length: int | None
    architecture: str
    parameters: int
    quantization: str
    chat_template: bool
    embeddings: bool
    price: str = "free"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the engine can be started with."""

    name: str
    path: Path
    demo: bool
    manifest: Manifest

    @property
    def context_length(self) -> int | None:
        """The context that it was trained for, in tokens."""
        return self.manifest.context_length

    @property
    def embeddings(self) -> bool:
        """Whether it serves embeddings."""
        return self.manifest.embeddings

    @property
    def created(self) -> int:
        """When it came here, in seconds since the epoch."""
        return self.manifest.pulled_at


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A file in the directory that is no model, and why."""

    path: Path
    reason: str


class Library:
    """The models below a data directory, and the bundled one."""

    def __init__(self, data: Path, *, demo: Path | None = None) -> None:
        """`demo` is the bundled model's file, where it is not the package's own."""
        self.folder = data / FOLDER
        self._demo = demo or bundled_demo()

    def list(self) -> list[Model]:
        """All models by name, the bundled one first; what cannot be read is left out."""
        return [each for each in self.look() if isinstance(each, Model)]

    def find(self, name: str) -> Model | None:
        """The model of that name."""
        return next((model for model in self.list() if model.name == name), None)

    def look(self) -> Iterator[Model | Unreadable]:
        """All models, and the files that look like one and are none."""
        if self._demo.is_file():
            yield load(self._demo, DEMO_NAME, demo=True)
        for path in sorted(self.folder.rglob(f"*{SUFFIX}")) if self.folder.is_dir() else ():
            name = path.relative_to(self.folder).as_posix().removesuffix(SUFFIX)
            if name == DEMO_NAME:
                yield Unreadable(path, f"the name {DEMO_NAME} is the bundled model's; rename the file")
            elif not NAME.fullmatch(name):
                yield Unreadable(path, f"rename it: {NAME_RULE}")
            else:
                yield load(path, name, demo=False)

    def path_of(self, name: str) -> Path:
        """Where a new model of that name goes; LibraryError where the name is not one or is taken."""
        check_name(name)
        path = self.folder / f"{name}{SUFFIX}"
        if path.exists():
            raise LibraryError(
                f"there is a model {name} already; `ingot models rm {name}` removes it, --name takes another"
            )
        return path

    def part_of(self, name: str) -> Path:
        """Where the bytes of a model are while they come."""
        return self.folder / f"{name}{PART_SUFFIX}"

    def place(self, part: Path, manifest: Manifest) -> Model:
        """Moves a finished file to its place, the manifest first: a crash between leaves no half-known model."""
        path = self.path_of(manifest.name)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_manifest(path, manifest)
        part.replace(path)
        sync_folder(path.parent)
        return Model(name=manifest.name, path=path, demo=False, manifest=manifest)

    def remove(self, name: str) -> int:
        """Deletes a model; the bytes that this frees. LibraryError where it is not there or is the bundled one."""
        if name == DEMO_NAME:
            raise LibraryError(
                f"{DEMO_NAME} is part of the package; switch it off with `demo = false` under [engine] in ingot.toml"
            )
        check_name(name)
        path = self.folder / f"{name}{SUFFIX}"
        part = self.part_of(name)
        weights = [each for each in (path, part) if each.is_file()]
        if not weights:
            raise LibraryError(f"there is no model {name}; `ingot models list` shows what there is")
        size = sum(each.stat().st_size for each in weights)
        for each in (path, manifest_path(path), part, mark_path(part)):
            each.unlink(missing_ok=True)
        for folder in path.relative_to(self.folder).parents:
            if folder != Path() and not any((self.folder / folder).iterdir()):
                (self.folder / folder).rmdir()
        return size


NAME_RULE = "a model's name is made of letters, digits, `.`, `_`, `-` and `/`, and each part begins with a letter or a digit"


def bundled_demo() -> Path:
    """The file of the model that comes with the package."""
    return Path(str(resources.files("ingot.models"))) / f"{DEMO_NAME}{SUFFIX}"


def check_name(name: str) -> None:
    """Refuses what is no name, or could leave the directory."""
    if len(name) > LONGEST_NAME or not NAME.fullmatch(name):
        raise LibraryError(f"{name[:LONGEST_NAME]!r} is not a name: {NAME_RULE}")
    if name == DEMO_NAME:
        raise LibraryError(f"the name {DEMO_NAME} is the bundled model's; choose another with --name")


def load(path: Path, name: str, *, demo: bool) -> Model | Unreadable:
    """A model from its manifest where it has one that fits, else from its header."""
    try:
        stat = path.stat()
        manifest = read_manifest(path)
        if manifest is None or manifest.size != stat.st_size:
            source = "bundled-demo" if demo else "put here by hand"
            manifest = describe(
                read_whole(path), name=name, size=stat.st_size, source=source, at=int(stat.st_mtime)
            )
    except (OSError, GgufError) as error:
        return Unreadable(path, str(error))
    if demo:  # not made for embeddings, it serves them all the same, as it shows every surface
        manifest = msgspec.structs.replace(manifest, embeddings=True)
    return Model(name=name, path=path, demo=demo, manifest=manifest)


def describe(
    header: Header,
    *,
    name: str,
    size: int,
    source: str,
    at: int,
    sha256: str | None = None,
    licence: str | None = None,
) -> Manifest:
    """The manifest of a file with this header."""
    return Manifest(
        name=name,
        file=f"{name}{SUFFIX}",
        sha256=sha256,
        size=size,
        source=source,
        pulled_at=at,
        licence=licence or header.licence,
        context_length=header.context_length,
        architecture=header.architecture,
        parameters=header.parameters,
        quantization=header.quantization,
        chat_template=header.chat_template,
        embeddings=header.pooling,
    )


def manifest_path(path: Path) -> Path:
    """Where the manifest of a model file is."""
    return path.with_name(path.name.removesuffix(SUFFIX) + ".json")


def mark_path(part: Path) -> Path:
    """Where it is noted what the bytes of a part belong to."""
    return part.with_name(part.name + ".json")


def read_manifest(path: Path) -> Manifest | None:
    """The manifest beside a model file; None where there is none that can be read."""
    try:
        return msgspec.json.decode(manifest_path(path).read_bytes(), type=Manifest)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Writes the manifest beside a model file, whole or not at all."""
    target = manifest_path(path)
    draft = target.with_name(f".{target.name}.new")
    draft.write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    draft.replace(target)


def sync_folder(folder: Path) -> None:
    """Makes a rename survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
