"""Where a command finds the store: the data directory, and the URL of the database where the configuration has one."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ingot.cli.output import fail
from ingot.config import ConfigError, database_url, from_disk
from ingot.store.engine import FILE_NAME


@dataclass(frozen=True, slots=True)
class Location:
    """A data directory and the database's URL; "" is the SQLite file in that directory. Keys follow the preset."""

    data: Path
    url: str = field(default="", repr=False)
    preset: str = "open"

    def exists(self) -> bool:
        """Whether there is a database: one behind a URL always is."""
        return bool(self.url) or (self.data / FILE_NAME).exists()


def located(data: Path | None, config: Path | None) -> Location:
    """The place of the store, as `ingot serve` with the same options would find it; faults end the command."""
    here = Path.cwd()
    try:
        loaded = from_disk(config, os.environ, directory=here, options={"server.data": data}, secrets=False)
        url = database_url(loaded.config, here if loaded.file is None else loaded.file.parent)
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))
    server = loaded.config.server
    return Location(Path(server.data).expanduser(), url, server.preset)
