"""The servers that a benchmark compares: how each is configured and started in front of the mock upstream.

    direct    the mock itself: what the load generator can reach at most
    nginx     proxy_pass, one worker, keep-alive to the upstream, no buffering, no access log: the floor for a proxy
    ingot     `ingot serve` with everything on: keys, validation, limits, prepaid credit, ledger, stored answers, logs,
              metrics; every commit on disk before the last byte
    relay     the same server as a pure relay: keys, checks, logs and metrics; no limits, no credit, no records
    litellm   LiteLLM's proxy, one worker, a master key, installed in a virtual environment of its own

A gateway that cannot be had is `Skipped` with the reason, never silently.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.load import KEY, Incomplete, check, compile_mock, tool_version
from benchmarks.processes import free_port, start, stop

ROOT = Path(__file__).parent.parent
LITELLM = "litellm[proxy]==1.109.1"
# LiteLLM pins these two to the day; the newest ones that the package index has serve the measurement as well.
LITELLM_UNPINNED = "certifi\nlitellm-proxy-extras\n"
STARTUP = {"litellm": 120.0}  # seconds until the first answer; its imports alone take 20 on a busy core
USUAL_STARTUP = 20.0


class Skipped(Exception):
    """This gateway cannot be measured here."""


@dataclass(frozen=True, slots=True)
class Launch:
    """A command that serves `/v1/chat/completions` on the port that it was made for."""

    command: list[str]
    version: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs and has answered completely; `stream_bytes` is the size of one streamed answer."""

    name: str
    version: str
    port: int
    process: subprocess.Popen[bytes]
    stream_bytes: int

    @property
    def url(self) -> str:
        """Where the load goes."""
        return f"http://127.0.0.1:{self.port}/v1/chat/completions"


def direct(folder: Path, port: int, _: int) -> Launch:
    """The mock upstream."""
    return Launch([str(compile_mock(folder)), str(port)], "")


def nginx(folder: Path, port: int, upstream: int) -> Launch:
    """Nginx as a plain reverse proxy."""
    binary = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin:/sbin:/bin")
    if binary is None:
        raise Skipped("nginx is not installed (Debian: apt-get install nginx-light)")
    config = folder / "nginx.conf"
    config.write_text(f"""
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_buffer_size 128k;
  client_body_temp_path {folder}/nginx-body;
  proxy_temp_path {folder}/nginx-proxy;
  fastcgi_temp_path {folder}/nginx-fastcgi;
  uwsgi_temp_path {folder}/nginx-uwsgi;
  scgi_temp_path {folder}/nginx-scgi;
  upstream mock {{
    server 127.0.0.1:{upstream};
    keepalive 1024;
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://mock;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
    }}
  }}
}}
""")
    return Launch(
        [binary, "-p", str(folder), "-c", str(config)], tool_version(binary, "-v", search=r"/([\d.]+)")
    )


