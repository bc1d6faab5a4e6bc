"""From the disk to a Config: which file, its text, its credentials. Called at the start and on every reload."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ingot.config.environment import config_file, environment_warnings
from ingot.config.load import effective
from ingot.config.model import Config
from ingot.config.problems import ConfigError
from ingot.config.secrets import with_secrets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the file that it came from (None: defaults alone), and what to warn of."""

    config: Config
    file: Path | None
    warnings: tuple[str, ...]


def from_disk(
    option: Path | None,
    environ: Mapping[str, str],
    *,
    directory: Path,
    options: Mapping[str, object | None],
    secrets: bool = True,
) -> Loaded:
    """The effective configuration for `--config` = `option`, started in `directory`.

    With `secrets` the credentials in files are read as well. ConfigError if anything is wrong.
    """
    file = config_file(option, environ, directory)
    config = effective("" if file is None else _text(file), environ, options)
    if secrets:
        config = with_secrets(config, directory if file is None else file.parent)
    return Loaded(config, file, tuple(environment_warnings(environ)))


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError.at("", f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError.at("", f"{file} is not UTF-8 text (byte {error.start})") from error
