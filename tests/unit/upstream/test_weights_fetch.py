"""Pulling: from a hub, an address or a file, over connections that break."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub import Hub, running
from ingot.upstream.weights.fetch import Room, pull
from ingot.upstream.weights.library import Library, LibraryError, Model
from ingot.upstream.weights.sources import Candidate, HubFile, choose, resolve, says
from ingot.upstream.weights.sources import Hub as HubAddress
from ingot.upstream.weights.web import PullError, Web, check_url
from tiny_gguf import METADATA, gguf

WEIGHTS = gguf(rows=40_000)
SUM = hashlib.sha256(WEIGHTS).hexdigest()
FILE = "Small-1B-Q4_K_M.gguf"


class Witness:
    """Remembers what a pull tells."""

    def __init__(self, *, agrees: bool = False) -> None:
        self.begun: list[tuple[int, int | None]] = []
        self.came = 0
        self.notes: list[str] = []
        self.problems: list[str] = []
        self._agrees = agrees

    def begin(self, done: int, total: int | None) -> None:
        self.begun.append((done, total))

    def advance(self, count: int) -> None:
        self.came += count

    def note(self, text: str) -> None:
        self.notes.append(text)

    def agree(self, problem: str) -> bool:
        self.problems.append(problem)
        return self._agrees


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the machine that runs the tests has no part in them."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A hub with one small model."""
    with running(Hub({FILE: WEIGHTS, "README.md": b"hello"})) as hub:
        yield hub


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """An empty library."""
    return Library(tmp_path)


def find(
    hub: Hub, source: str = "hf:org/small", *, token: str | None = None, offline: bool = False
) -> Candidate:
    """What a source means on this hub."""
    return resolve(source, web=Web(), hub=HubAddress(hub.url, token), offline=offline)


def get(
    candidate: Candidate,
    library: Library,
    *,
    witness: Witness | None = None,
    room: Room | None = None,
    sha256: str | None = None,
) -> Model:
    """Pulls without waiting between tries."""
    return pull(
        candidate,
        library,
        web=Web(timeout=20.0),
        watcher=witness or Witness(),
        room=room or Room(),
        sha256=sha256,
        sleep=lambda _: None,
        now=lambda: 42.0,
    )


def test_pull_brings_a_model_of_the_hub(hub: Hub, library: Library) -> None:
    """The listed sum is checked, the licence and the source are kept."""
    witness = Witness()
    model = get(find(hub), library, witness=witness)
    assert model.path.read_bytes() == WEIGHTS
    assert model.name == "Small-1B-Q4_K_M"
    assert (model.manifest.sha256, model.manifest.licence) == (SUM, "apache-2.0")
    assert model.manifest.source == f"hf:org/small/{FILE}"
    assert model.created == 42
    assert witness.begun == [(0, len(WEIGHTS))]
    assert witness.came == len(WEIGHTS)
    assert sorted(each.name for each in library.folder.iterdir()) == [
        "Small-1B-Q4_K_M.gguf",
        "Small-1B-Q4_K_M.json",
    ]


def test_pull_goes_on_when_the_connection_is_cut(hub: Hub, library: Library) -> None:
    """What came is not asked for again, and the ETag guards against a file that changed meanwhile."""
    hub.cuts = [1_500_000, 100_000]
    witness = Witness()
    assert get(find(hub), library, witness=witness).manifest.sha256 == SUM
    asked = hub.asked("/resolve/")
    assert [each.get("range") for each in asked] == [None, "bytes=1500000-", "bytes=1600000-"]
    assert asked[1]["if-range"] == '"v1"'
    assert (witness.came, len(witness.notes)) == (len(WEIGHTS), 2)