def ingot(folder: Path, port: int, upstream: int) -> Launch:
    """This project's server with an organization that has limits and pays in advance."""
    launch = _ingot(
        folder / "ingot", port, upstream, price="{ input = 0.15, cached_input = 0.03, output = 0.60 }"
    )
    for words in (
        ["db", "migrate"],
        # Limits that are counted and never reached.
        [
            "plans",
            "set",
            "operator",
            "--rpm",
            "100000000",
            "--tpm",
            "100000000000",
            "--concurrency",
            "100000",
        ],
        ["orgs", "set", "org_default", "--prepaid"],
        ["credits", "add", "--org", "org_default", "--amount", "900000"],
    ):
        command = [sys.executable, "-m", "ingot", *words, "--data", str(folder / "ingot" / "data")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Skipped(f"`ingot {' '.join(words)}` failed: {done.stderr.strip()[-300:]}")
    return launch


def relay(folder: Path, port: int, upstream: int) -> Launch:
    """This project's server with all that is kept switched off."""
    more = "[store]\nrecords = false\n"
    return _ingot(folder / "relay", port, upstream, price='"free"', more=more)


def _ingot(folder: Path, port: int, upstream: int, *, price: str, more: str = "") -> Launch:
    folder.mkdir()
    config = folder / "ingot.toml"
    config.write_text(f"""
[engine]
demo = false
{more}

[targets.mock]
base_url = "http://127.0.0.1:{upstream}/v1"
dialects = ["chat"]

[models.mock]
targets = ["mock"]
price = {price}
""")
    data = folder / "data"
    command = [sys.executable, "-m", "ingot", "serve"]
    known = subprocess.run([*command, "--help"], capture_output=True, text=True, check=False)
    if known.returncode != 0:
        raise Skipped(f"`ingot serve` does not run: {known.stderr.strip().splitlines()[-1:]}")
    options = ["--config", str(config), "--port", str(port), "--data", str(data)]
    version = subprocess.run(
        [sys.executable, "-c", "import ingot; print(ingot.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Launch([*command, *options], version.stdout.strip(), {"INGOT_BOOTSTRAP_KEY": KEY})


def litellm(folder: Path, port: int, upstream: int) -> Launch:
    """LiteLLM's proxy."""
    environment = ROOT / ".build" / "litellm"
    binary = environment / "bin" / "litellm"
    if not binary.exists():
        install_litellm(environment)
    config = folder / "litellm.yaml"
    target = {"model": "openai/mock", "api_base": f"http://127.0.0.1:{upstream}/v1", "api_key": "sk-upstream"}
    settings = {
        "model_list": [{"model_name": "mock", "litellm_params": target}],
        "general_settings": {"master_key": KEY},
    }
    config.write_text(json.dumps(settings))  # JSON is YAML
    listing = subprocess.run(
        [
            str(environment / "bin" / "python"),
            "-c",
            "from importlib.metadata import version as v; print(v('litellm'))",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    command = [
        str(binary),
        "--config",
        str(config),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--num_workers",
        "1",
    ]
    # Its price table would be fetched from the internet at every start otherwise.
    return Launch(command, listing.stdout.strip(), {"LITELLM_LOCAL_MODEL_COST_MAP": "True"})


def install_litellm(environment: Path) -> None:
    """Installs LiteLLM into a virtual environment of its own; Skipped where that fails."""
    tools = ROOT / ".tools"
    uv = shutil.which("uv") or shutil.which("uv", path=f"{tools}/bin:{tools}:{Path(sys.executable).parent}")
    if uv is None:
        raise Skipped("uv was not found, which installs LiteLLM")
    print("installing LiteLLM (once, about 600 MB) ...", file=sys.stderr, flush=True)
    environment.parent.mkdir(exist_ok=True)
    overrides = environment.parent / "litellm-overrides.txt"
    overrides.write_text(LITELLM_UNPINNED)
    python = str(environment / "bin" / "python")
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(environment)],
        [
            uv,
            "pip",
            "install",
            "--quiet",
            "--compile-bytecode",
            "--python",
            python,
            LITELLM,
            "--override",
            str(overrides),
        ],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            shutil.rmtree(environment, ignore_errors=True)
            raise Skipped(f"LiteLLM could not be installed: {' '.join(done.stderr.split())[:300]}")


PEERS: dict[str, Callable[[Path, int, int], Launch]] = {
    "direct": direct,
    "nginx": nginx,
    "ingot": ingot,
    "relay": relay,
    "litellm": litellm,
}


def open_gateway(name: str, folder: Path, *, upstream: int, core: int) -> Gateway:
    """Starts a gateway and returns it once it has answered completely; Skipped where it cannot."""
    port = upstream if name == "direct" else free_port()
    launch = PEERS[name](folder, port, upstream)
    log = folder / f"{name}.log"
    process = start(launch.command, core=core, log=log, env=launch.env)
    deadline = time.monotonic() + STARTUP.get(name, USUAL_STARTUP)
    trouble: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return Gateway(name, launch.version, port, process, check(port))
        except (OSError, Incomplete) as error:
            trouble = error
            time.sleep(0.25)
    stop(process)
    tail = " | ".join(log.read_text(errors="replace").splitlines()[-3:])
    raise Skipped(f"it did not answer ({trouble}); its last words: {tail[-400:]}")
