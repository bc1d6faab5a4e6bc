"""What a person may ask for and which file that is: `hf:ORG/REPO[:QUANT]`, an https address, a file.

It decides which of a repository's files is meant, by names alone, and asks the hub's public API for their sizes and
sha256 sums. It downloads nothing.
"""

import re
import urllib.error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import msgspec

from ingot.upstream.weights.web import PullError, Web, check_url, next_page, refused

HUB = "https://huggingface.co"
PREFERENCE = (
    "Q4_K_M",
    "Q8_0",
    "Q5_K_M",
    "Q6_K",
    "Q4_K_S",
    "Q4_0",
    "IQ4_XS",
    "MXFP4",
    "Q3_K_M",
    "BF16",
    "F16",
)
"""The quantization taken where none is named: good answers in little memory first."""
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
MULTI_PART = re.compile(r"-(\d{5})-of-(\d{5})\.gguf$", re.IGNORECASE)
LARGEST_LISTING = 16 << 20
MOST_PAGES = 20
MOST_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file to get: what it is called, where it is, what is promised about it."""

    name: str
    source: str
    url: str | None
    path: Path | None
    size: int | None
    sha256: str | None
    licence: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """May hold a token."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file in a repository of the hub."""

    path: str
    size: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Hub:
    """A model hub: its address and, for gated models, a token."""

    endpoint: str = HUB
    token: str | None = field(default=None, repr=False)

    @staticmethod
    def of(environ: Mapping[str, str]) -> "Hub":
        """The hub that HF_ENDPOINT and HF_TOKEN name."""
        return Hub((environ.get("HF_ENDPOINT") or HUB).rstrip("/"), environ.get("HF_TOKEN") or None)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with each request."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


def resolve(source: str, *, web: Web, hub: Hub, offline: bool = False) -> Candidate:
    """Finds the one file that `source` means."""
    if source.startswith("hf:"):
        refuse_offline(source, offline=offline)
        return resolve_hub(source.removeprefix("hf:"), web=web, hub=hub)
    if source.startswith(("https://", "http://")):
        refuse_offline(source, offline=offline)
        check_url(source, allow_http=web.allow_http)
        return resolve_address(source)
    if re.match(r"[a-z][a-z0-9+-]+:", source) and not source.startswith("file:"):
        raise PullError(
            f"{source!r} is not understood; give hf:ORG/REPO, hf:ORG/REPO:QUANT, an https address or a file"
        )
    return resolve_file(source)


def refuse_offline(source: str, *, offline: bool) -> None:
    """Says no to the network."""
    if offline:
        raise PullError(f"--offline: {source} is on the network; give a file")


def resolve_file(source: str) -> Candidate:
    """A file of this machine."""
    text = source.removeprefix("file://") if source.startswith("file://") else source.removeprefix("file:")
    path = Path(unquote(text) if source.startswith("file://") else text).expanduser()
    if not path.is_file():
        raise PullError(f"there is no file {path}; for a repository of the hub write hf:ORG/REPO")
    refuse_parts(path.name)
    return Candidate(
        name=name_for(path.name), source=f"file:{path.resolve()}", url=None, path=path, size=path.stat().st_size, sha256=None
    )  # fmt: skip


