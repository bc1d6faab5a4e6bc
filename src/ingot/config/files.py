"""From the disk to a Config: which file, its text, its credentials, its constitutions. Called at each start and reload."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ingot.config.constitutions import read_constitutions
from ingot.config.environment import config_file, environment_warnings
from ingot.config.load import effective
from ingot.config.model import Config
from ingot.config.problems import ConfigError
from ingot.config.secrets import with_secrets


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, the file that it came from (None: defaults alone), and what to warn of.

    `constitutions` are the texts that models carry, by model.
    """

    config: Config
    file: Path | None
    warnings: tuple[str, ...]
    constitutions: Mapping[str, str] = field(default_factory=dict, repr=False)


def from_disk(
    option: Path | None,
    environ: Mapping[str, str],
    *,
    directory: Path,
    options: Mapping[str, object | None],
    secrets: bool = True,
) -> Loaded:
    """The effective configuration for `--config` = `option`, started in `directory`.

    With `secrets` the credentials in files are read as well, and constitutions. ConfigError if anything is wrong.
    """
    file = config_file(option, environ, directory)
    config = effective("" if file is None else _text(file), environ, options)
    constitutions: Mapping[str, str] = {}
    if secrets:
        home = directory if file is None else file.parent
        config = with_secrets(config, home)
        constitutions = read_constitutions(config, home)
    return Loaded(config, file, tuple(environment_warnings(environ)), constitutions)


def _text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigError.at("", f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError.at("", f"{file} is not UTF-8 text (byte {error.start})") from error
