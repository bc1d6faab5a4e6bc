"""The engine's child process: this file, run by Python, started by the supervisor alone.

    stdin    one JSON line of settings; then nothing. Its end means that the parent is gone
    stdout   one JSON line: {"host", "port"}
    stderr   the engine's log

It decides how the supervisor's settings become an engine: the xllamacpp wheel in this very process, or a llama-server
binary that takes this process over. It refuses to outlive its parent, and knows no HTTP, no config and no other module
of Ingot: importing any would lengthen each start.

The settings come by stdin because a command line can be read by every user of the machine and holds the key.
"""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from types import FrameType
from typing import Any

# prctl(2): the kernel sends this signal when the thread that started us ends, SIGKILL included.
PR_SET_PDEATHSIG = 1

# libgomp spins at its barriers. Unbounded, one busy neighbour on the cores costs nine tenths of the speed (measured,
# 2 cores beside a training job, 8 streams: 76 tokens/s; with 1,000 turns 655). A short spin keeps the gain of
# spinning on an idle machine, which OMP_WAIT_POLICY=passive gives away.
SPIN_TURNS = "1000"

# Prompt caches of idle slots beyond the KV cache; llama.cpp would take up to 8 GiB.
PROMPT_CACHE_MIB = 256

# Tokens that one embedding input may have.
EMBEDDING_BATCH = 2048

LOOPBACK = "127.0.0.1"


def main() -> None:
    """Reads the settings, ties this process to its parent and becomes the engine."""
    settings: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    # The supervisor ends us with SIGTERM; a Ctrl-C meant for the parent must not cut the streams that it drains.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent(settings["parent"])
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_TURNS)
    if settings["command"]:
        run_binary(settings)
    else:
        run_wheel(settings)


def die_with_parent(parent: int) -> None:
    """Asks the kernel for SIGKILL at the parent's death, where it knows how (Linux)."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - 8 ms that other systems need not pay

        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before we had asked
        os._exit(1)


def announce(host: str, port: int) -> None:
    """Tells the supervisor where to knock; whatever is printed later goes to the log."""
    sys.stdout.write(json.dumps({"host": host, "port": port}) + "\n")
    sys.stdout.flush()
    os.dup2(2, 1)


def run_wheel(settings: dict[str, Any]) -> None:
    """Serves with the xllamacpp wheel until the parent closes our stdin."""
    import xllamacpp  # noqa: PLC0415 - the other way of running does not need the wheel

    try:
        server = xllamacpp.Server(wheel_params(xllamacpp, settings))
    except RuntimeError:  # it has said why in its log
        os._exit(1)
    host, _, port = server.listening_address.rpartition("/")[2].rpartition(":")
    announce(host, int(port))
    wait_for_end()
    # Not sys.exit: the destructors of a server with a request in flight end in a segmentation fault (seen).
    os._exit(0)


def wheel_params(xllamacpp: Any, settings: dict[str, Any]) -> Any:
    """The settings as llama.cpp's own parameters."""
    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.model_alias = {settings["alias"]}
    params.hostnames = [LOOPBACK]
    params.port = 0
    params.api_keys = [settings["key"]]
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.n_parallel = settings["parallel"]
    params.n_predict = settings["predict"]
    # A cache for each slot. One that all share is exceeded by their sum, and then llama.cpp ends every request (seen with
    # 8 of 5,000 tokens in 32,768); it is also slower at 8 streams (750 tokens/s to 1,100, the machine being busy).
    params.n_ctx = settings["context"] * settings["parallel"]
    params.kv_unified = False
    params.fit_params = False  # it fits models to GPUs; here it would read the file a second time
    params.verbosity = 1  # errors; each request would write six lines more
    params.cache_ram_mib = PROMPT_CACHE_MIB
    # By default a dozen connections hold every HTTP thread, and /health waits behind their streams (measured: 3.9 s).
    params.n_threads_http = settings["parallel"] * 4 + 32
    params.ui = False
    params.endpoint_slots = False  # it would show prompts
    params.cors_origins = ""
    params.use_jinja = True
    if settings["embeddings"]:
        params.embedding = True
        # An input must fit one batch; longer ones are refused.
        params.n_batch = params.n_ubatch = min(settings["context"], EMBEDDING_BATCH)
        if settings["pooling"]:
            params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    return params


def run_binary(settings: dict[str, Any]) -> None:
    """Becomes a llama-server binary; elsewhere than on Linux this process stays as its guard."""
    port = free_port()
    argv = [*settings["command"][:1], *binary_flags(settings, port), *settings["command"][1:]]
    environ = {**os.environ, "LLAMA_API_KEY": settings["key"]}
    announce(LOOPBACK, port)
    try:
        if settings["guard"]:
            guard(argv, environ)
        # The kernel keeps the death signal across exec.
        os.execve(argv[0], argv, environ)  # noqa: S606 - the operator's own binary, without a shell
    except OSError as error:
        sys.stderr.write(f"E {argv[0]} cannot be run: {error.strerror}\n")
        sys.stderr.flush()
        os._exit(1)


def binary_flags(settings: dict[str, Any], port: int) -> list[str]:
    """The settings as llama-server flags; the operator's own flags follow and win."""
    flags = {
        "--model": settings["path"],
        "--predict": str(settings["predict"]),
        "--alias": settings["alias"],
        "--host": LOOPBACK,
        "--port": port,
        "--parallel": settings["parallel"],
        "--ctx-size": settings["context"] * settings["parallel"],
        "--threads": settings["threads"],
        "--threads-http": settings["parallel"] * 4 + 32,
        "--cache-ram": PROMPT_CACHE_MIB,
    }
    switches = ["--jinja", "--no-slots"]
    if settings["embeddings"]:
        switches.append("--embeddings")
        flags["--batch-size"] = flags["--ubatch-size"] = min(settings["context"], EMBEDDING_BATCH)
        if settings["pooling"]:
            flags["--pooling"] = "mean"
    return [word for flag, value in flags.items() for word in (flag, str(value))] + switches


def free_port() -> int:
    """A loopback port that was free a moment ago; a lost race ends the child and the supervisor tries another."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def guard(argv: list[str], environ: dict[str, str]) -> None:
    """Runs the binary as our child, and takes it down with us: for systems without a death signal."""
    child = os.posix_spawn(argv[0], argv, environ)

    def stop(number: int, _frame: FrameType | None) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, number)

    def watch() -> None:
        wait_for_end()
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    signal.signal(signal.SIGTERM, stop)
    threading.Thread(target=watch, daemon=True).start()
    _, status = os.waitpid(child, 0)
    os._exit(max(0, os.waitstatus_to_exitcode(status)) or 1)


def wait_for_end() -> None:
    """Returns when the parent has closed our stdin, by choice or by dying."""
    while sys.stdin.buffer.read(4096):
        pass


if __name__ == "__main__":
    main()
