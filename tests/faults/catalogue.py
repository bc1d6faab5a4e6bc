"""Which faults there are, and on which stores each of them means anything."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from faults import crowds, kills, sinks, stores, targets
from faults.run import Run


@dataclass(frozen=True, slots=True)
class Fault:
    """A row of the matrix."""

    name: str
    run: Callable[[Run], None]
    stores: tuple[str, ...] = ("sqlite", "postgres")

    @property
    def summary(self) -> str:
        """What is done, in the words of its docstring before the colon that says what must hold."""
        told = (self.run.__doc__ or "").removeprefix(f"{self.name}: ")
        return told.partition(": ")[0]


FAULTS: Final = (
    Fault("F01", kills.workers_killed),
    Fault("F02", kills.server_killed),
    Fault("F03", kills.worker_asleep),
    Fault("F04", kills.rolling_restart),
    Fault("F05", targets.target_fails),
    Fault("F06", targets.target_refuses),
    Fault("F07", targets.target_silent),
    Fault("F08", targets.target_breaks_off),
    Fault("F10", stores.database_stopped, ("postgres",)),
    Fault("F12", stores.database_unheard, ("postgres",)),
    Fault("F13", stores.limits_away, ("postgres",)),
    Fault("F14", stores.disk_full, ("sqlite",)),
    Fault("F15", stores.killed_in_commits, ("sqlite",)),
    Fault("F17", kills.loop_stalled),
    Fault("F18", sinks.receivers_fail),
    Fault("F20", kills.poison),
    Fault("F21", crowds.flood),
    Fault("F22", crowds.crunch),
    Fault("F23", crowds.all_leave),
    Fault("F24", stores.worker_cut_off, ("postgres",)),
)


def on(store: str) -> list[Fault]:
    """The faults of a store."""
    return [fault for fault in FAULTS if store in fault.stores]