def resolve_address(source: str) -> Candidate:
    """A file on the web; its size is known when it is asked for."""
    parts = urlsplit(source)
    file = PurePosixPath(unquote(parts.path)).name
    if not file.lower().endswith(".gguf"):
        raise PullError(f"{file or source} is not a GGUF file by its name; the engine reads no other format")
    refuse_parts(file)
    # The manifest keeps the address without its query, which may hold a signature.
    shown = parts._replace(query="", fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()
    return Candidate(name=name_for(file), source=shown, url=source, path=None, size=None, sha256=None)


def resolve_hub(reference: str, *, web: Web, hub: Hub) -> Candidate:
    """The file of a repository that a quantization, a file name or the order of preference names."""
    repository, _, wanted = reference.partition(":")
    if not REPOSITORY.fullmatch(repository):
        raise PullError(f"hf:{reference} is not understood; write hf:ORG/REPO or hf:ORG/REPO:QUANT")
    files = list_files(repository, web=web, hub=hub)
    chosen = choose(files, wanted, repository=repository)
    return Candidate(
        name=name_for(PurePosixPath(chosen.path).name),
        source=f"hf:{repository}/{chosen.path}",
        url=f"{hub.endpoint}/{repository}/resolve/main/{quote(chosen.path)}",
        path=None,
        size=chosen.size,
        sha256=chosen.sha256,
        licence=licence_of(repository, web=web, hub=hub),
        headers=hub.headers,
    )


def list_files(repository: str, *, web: Web, hub: Hub) -> list[HubFile]:
    """All files of a repository."""
    url: str | None = f"{hub.endpoint}/api/models/{repository}/tree/main?recursive=true"
    files: list[HubFile] = []
    for _ in range(MOST_PAGES):
        if url is None:
            break
        entries, url = listing(url, repository, web=web, hub=hub)
        files += [found for entry in entries if (found := hub_file(entry))]
    return files


def listing(url: str, repository: str, *, web: Web, hub: Hub) -> tuple[list[Any], str | None]:
    """One page of a repository's list, and the address of the next."""
    try:
        data, headers = web.read(url, hub.headers, limit=LARGEST_LISTING)
        entries = msgspec.json.decode(data)
    except urllib.error.HTTPError as error:
        raise denied(error, repository, hub) from error
    except msgspec.MsgspecError as error:
        raise PullError(
            f"{hub.endpoint} did not answer with a list of files; is HF_ENDPOINT a model hub?"
        ) from error
    return (entries if isinstance(entries, list) else []), next_page(headers, url)


def denied(error: urllib.error.HTTPError, repository: str, hub: Hub) -> PullError:
    """What to do about a repository that does not open."""
    if error.code not in {401, 403}:
        return refused(error, f"hf:{repository}")
    page = f"{hub.endpoint}/{repository}"
    if hub.token:
        return PullError(
            f"hf:{repository}: the token in HF_TOKEN may not read it ({error.code}). Accept its terms at {page} with the "
            "account that the token belongs to, and let the token read gated repositories"
        )
    return PullError(
        f"hf:{repository} is gated, private or does not exist ({error.code}). If it exists, accept its terms at {page}, make "
        f"a token at {hub.endpoint}/settings/tokens and set HF_TOKEN"
    )


def hub_file(entry: Any) -> HubFile | None:
    """A file of the hub's list; None for folders and for what is not understood."""
    if not isinstance(entry, dict) or entry.get("type") != "file":
        return None
    lfs = entry.get("lfs")
    stored = lfs if isinstance(lfs, dict) else entry
    path, size, digest = entry.get("path"), stored.get("size"), stored.get("oid") if stored is lfs else None
    if not isinstance(path, str) or not isinstance(size, int):
        return None
    return HubFile(path, size, str(digest).removeprefix("sha256:").lower() if digest else None)


def choose(files: Sequence[HubFile], wanted: str, *, repository: str) -> HubFile:
    """The one GGUF file that is meant."""
    models = [file for file in files if is_model(file.path)]
    if not models:
        raise PullError(f"hf:{repository} holds no GGUF file; look for a repository of its GGUF conversions")
    for quantization in (wanted,) if wanted else PREFERENCE:
        found = [file for file in models if says(file.path, quantization)]
        whole = [file for file in found if not MULTI_PART.search(file.path)]
        if len(whole) == 1:
            return whole[0]
        if wanted and found and not whole:
            refuse_parts(found[0].path)
        if whole:
            raise PullError(
                f"hf:{repository}: several files are {quantization}: {shown(whole)}. Name one as hf:{repository}:FILE"
            )
    whole = [file for file in models if not MULTI_PART.search(file.path)]
    if wanted:
        raise PullError(f"hf:{repository} has no {wanted}; it has {shown(models)}")
    if len(whole) == 1:
        return whole[0]
    if not whole:
        refuse_parts(models[0].path)
    raise PullError(f"hf:{repository}: choose one of {shown(whole)}, as hf:{repository}:FILE")


def is_model(path: str) -> bool:
    """Whether a file holds a model's weights, by its name: not the projector of its eyes, not a calibration."""
    name = PurePosixPath(path).name.lower()
    return name.endswith(".gguf") and not name.startswith(("mmproj", "imatrix"))


def says(path: str, wanted: str) -> bool:
    """Whether a file's name is `wanted` or carries it as a word of its own, in either case."""
    name = PurePosixPath(path).name
    if wanted.lower() in {path.lower(), name.lower()}:
        return True
    stem = re.sub(r"\.gguf$", "", MULTI_PART.sub("", name), flags=re.IGNORECASE)
    return re.search(rf"(?:^|[-._]){re.escape(wanted)}$", stem, re.IGNORECASE) is not None


def refuse_parts(path: str) -> None:
    """Says what to do with a model that was split."""
    part = MULTI_PART.search(path)
    if part:
        raise PullError(
            f"{PurePosixPath(path).name} is one of {int(part[2])} parts; models in several files are not supported. Choose a "
            "smaller quantization, or join the parts with `llama-gguf-split --merge` and pull the file"
        )


def licence_of(repository: str, *, web: Web, hub: Hub) -> str | None:
    """The licence that a repository names; None where it does not, or the hub does not say."""
    try:
        data, _ = web.read(f"{hub.endpoint}/api/models/{repository}", hub.headers, limit=LARGEST_LISTING)
        tags = msgspec.json.decode(data).get("tags") or []
    except (urllib.error.HTTPError, PullError, msgspec.MsgspecError, AttributeError):
        return None
    return next((tag.removeprefix("license:") for tag in tags if str(tag).startswith("license:")), None)


def name_for(file: str) -> str:
    """A model name made of a file's."""
    stem = re.sub(r"\.gguf$", "", file, flags=re.IGNORECASE)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-") or "model"


def shown(files: Sequence[HubFile]) -> str:
    """A few file names."""
    names = [file.path for file in files[:MOST_SHOWN]]
    return ", ".join(names) + (", ..." if len(files) > MOST_SHOWN else "")
