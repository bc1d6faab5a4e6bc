"""Credentials of the platform's sections: read from files, hidden where shown."""

from pathlib import Path

import pytest

from ingot.config import ConfigError, database_url, load, redacted, redacted_url, with_secrets


def secret_file(folder: Path, content: bytes, *, name: str = "secret") -> None:
    path = folder / name
    path.write_bytes(content)
    path.chmod(0o600)


def test_platform_secrets_when_in_file(tmp_path: Path) -> None:
    """The database, the limiter and mail may have their credentials in files too; a password is any one line."""
    secret_file(tmp_path, "gehéim \n".encode())
    secret_file(tmp_path, b"postgresql://i:geheim@db/ingot\n", name="url")
    secret_file(tmp_path, b"re_key\n", name="key")
    text = """
        [server]
        database = "file:url"
        [limiter]
        url = "file:url"
        [mail]
        resend_api_key = "file:key"
        smtp_password = "file:secret"
    """
    config = with_secrets(load(text, {}), tmp_path)
    assert config.server.database == config.limiter.url == "postgresql://i:geheim@db/ingot"
    assert (config.mail.resend_api_key, config.mail.smtp_password) == ("re_key", "gehéim ")
    assert database_url(load(text, {}), tmp_path) == config.server.database


def test_platform_secrets_when_a_file_is_wrong(tmp_path: Path) -> None:
    """Every one that cannot be used is reported at its key, and none is shown."""
    secret_file(tmp_path, b"geheim\n\xff")
    text = """
        [server]
        database = "file:secret"
        [limiter]
        url = "file:missing"
        [mail]
        resend_api_key = "file:secret"
        smtp_password = "file:secret"
    """
    with pytest.raises(ConfigError) as caught:
        with_secrets(load(text, {}), tmp_path)
    assert [each.where for each in caught.value.problems] == [
        "server.database",
        "limiter.url",
        "mail.resend_api_key",
        "mail.smtp_password",
    ]
    assert "geheim" not in str(caught.value)
    with pytest.raises(ConfigError, match="not one line of UTF-8 text"):
        database_url(load(text, {}), tmp_path)


def test_platform_secrets_are_hidden_when_shown() -> None:
    """Neither `config show` nor a record in a traceback gives a password away."""
    text = """
        [server]
        database = "postgresql://ingot:geheim@db/ingot"
        [limiter]
        url = "redis://:geheim@valkey:6379/0"
        [mail]
        resend_api_key = "geheim"
        smtp_password = "file:/run/secrets/smtp"
    """
    config = load(text, {})
    shown = redacted(config)
    assert shown.server.database == "postgresql://ingot:***@db/ingot"
    assert shown.limiter.url == "redis://:***@valkey:6379/0"
    assert (shown.mail.resend_api_key, shown.mail.smtp_password) == ("***", "file:/run/secrets/smtp")
    assert "geheim" not in repr(config)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("", ""),
        ("file:/run/secrets/url", "file:/run/secrets/url"),
        ("postgresql://db/ingot", "postgresql://db/ingot"),
        ("postgresql://ingot@db/ingot?sslmode=require", "postgresql://ingot@db/ingot?sslmode=require"),
        ("postgresql://i:ge@h/eim@db:5432/ingot", "postgresql://i:***@db:5432/ingot"),
        (
            "postgresql://i@/ingot?host=/tmp&password=geheim&x=1",
            "postgresql://i@/ingot?host=/tmp&password=***&x=1",
        ),
    ],
)
def test_redacted_url_when_it_has_a_password(url: str, shown: str) -> None:
    """The password goes, wherever it stands; the rest says which database it is."""
    assert redacted_url(url) == shown


@pytest.mark.parametrize("value", ["mysql://db/x", "ingot.db", "file:"])
def test_database_is_refused_when_it_is_no_url(value: str) -> None:
    """What cannot be a database is said before anything starts."""
    with pytest.raises(ConfigError, match="postgresql://USER:PASSWORD@HOST/NAME"):
        load(f'[server]\ndatabase = "{value}"\n', {})
