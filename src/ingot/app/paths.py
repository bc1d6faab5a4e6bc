"""Where a process keeps what it keeps."""

from pathlib import Path

from ingot.config import Config


def data_directory(config: Config) -> Path:
    """Where the database, the pepper and pulled models lie."""
    return Path(config.server.data).expanduser()