def test_pull_goes_on_when_it_is_started_again(hub: Hub, library: Library) -> None:
    """A pull that gave up left its bytes."""
    hub.cuts = [1_500_000] + [0] * 20
    with pytest.raises(PullError, match="What came is kept"):
        get(find(hub), library)
    hub.cuts = []
    hub.log.clear()
    witness = Witness()
    assert get(find(hub), library, witness=witness).manifest.sha256 == SUM
    assert hub.asked("/resolve/")[0]["range"] == "bytes=1500000-"
    assert witness.begun == [(1_500_000, len(WEIGHTS))]


def test_pull_finishes_when_all_bytes_were_there(hub: Hub, library: Library) -> None:
    """A crash between the last byte and the rename costs nothing."""
    candidate = find(hub)
    hub.cuts = [1_500_000] + [0] * 20
    with pytest.raises(PullError):
        get(candidate, library)
    hub.cuts = []
    library.part_of(candidate.name).write_bytes(WEIGHTS)
    witness = Witness()
    assert get(candidate, library, witness=witness).manifest.sha256 == SUM
    assert witness.came == 0


@pytest.mark.parametrize("change", ["file", "etag", "no ranges"])
def test_pull_begins_anew_when_the_file_is_another(hub: Hub, library: Library, change: str) -> None:
    """Bytes of two files are never joined."""
    address = f"{hub.url}/files/{FILE}"
    hub.cuts = [1_500_000] + [0] * 20
    with pytest.raises(PullError):
        get(find(hub, address), library)
    hub.cuts = []
    wanted = WEIGHTS
    if change == "no ranges":
        hub.ranges = False
    else:
        wanted = gguf({**METADATA, "general.name": "Twin"}, rows=40_000)
        hub.files[FILE] = wanted
    if change == "etag":
        hub.etag = '"v2"'
    elif change == "file":
        hub.etag = None
        hub.files[FILE] = wanted = gguf(rows=41_000)
    assert get(find(hub, address), library).path.read_bytes() == wanted


def test_pull_waits_when_the_server_is_busy(hub: Hub, library: Library) -> None:
    """A 503 is not the end."""
    hub.busy = 2
    assert get(find(hub), library).manifest.sha256 == SUM


def test_pull_refuses_bytes_when_their_sum_is_wrong(hub: Hub, library: Library) -> None:
    """Nothing that was not promised becomes a model, and nothing of it stays."""
    hub.sha256 = "0" * 64
    with pytest.raises(PullError, match="was promised"):
        get(find(hub), library)
    assert list(library.folder.iterdir()) == []


def test_pull_checks_the_sum_that_the_operator_gave(hub: Hub, library: Library) -> None:
    """An address has no list; the operator may know the sum."""
    address = f"{hub.url}/files/{FILE}"
    with pytest.raises(PullError, match="was promised"):
        get(find(hub, address), library, sha256="1" * 64)
    model = get(find(hub, address + "?signature=hush"), library, sha256=SUM.upper())
    assert model.manifest.source == address
    assert model.manifest.licence == "apache-2.0"  # the file's own word


def test_pull_refuses_when_the_disk_is_full(hub: Hub, library: Library) -> None:
    """Said before the first byte."""
    with pytest.raises(PullError, match="1 kB free"):
        get(find(hub), library, room=Room(disk=lambda _: 1000))
    assert list(library.folder.iterdir()) == []


def test_pull_asks_when_memory_is_short(hub: Hub, library: Library) -> None:
    """A model that will not fit can still be wanted, for another day or machine."""
    witness = Witness()
    with pytest.raises(PullError, match="--yes"):
        get(find(hub), library, witness=witness, room=Room(memory=1_000_000))
    assert "of memory" in witness.problems[0]
    willing = Witness(agrees=True)
    get(find(hub), library, witness=willing, room=Room(memory=1_000_000))
    assert len(willing.problems) == 1


def test_pull_asks_when_only_the_header_tells_the_memory(hub: Hub, library: Library) -> None:
    """The cache of a conversation counts too, and is known once the header came."""
    witness = Witness()
    with pytest.raises(PullError, match="--yes"):
        get(find(hub), library, witness=witness, room=Room(memory=len(WEIGHTS) + 1000))
    assert witness.came < len(WEIGHTS)


