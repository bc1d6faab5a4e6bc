"""What this machine can do for the engine: how many threads it deserves, and whether the engine can run here at all.

It decides from files of the kernel and from what is installed, and never loads the engine into this process: a native
abort there would take the API down, and the check must work where the wheel is missing.
"""

import importlib.util
import os
import platform
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

# The wheel's Linux x86-64 build uses these without asking; an older CPU would end in SIGILL.
NEEDED_CPU_FLAGS = frozenset({"avx2", "fma", "f16c"})


@dataclass(frozen=True, slots=True)
class Available:
    """The engine can run: the wheel's version."""

    version: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The engine cannot run here: why, and what a person can do about it."""

    reason: str
    remedy: str


def engine_available(root: Path = Path("/")) -> Available | Missing:
    """Says whether the embedded engine can run on this machine, without loading it."""
    if importlib.util.find_spec("xllamacpp") is None:
        return Missing(
            f"the engine wheel (xllamacpp) is not installed for {sys.platform} {platform.machine()}",
            "pip install xllamacpp, or set engine.command to a llama-server binary, or use upstream targets only",
        )
    lacking = missing_cpu_flags(root)
    if lacking:
        return Missing(
            f"the engine wheel needs a CPU with {', '.join(sorted(lacking))}",
            "set engine.command to a llama-server built for this CPU, or use upstream targets only",
        )
    return Available(metadata.version("xllamacpp"))


def missing_cpu_flags(root: Path) -> frozenset[str]:
    """The CPU features that the wheel needs and an x86-64 Linux machine lacks; none where that is unknown."""
    if sys.platform != "linux" or platform.machine() not in {"x86_64", "AMD64"}:
        return frozenset()
    for line in read(root / "proc/cpuinfo").splitlines():
        if line.startswith("flags"):
            return NEEDED_CPU_FLAGS - set(line.partition(":")[2].split())
    return frozenset()


def default_threads(root: Path = Path("/"), *, cpus: frozenset[int] | None = None) -> int:
    """The physical cores that this process may use: affinity and the control group's quota are obeyed."""
    allowed = usable_cpus() if cpus is None else cpus
    cores = {siblings(root, cpu) for cpu in allowed}
    quota = cpu_quota(root)
    return max(1, min(len(cores), int(quota)) if quota is not None else len(cores))


def usable_cpus() -> frozenset[int]:
    """The CPUs that the scheduler may give to this process."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return frozenset(affinity(0) if affinity else range(os.cpu_count() or 1))


def siblings(root: Path, cpu: int) -> str:
    """A name for the core of a CPU: the same for its hyper-threads. The CPU itself where the kernel does not say."""
    return read(root / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").strip() or str(cpu)


def cpu_quota(root: Path) -> float | None:
    """The tightest CPU limit, in CPUs, of the control groups that hold this process (versions 1 and 2)."""
    limits: list[float] = []
    for line in read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        version2 = not controllers
        if not version2 and "cpu" not in controllers.split(","):
            continue
        base = root / "sys/fs/cgroup" / ("" if version2 else "cpu")
        group = Path(path.lstrip("/"))
        for folder in (group, *group.parents):
            limit = quota_of(base / folder, version2=version2)
            if limit is not None:
                limits.append(limit)
    return min(limits, default=None)


def quota_of(folder: Path, *, version2: bool) -> float | None:
    """The CPU limit of one control group, or None where it has none."""
    if version2:
        words = read(folder / "cpu.max").split()
    else:
        words = [read(folder / "cpu.cfs_quota_us").strip(), read(folder / "cpu.cfs_period_us").strip()]
    if len(words) != 2 or not all(word.isdigit() for word in words) or not int(words[1]):
        return None  # "max", or -1: no limit
    return int(words[0]) / int(words[1])


def free_memory(root: Path = Path("/")) -> int | None:
    """Bytes that a new process could take without swapping: the machine's, or less by a control group's limit."""
    room: list[int] = []
    meminfo = read(root / "proc/meminfo").splitlines()
    room += [int(line.split()[1]) * 1024 for line in meminfo if line.startswith("MemAvailable:")]
    for line in read(root / "proc/self/cgroup").splitlines():
        if not line.startswith("0::"):
            continue
        group = Path(line[3:].strip().lstrip("/"))
        for folder in (group, *group.parents):
            base = root / "sys/fs/cgroup" / folder
            limit, used = read(base / "memory.max").strip(), read(base / "memory.current").strip()
            if limit.isdigit() and used.isdigit():
                room.append(max(0, int(limit) - int(used)))
    return min(room, default=None)


def read(path: Path) -> str:
    """The text of a file of the kernel, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
