"""Where a command finds the store: the data directory, and the URL of the database where the configuration has one."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ingot.cli.output import fail
from ingot.config import Config, ConfigError, database_url, from_disk, redacted_url
from ingot.store.engine import FILE_NAME


@dataclass(frozen=True, slots=True)
class Location:
    """A data directory, the database's URL ("" is the SQLite file in that directory), and all of the configuration, with
    the file that it came from.
    """

    data: Path
    config: Config = field(repr=False)
    url: str = field(default="", repr=False)
    file: Path | None = None

    @property
    def empty(self) -> bool:
        """Whether there is no database yet; one behind a URL is taken for there."""
        return not self.url and not (self.data / FILE_NAME).exists()

    @property
    def shown(self) -> str:
        """The place for people, without a password."""
        return redacted_url(self.url) if self.url else str(self.data)


def located(data: Path | None, config: Path | None) -> Location:
    """The place of the store, as `ingot serve` with the same options would find it; faults end the command."""
    here = Path.cwd()
    try:
        loaded = from_disk(config, os.environ, directory=here, options={"server.data": data}, secrets=False)
        url = database_url(loaded.config, here if loaded.file is None else loaded.file.parent)
    except ConfigError as error:
        fail("\n".join(str(each) for each in error.problems))
    return Location(Path(loaded.config.server.data).expanduser(), loaded.config, url, file=loaded.file)
