"""Credentials in files: the only part of the configuration that reads the disk.

`api_key_file = "PATH"`, and `file:PATH` as the value of `api_key`, of a header, of `database`, of the limiter's
`url` and of the credentials for mail, are replaced by what the file holds. A file that every user of the machine
can read is refused.
"""

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from ingot.config.checks import secret_problem
from ingot.config.model import Config, TargetConfig
from ingot.config.problems import ConfigError, Problem, problem
from ingot.config.reading import read_beginning

FILE_PREFIX: Final = "file:"
LARGEST: Final = 65_536
HIDDEN: Final = "***"

Value = TypeVar("Value", bound=str | None)


def with_secrets(config: Config, directory: Path) -> Config:
    """The configuration with all credentials read; relative paths start at `directory`, the file's own."""
    problems: list[Problem] = []
    targets = {
        name: _with_secrets(target, name, directory, problems) for name, target in config.targets.items()
    }
    server, limiter, mail = config.server, config.limiter, config.mail
    database = _value(("server", "database"), server.database, _text_problem, directory, problems)
    url = _value(("limiter", "url"), limiter.url, _text_problem, directory, problems)
    api_key = _value(("mail", "resend_api_key"), mail.resend_api_key, secret_problem, directory, problems)
    password = _value(("mail", "smtp_password"), mail.smtp_password, _text_problem, directory, problems)
    if problems:
        raise ConfigError(problems)
    replace = msgspec.structs.replace
    return replace(
        config,
        targets=targets,
        server=replace(server, database=database),
        limiter=replace(limiter, url=url),
        mail=replace(mail, resend_api_key=api_key, smtp_password=password),
    )


def database_url(config: Config, directory: Path) -> str:
    """The URL of the database alone, read where it stands in a file; for those who need no other credential."""
    problems: list[Problem] = []
    url = _value(("server", "database"), config.server.database, _text_problem, directory, problems)
    if problems:
        raise ConfigError(problems)
    return url


def redacted(config: Config) -> Config:
    """The configuration as it may be shown: credentials and header values hidden, names of files kept."""
    replace = msgspec.structs.replace
    targets = {
        name: replace(
            target,
            api_key=target.api_key and _hidden(target.api_key),
            headers={key: _hidden(value) for key, value in target.headers.items()},
        )
        for name, target in config.targets.items()
    }
    mail = config.mail
    return replace(
        config,
        targets=targets,
        server=replace(config.server, database=redacted_url(config.server.database)),
        limiter=replace(config.limiter, url=redacted_url(config.limiter.url)),
        mail=replace(
            mail,
            resend_api_key=mail.resend_api_key and _hidden(mail.resend_api_key),
            smtp_password=mail.smtp_password and _hidden(mail.smtp_password),
        ),
    )


def redacted_url(url: str) -> str:
    """A URL without the password in it; where it could be read in two ways, rather too much is hidden."""
    scheme, mark, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    if mark and ":" in login:
        url = f"{scheme}{mark}{login.partition(':')[0]}:{HIDDEN}{at}{place}"
    return re.sub(r"([?&](?:ssl)?password=)[^&]*", rf"\1{HIDDEN}", url)


def unread(target: TargetConfig) -> bool:
    """Whether a credential of the target is still the name of a file."""
    values = [target.api_key or "", *target.headers.values()]
    return target.api_key_file is not None or any(value.startswith(FILE_PREFIX) for value in values)


def _hidden(value: str) -> str:
    return value if value.startswith(FILE_PREFIX) else HIDDEN


def _value(
    path: tuple[str, ...],
    value: Value,
    check: Callable[[str], str | None],
    directory: Path,
    problems: list[Problem],
) -> Value | str:
    """A value, or what the file that it names holds; what is wrong with that is added to `problems`."""
    if value is None or not value.startswith(FILE_PREFIX):
        return value
    try:
        return _read(directory, value.removeprefix(FILE_PREFIX), check)
    except ValueError as error:
        problems.append(problem(path, str(error)))
        return value


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
                found[path] = _read(directory, value.removeprefix(FILE_PREFIX), secret_problem)
            except ValueError as error:
                problems.append(problem(path, str(error)))
    headers = {key: found["targets", name, "headers", key] for key in target.headers}
    return msgspec.structs.replace(target, api_key=found.get(place), api_key_file=None, headers=headers)


def _read(directory: Path, name: str, check: Callable[[str], str | None]) -> str:
    """The credential in a file, without the line break at its end; ValueError says what is wrong."""
    path, mode, content = read_beginning(directory, name, most=LARGEST + 1)
    if os.name == "posix" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ValueError(f"{path} is open to every user of this machine: chmod o= {path}")
    text = content.decode("utf-8", "replace").rstrip("\r\n")
    message = "is too long" if len(content) > LARGEST else _content_problem(text, check)
    if message:
        raise ValueError(f"the credential in {path} {message}")
    return text


def _content_problem(text: str, check: Callable[[str], str | None]) -> str | None:
    return "names a file again" if text.startswith(FILE_PREFIX) else check(text)


def _text_problem(value: str) -> str | None:
    """Why a credential that goes into no header cannot be used; the text never shows it."""
    if not value:
        return "is empty"
    return None if value.isprintable() and "\ufffd" not in value else "is not one line of UTF-8 text"
