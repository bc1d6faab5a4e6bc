"""What the kernel's files say about the machine, read from folders that tests write."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from ingot.upstream.engine.machine import (
    NEEDED_CPU_FLAGS,
    cpu_quota,
    default_threads,
    engine_available,
    free_memory,
    missing_cpu_flags,
)

CPUS = frozenset(range(4))


def machine(root: Path, files: Mapping[str, str]) -> Path:
    """A root folder with these files of the kernel."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def topology(pairs: Mapping[int, str]) -> dict[str, str]:
    """Which CPUs share a core."""
    return {
        f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{name}\n"
        for cpu, name in pairs.items()
    }


def test_threads_count_cores_when_two_cpus_share_one(tmp_path: Path) -> None:
    """Two hyper-threads of a core are one thread of computing."""
    root = machine(tmp_path, topology({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}))
    assert default_threads(root, cpus=CPUS) == 2
    assert default_threads(root, cpus=frozenset({0, 2})) == 1


def test_threads_count_cpus_when_the_kernel_names_no_cores(tmp_path: Path) -> None:
    """Without topology files each CPU counts."""
    assert default_threads(tmp_path, cpus=CPUS) == 4


@pytest.mark.parametrize(("quota", "threads"), [("250000 100000", 2), ("50000 100000", 1), ("max 100000", 4)])
def test_threads_obey_the_quota_when_the_group_has_one(tmp_path: Path, quota: str, threads: int) -> None:
    """A container's CPU limit is in a control group above or at the process."""
    files = {"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": quota + "\n"}
    assert default_threads(machine(tmp_path, files), cpus=CPUS) == threads


def test_quota_is_read_when_groups_are_of_version_1(tmp_path: Path) -> None:
    """The older layout has a folder for each controller; -1 says no limit."""
    files = {
        "proc/self/cgroup": "4:memory:/m\n1:cpu,cpuacct:/job\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "150000\n",
        "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000\n",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
    }
    assert cpu_quota(machine(tmp_path, files)) == 1.5


def test_free_memory_is_the_groups_when_it_has_less(tmp_path: Path) -> None:
    """The machine's free memory says nothing to a container with a limit."""
    files = {"proc/meminfo": "MemTotal: 8000 kB\nMemAvailable:    4000 kB\n", "proc/self/cgroup": "0::/a\n"}
    root = machine(tmp_path, files)
    assert free_memory(root) == 4_096_000
    machine(
        tmp_path, {"sys/fs/cgroup/a/memory.max": "1000000\n", "sys/fs/cgroup/a/memory.current": "400000\n"}
    )
    assert free_memory(root) == 600_000


def test_free_memory_is_unknown_when_nothing_says_it(tmp_path: Path) -> None:
    """Other systems have no such files."""
    assert free_memory(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux names CPU features in a file")
def test_cpu_flags_are_missing_when_the_cpu_is_old(tmp_path: Path) -> None:
    """The wheel would end in an illegal instruction there."""
    old = machine(tmp_path, {"proc/cpuinfo": "processor: 0\nflags\t\t: fpu sse2 avx\n"})
    assert missing_cpu_flags(old) in {NEEDED_CPU_FLAGS, frozenset()}  # empty on ARM, which has no such flags
    assert missing_cpu_flags(tmp_path / "nowhere") == frozenset()


def test_engine_is_available_or_says_what_to_do() -> None:
    """`ingot doctor` prints the remedy; the engine is not loaded to find out."""
    said = engine_available()
    assert getattr(said, "version", "") or getattr(said, "remedy", "")
    assert "xllamacpp" not in sys.modules