def test_pull_stops_early_when_the_bytes_are_no_model(hub: Hub, library: Library) -> None:
    """A login page with the right name is noticed in its first megabyte."""
    hub.files[FILE] = b"<html>" * 2_000_000
    witness = Witness()
    with pytest.raises(PullError, match="letters GGUF"):
        get(find(hub), library, witness=witness)
    assert witness.came <= 2_000_000
    assert list(library.folder.iterdir()) == []


def test_pull_refuses_a_file_when_it_was_cut(hub: Hub, library: Library) -> None:
    """Even where the hub itself has the cut file."""
    hub.files[FILE] = WEIGHTS[:-100]
    with pytest.raises(PullError, match="is cut"):
        get(find(hub), library)


def test_pull_copies_a_file(tmp_path: Path, library: Library, hub: Hub) -> None:
    """By its path or as file:, also without a network."""
    path = tmp_path / "my model.gguf"
    path.write_bytes(WEIGHTS)
    model = get(find(hub, str(path), offline=True), library, sha256=SUM)
    assert model.name == "my-model"
    assert path.exists()
    assert find(hub, f"file:{path}").path == path
    assert find(hub, f"file://{str(path).replace(' ', '%20')}").path == path


def test_pull_refuses_when_the_name_is_taken(hub: Hub, library: Library) -> None:
    """Before a byte is asked for."""
    get(find(hub), library)
    with pytest.raises(LibraryError, match="already"):
        get(find(hub), library)


def test_token_goes_to_the_hub_and_not_to_its_store(hub: Hub, library: Library) -> None:
    """Hubs redirect to stores of other names, and a token is for the hub alone."""
    hub.token = "hf_hush"
    with running(Hub({FILE: WEIGHTS})) as store:
        hub.redirect = store.url
        model = get(find(hub, token="hf_hush"), library)
        assert model.manifest.sha256 == SUM
        assert hub.asked("/resolve/")[0]["authorization"] == "Bearer hf_hush"
        assert all("authorization" not in headers for headers in store.asked("/cdn"))
        assert "hf_hush" not in repr(find(hub, token="hf_hush"))


def test_token_stays_when_the_hub_redirects_to_itself(hub: Hub, library: Library) -> None:
    """A repository that was renamed is still the same hub's."""
    hub.token = "hf_hush"
    hub.redirect = hub.url
    get(find(hub, token="hf_hush"), library)
    assert hub.asked("/cdn")[0]["authorization"] == "Bearer hf_hush"


def test_redirect_to_plain_http_is_refused(hub: Hub, library: Library) -> None:
    """What began as https stays https on the way."""
    hub.redirect = "http://example.test"
    with pytest.raises(PullError, match="https only"):
        get(find(hub), library)


@pytest.mark.parametrize(
    ("token", "says"), [(None, "set HF_TOKEN"), ("hf_wrong", "token in HF_TOKEN may not")]
)
def test_gated_repository_says_what_to_do(hub: Hub, token: str | None, says: str) -> None:
    """Terms are accepted in a browser; the token is made there."""
    hub.token = "hf_hush"
    with pytest.raises(PullError, match=says):
        find(hub, token=token)


def test_missing_things_are_said(hub: Hub, library: Library, tmp_path: Path) -> None:
    """Each wrong source gets its own sentence."""
    with pytest.raises(PullError, match="does not exist"):
        get(find(hub, f"{hub.url}/files/none.gguf"), library)
    with pytest.raises(PullError, match="no file"):
        find(hub, str(tmp_path / "none.gguf"))
    with pytest.raises(PullError, match="not a GGUF"):
        find(hub, "https://example.test/model.safetensors")
    for source in ("hf:no-slash", "s3://bucket/x.gguf"):
        with pytest.raises(PullError, match="not understood"):
            find(hub, source)
    with pytest.raises(PullError, match="--offline"):
        find(hub, offline=True)
    with pytest.raises(PullError, match="cannot be reached"):
        resolve("hf:a/b", web=Web(timeout=5.0), hub=HubAddress("http://127.0.0.1:1"))


