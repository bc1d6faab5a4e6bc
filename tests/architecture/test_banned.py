"""What no file of the project may hold: read from the syntax, so that strings and comments do not count."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from repository import CODE, ROOT, comments, functions, imported, imports, python_files, shown, texts, tree

PACKAGE = ROOT / "src" / "ingot"

# Pure: no I/O, no event loop, no clock, no randomness, no library that does any of it.
PURE = (
    "dialects",
    "catalog",
    "windows",
    "scheduling",
    "differences",
    "pricing",
    "signing",
    "idempotency",
    "sse",
    "rawjson",
    "addresses",
    "images",
    "patterns",
    "schemas",
    "errors",
    "ids",
    "presets",
    "canonical",
    "events",
    "scheduling",
)
# fmt: off
IMPURE = frozenset({
    "asyncio", "datetime", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess", "tempfile", "threading",
    "time", "urllib", "uuid",
    "httptools", "httpx", "prometheus_client", "rich", "sqlalchemy", "starlette", "structlog", "typer", "uvicorn", "uvloop",
    "xllamacpp",
})
# fmt: on
# Ids are drawn from the operating system; everything else is handed its ids.
PERMITTED = {"ids.py": {"os", "secrets"}}

# The two ends of a relayed call, and nothing between them, parse HTTP.
HTTP_PARSERS = {
    "src/ingot/upstream/client.py",
    "src/ingot/upstream/connection.py",
    "src/ingot/web/connection.py",
    "src/ingot/web/exchange.py",
    "src/ingot/web/framing.py",
}
HTTP_LIBRARIES = frozenset({"aiohttp", "h11", "httpcore", "httpx", "requests", "urllib3"})

# Who may shape an error: the dialects, the presets that dress them, and the one place that answers with them.
ERROR_SHAPERS = ("src/ingot/dialects/", "src/ingot/presets/", "src/ingot/web/errors.py")
ERROR_SHAPES = frozenset(
    f"ingot.dialects.envelope.{name}"
    for name in ("encode_error", "encoder", "error_event", "error_message", "error_object", "USUAL")
)

UNSAFE_MODULES = frozenset({"dill", "marshal", "pickle", "shelve", "telnetlib"})
UNSAFE_CALLS = frozenset({"eval", "exec", "compile", "__import__", "os.system", "os.popen"})

# structlog's own shape: an event and its fields.
KEYWORD_PARAMETERS = {"src/ingot/logs.py"}

MARKER = re.compile(r"#\s*(noqa|type: ignore)\b(.*)")
CODED = re.compile(r"(: ?[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*|\[[a-z-]+(, ?[a-z-]+)*\])(?P<reason>.*)")
UNFINISHED = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK")) + r")\b")
CODE_AND_PROSE = frozenset(
    {".py", ".md", ".sh", ".c", ".js", ".mjs", ".ts", ".html", ".css", ".yml", ".yaml"}
)


def pure_files() -> Iterator[Path]:
    """The files of the pure layer."""
    for path in python_files("src"):
        first = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if first in PURE:
            yield path


def name_of(node: ast.expr) -> str:
    """`a.b.c` for such an expression."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """The calls of a file, with what they call."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield name_of(node.func), node


def test_our_own_modules_are_imported_at_the_top() -> None:
    """A function-local import of our own module hides a cycle."""
    hidden = [
        f"{shown(path)}:{node.lineno}"
        for path in python_files("src")
        for function in functions(path)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
        and any(name.partition(".")[0] == "ingot" for name in imported(node))
    ]
    assert not hidden, "\n".join(hidden)


def test_imports_are_absolute() -> None:
    """A relative import says less about its layer."""
    relative = [
        f"{shown(path)}:{node.lineno}"
        for path in python_files(*CODE)
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ImportFrom) and node.level
    ]
    assert not relative, "\n".join(relative)


def test_parameters_have_names() -> None:
    """No function takes `**kwargs`: what passes between modules is spelled out."""
    loose = [
        f"{shown(path)}:{function.lineno} {function.name}"
        for path in python_files("src")
        if shown(path) not in KEYWORD_PARAMETERS
        for function in functions(path)
        if function.args.kwarg is not None
    ]
    assert not loose, "\n".join(loose)


