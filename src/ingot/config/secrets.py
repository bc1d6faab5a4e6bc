"""Credentials in files: the only part of the configuration that reads the disk.

`api_key_file = "PATH"`, `api_key = "file:PATH"` and header values `file:PATH` are replaced by what the file
holds. A file that every user of the machine can read is refused.
"""

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from ingot.config.checks import secret_problem
from ingot.config.model import Config, TargetConfig
from ingot.config.problems import ConfigError, Problem, problem

FILE_PREFIX: Final = "file:"
LARGEST: Final = 65_536
HIDDEN: Final = "***"


def with_secrets(config: Config, directory: Path) -> Config:
    """The configuration with all credentials read; relative paths start at `directory`, the file's own."""
    problems: list[Problem] = []
    targets = {
        name: _with_secrets(target, name, directory, problems) for name, target in config.targets.items()
    }
    if problems:
        raise ConfigError(problems)
    return msgspec.structs.replace(config, targets=targets)


def redacted(config: Config) -> Config:
    """The configuration as it may be shown: credentials and header values hidden, names of files kept."""
    targets = {
        name: msgspec.structs.replace(
            target,
            api_key=target.api_key and _hidden(target.api_key),
            headers={key: _hidden(value) for key, value in target.headers.items()},
        )
        for name, target in config.targets.items()
    }
    return msgspec.structs.replace(config, targets=targets)


def unread(target: TargetConfig) -> bool:
    """Whether a credential of the target is still the name of a file."""
    values = [target.api_key or "", *target.headers.values()]
    return target.api_key_file is not None or any(value.startswith(FILE_PREFIX) for value in values)


def _hidden(value: str) -> str:
    return value if value.startswith(FILE_PREFIX) else HIDDEN


def _with_secrets(target: TargetConfig, name: str, directory: Path, problems: list[Problem]) -> TargetConfig:
    api_key = target.api_key
    place: tuple[str, ...] = ("targets", name, "api_key")
    if target.api_key_file is not None:
        place = ("targets", name, "api_key_file")
        api_key = FILE_PREFIX + target.api_key_file
    found: dict[tuple[str, ...], str] = {} if api_key is None else {place: api_key}
    found |= {("targets", name, "headers", key): value for key, value in target.headers.items()}
    for path, value in found.items():
        if value.startswith(FILE_PREFIX):
            try:
                found[path] = _read(directory, value.removeprefix(FILE_PREFIX))
            except ValueError as error:
                problems.append(problem(path, str(error)))
    headers = {key: found["targets", name, "headers", key] for key in target.headers}
    return msgspec.structs.replace(target, api_key=found.get(place), api_key_file=None, headers=headers)


def _read(directory: Path, name: str) -> str:
    """The credential in a file, without the line break at its end; ValueError says what is wrong."""
    path = directory / name
    try:
        path = directory / Path(name).expanduser()
        if path.exists() and not path.is_file():  # opening a pipe would wait for its writer
            raise ValueError(f"{path} is not a regular file")
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except RuntimeError as error:
        raise ValueError(f"cannot read {path}: {error}") from error
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ValueError(f"{path} is open to every user of this machine: chmod o= {path}")
    text = content.decode("ascii", "replace").rstrip("\r\n")
    message = "is too long" if len(content) > LARGEST else _content_problem(text)
    if message:
        raise ValueError(f"the credential in {path} {message}")
    return text


def _content_problem(text: str) -> str | None:
    return "names a file again" if text.startswith(FILE_PREFIX) else secret_problem(text)