def test_repository_without_weights_is_refused(hub: Hub) -> None:
    """Most repositories hold another format."""
    hub.files = {"model.safetensors": b"", "mmproj-f16.gguf": b""}
    with pytest.raises(PullError, match="no GGUF file"):
        find(hub)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("https://example.test/x", True), ("http://127.0.0.1:80/x", True), ("http://[::1]/x", True),
        ("http://localhost/x", True), ("http://example.test/x", False), ("file:///etc/passwd", False),
        ("ftp://example.test/x", False), ("http://127.0.0.1.example.test/x", False),
    ],
)  # fmt: skip
def test_addresses_are_https_or_this_machine(url: str, good: bool) -> None:  # noqa: FBT001 - a table's column
    """Weights over plain http could be anybody's."""
    try:
        check_url(url, allow_http=False)
    except PullError:
        assert not good
    else:
        assert good


def files(*names: str) -> list[HubFile]:
    """A repository with these files."""
    return [HubFile(name, 1, None) for name in names]


Q4, Q8, IQ4 = "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-IQ4_XS.gguf"
PARTS = ("m-Q8_0-00001-of-00002.gguf", "m-Q8_0-00002-of-00002.gguf")


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        ((Q8, Q4, IQ4), "", Q4),
        ((Q8, IQ4), "", Q8),
        ((Q8, Q4), "q8_0", Q8),
        ((Q4, Q8), Q8.upper(), Q8),
        (("only.gguf",), "", "only.gguf"),
        (("bf16/m-BF16.gguf", IQ4), "bf16", "bf16/m-BF16.gguf"),
        (("mmproj-m-Q8_0.gguf", Q8), "Q8_0", Q8),
        (("m.Q4_K_M.gguf", "m.Q4_K_S.gguf"), "Q4_K_S", "m.Q4_K_S.gguf"),
        ((*PARTS, Q4), "", Q4),
    ],
)
def test_choice_is_by_name(names: tuple[str, ...], wanted: str, chosen: str) -> None:
    """In either case of letters; without a wish in the documented order."""
    assert choose(files(*names), wanted, repository="o/r").path == chosen


@pytest.mark.parametrize(
    ("names", "wanted", "says_"),
    [
        ((Q4, Q8), "Q2_K", "has no Q2_K"),
        (PARTS, "Q8_0", "one of 2 parts"),
        (PARTS, "", "one of 2 parts"),
        (("a-Q4_K_M.gguf", "b-Q4_K_M.gguf"), "", "several files"),
        (("a.gguf", "b.gguf"), "", "choose one of a.gguf, b.gguf"),
    ],
)
def test_choice_asks_when_it_is_not_clear(names: tuple[str, ...], wanted: str, says_: str) -> None:
    """The message names what there is."""
    with pytest.raises(PullError, match=says_):
        choose(files(*names), wanted, repository="o/r")


def test_quantization_is_a_word_of_its_own() -> None:
    """Q4_K is not Q4_K_M, and Q8_0 is not a part of another word."""
    assert says("m-Q4_K.gguf", "q4_k")
    assert not says("m-Q4_K_M.gguf", "Q4_K")
    assert not says("m-IQ4_XS.gguf", "Q4_XS")


def test_second_pull_is_refused_while_one_runs(hub: Hub, library: Library) -> None:
    """Two writers would mix their bytes."""

    class Nested(Witness):
        def __init__(self, inner: Callable[[], object]) -> None:
            super().__init__()
            self._inner = inner

        def begin(self, done: int, total: int | None) -> None:
            super().begin(done, total)
            with pytest.raises(PullError, match="another pull"):
                self._inner()

    candidate = find(hub)
    model = get(candidate, library, witness=Nested(lambda: get(candidate, library)))
    assert model.manifest.sha256 == SUM