def test_providers_are_data() -> None:
    """Nothing branches on who a provider is: a difference between targets is a quirk in the configuration."""
    branches = [
        f"{shown(path)}:{node.lineno}"
        for path in python_files("src")
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Compare)
        for side in (node.left, *node.comparators)
        if re.search(r"(^|[._])(provider|vendor)s?$", name_of(side), re.IGNORECASE)
    ]
    assert not branches, "\n".join(branches)


def test_nothing_is_marked_as_unfinished() -> None:
    """What is to be done stands in the tracker, not in the tree."""
    marked = [
        f"{shown(path)}:{number}"
        for path, text in texts().items()
        if path.suffix in CODE_AND_PROSE
        for number, line in enumerate(text.splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert not marked, "\n".join(marked)


def test_the_pure_layer_imports_nothing_that_acts() -> None:
    """Dialects, catalog, prices, signatures and parsers know no clock, no randomness, no file and no socket."""
    files = list(pure_files())
    assert len(files) > len(PURE), "the files were not found"
    acting = {
        shown(path): found
        for path in files
        if (
            found := {name.partition(".")[0] for name in imports(path)}
            & IMPURE - PERMITTED.get(path.name, set())
        )
    }
    assert acting == {}


def test_the_pure_layer_opens_nothing() -> None:
    """No file is opened and nothing is printed there."""
    acts = [
        f"{shown(path)}:{call.lineno} {name}"
        for path in pure_files()
        for name, call in calls(path)
        if name in {"open", "print", "input"}
    ]
    assert not acts, "\n".join(acts)


def test_http_is_parsed_at_the_two_ends_only() -> None:
    """Only the server's and the client's connections import the HTTP parser, and nobody an HTTP library."""
    found = {
        shown(path): names
        for path in python_files("src")
        if (names := {name.partition(".")[0] for name in imports(path)} & {"httptools", *HTTP_LIBRARIES})
    }
    assert found.keys() <= HTTP_PARSERS
    assert {name for names in found.values() for name in names} <= {"httptools"}


def test_errors_are_shaped_in_one_place() -> None:
    """Whoever else encoded an error would forget the preset's table, as has happened; plain text is no error either."""
    loose = [
        f"{shown(path)}: {name}"
        for path in python_files("src")
        if not shown(path).startswith(ERROR_SHAPERS)
        for name in imports(path) & {*ERROR_SHAPES, "ingot.web.errors.error_head"}
    ]
    assert not loose, "\n".join(loose)
    plain = [
        f"{shown(path)}:{call.lineno}"
        for path in python_files("src")
        for name, call in calls(path)
        if name.endswith("PlainTextResponse") or (name.endswith(".respond") and _is_status(call))
    ]
    assert not plain, "\n".join(plain)


def _is_status(call: ast.Call) -> bool:
    """Whether a call begins with the status of an error, written out."""
    first = call.args[0] if call.args else None
    return isinstance(first, ast.Constant) and isinstance(first.value, int) and first.value >= 400


def test_blocking_http_stays_with_downloads() -> None:
    """The standard library's HTTP client blocks: it fetches weights from the command line and nothing else."""
    found = {shown(path) for path in python_files("src") if imports(path) & {"http.client", "urllib.request"}}
    assert all(name.startswith("src/ingot/upstream/weights/") for name in found), found


def test_nothing_runs_data_as_code() -> None:
    """No pickle, no eval, no shell."""
    unsafe = [
        f"{shown(path)}: imports {name}"
        for path in python_files(*CODE)
        for name in imports(path)
        if name.partition(".")[0] in UNSAFE_MODULES
    ]
    for path in python_files(*CODE):
        for name, call in calls(path):
            shell = any(each.arg == "shell" and not is_false(each.value) for each in call.keywords)
            if name in UNSAFE_CALLS or shell:
                unsafe.append(f"{shown(path)}:{call.lineno} {name}")
    assert not unsafe, "\n".join(unsafe)


def is_false(node: ast.expr) -> bool:
    """Whether an expression is the constant False."""
    return isinstance(node, ast.Constant) and node.value is False


def test_every_silenced_check_has_its_reason() -> None:
    """A `noqa` and a `type: ignore` name the rule, and say behind it why."""
    bare = []
    for path in python_files(*CODE):
        for number, comment in comments(path):
            marker = MARKER.search(comment)
            if marker is None:
                continue
            coded = CODED.match(marker[2])
            if coded is None or not re.search(r"[A-Za-z]{3}", MARKER.sub("", coded["reason"])):
                bare.append(f"{shown(path)}:{number} {comment}")
    assert not bare, "\n".join(bare)
