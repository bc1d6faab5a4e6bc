"""Where values come from: interpolation, INGOT_* variables, options, files of credentials."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingot.config import (
    Config,
    ConfigError,
    config_file,
    effective,
    environment_warnings,
    from_disk,
    load,
    redacted,
    with_secrets,
)
from ingot.config.document import toml
from ingot.config.environment import variables

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=20)


def owner(text: str, environ: dict[str, str]) -> str:
    """What a model's `owned_by` with this text becomes."""
    written = f'[targets.a]\nbase_url = "https://a"\n[models.m]\ntargets = ["a"]\nprice = "free"\nowned_by = {toml(text)}\n'
    # `toml` escapes references, which are wanted here.
    return load(written.replace("$${", "${"), environ).models["m"].owned_by


@settings(deadline=None)
@given(NAMES, VALUES, VALUES)
def test_interpolation_when_variable_is_set(name: str, value: str, around: str) -> None:
    """A reference becomes the variable's value, untouched, whatever it holds; text around it stays."""
    around = around.replace("$", "").replace("{", "")
    assert owner(f"{around}${{{name}}}{around}", {name: value}) == f"{around}{value}{around}"


@settings(deadline=None)
@given(NAMES, VALUES)
def test_interpolation_when_variable_has_default(name: str, default: str) -> None:
    """The default counts where the variable is not set, and where it is empty."""
    default = default.replace("}", "").replace("${", "") or "x"
    assert owner(f"${{{name}:-{default}}}", {}) == default
    assert owner(f"${{{name}:-{default}}}", {name: ""}) == default
    assert owner(f"${{{name}:-{default}}}", {name: "set"}) == "set"


def test_interpolation_when_value_looks_like_reference_or_toml() -> None:
    """A value is taken as it is: it is neither looked up again nor parsed."""
    assert owner("${A}", {"A": '${B}"\n'.strip()}) == '${B}"'


def test_interpolation_when_reference_is_escaped() -> None:
    """A doubled dollar sign stands for a literal one before a brace, and dollars elsewhere are just dollars."""
    text = '[targets.a]\nbase_url = "https://a"\nheaders = { x = "$${A} $A 5$" }\n'
    assert load(text, {}).targets["a"].headers == {"x": "${A} $A 5$"}


def test_interpolation_when_variable_is_missing() -> None:
    """The error names the key, the variable and the one that was perhaps meant."""
    text = '[targets.a]\nbase_url = "https://a"\napi_key = "${OPENAI_KEY}"\nheaders = { x = "${Y}" }\n'
    with pytest.raises(ConfigError) as caught:
        load(text, {"OPENAI_KEYS": "geheim"})
    assert str(caught.value).split("\n") == [
        "line 3: targets.a.api_key: the environment variable OPENAI_KEY is not set; did you mean `OPENAI_KEYS`?",
        "line 4: targets.a.headers.x: the environment variable Y is not set",
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${A", "${1A}", "${A:B}", "a ${A B}"])
def test_interpolation_when_reference_is_malformed(text: str) -> None:
    """A reference that cannot be read is an error rather than text."""
    with pytest.raises(ConfigError, match=r"has a .* that is not"):
        owner(text, {"A": "b"})


def test_interpolation_when_value_would_break_a_header() -> None:
    """A line break from the environment does not reach a header, and the value is not shown."""
    for value in ("geheim\r\nx: y", "geheim\n", "geheim\udcff"):
        with pytest.raises(ConfigError) as caught:
            load('[targets.a]\nbase_url = "https://a"\napi_key = "${K}"\n', {"K": value})
        assert "targets.a.api_key: holds a line break" in str(caught.value)
        assert "geheim" not in str(caught.value)


def test_effective_when_sources_disagree() -> None:
    """Option before variable before file before default."""
    text = '[server]\nhost = "127.0.0.2"\nport = 1\nlog_level = "error"\n'
    environ = {"INGOT_HOST": "127.0.0.3", "INGOT_PORT": "2"}
    server = effective(text, environ, {"server.host": "127.0.0.4", "server.port": None}).server
    assert (server.host, server.port, server.log_level, server.drain_seconds) == (
        "127.0.0.4",
        2,
        "error",
        30.0,
    )


def test_effective_when_variables_have_types() -> None:
    """Variables of each kind are read; empty ones count as not set; lists are separated by commas."""
    environ = {
        "INGOT_ALLOW_PUBLIC": "Yes",
        "INGOT_METRICS": "off",
        "INGOT_DRAIN_SECONDS": "2.5",
        "INGOT_ALLOWED_HOSTS": "a.example.org, b.example.org,",
        "INGOT_LOG_FORMAT": "json",
        "INGOT_PORT": "",
        "INGOT_ENGINE_THREADS": "3",
        "INGOT_ENGINE_DEMO": "false",
        "INGOT_LIMITS_BODY_BYTES": "2048",
        "INGOT_IMAGES_PORTS": "443, 9443",
    }
    config = effective("", environ, {"server.data": Path("/data")})
    assert (config.server.allow_public, config.server.metrics, config.server.drain_seconds) == (
        True,
        False,
        2.5,
    )
    assert config.server.allowed_hosts == ["a.example.org", "b.example.org"]
    assert (config.server.log_format, config.server.port, config.server.data) == ("json", 5150, "/data")
    assert (config.engine.threads, config.engine.demo, config.limits.body_bytes) == (3, False, 2048)
    assert config.images.ports == [443, 9443]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("INGOT_PORT", "http", "INGOT_PORT: expected a whole number, got text"),
        ("INGOT_PORT", "70000", "INGOT_PORT: must be at most 65535, got 70000"),
        ("INGOT_METRICS", "maybe", "INGOT_METRICS: expected true or false, got text"),
        ("INGOT_DRAIN_SECONDS", "soon", "INGOT_DRAIN_SECONDS: expected a number, got text"),
        ("INGOT_DRAIN_SECONDS", "nan", "INGOT_DRAIN_SECONDS: must be at least 0, got NaN"),
        ("INGOT_LOG_LEVEL", "warn", "INGOT_LOG_LEVEL: expected"),
        (
            "INGOT_IMAGES_PORTS",
            "443,https",
            "INGOT_IMAGES_PORTS: expected a list of a whole number, got text",
        ),
        ("INGOT_IMAGES_NETWORKS", "10.0.0.1/8", "INGOT_IMAGES_NETWORKS: is not a network"),
        ("INGOT_ENGINE_THREADS", "0", "INGOT_ENGINE_THREADS: must be at least 1, got 0"),
    ],
)
def test_effective_when_variable_is_wrong(name: str, value: str, message: str) -> None:
    """The error names the variable, as the file says nothing of it."""
    with pytest.raises(ConfigError) as caught:
        effective("", {name: value}, {})
    assert str(caught.value).startswith(message)


def test_effective_when_option_is_wrong() -> None:
    """The error names the option."""
    with pytest.raises(ConfigError, match=r"^--drain-seconds: must be at least 0"):
        effective("", {}, {"server.drain_seconds": -1})
    with pytest.raises(ConfigError, match=r"^--engine-threads: "):
        effective("", {}, {"engine.threads": 0})


def test_effective_when_section_is_no_table() -> None:
    """A file that is wrong stays wrong under a variable."""
    with pytest.raises(ConfigError, match="server: expected a table"):
        effective("server = 1", {"INGOT_PORT": "1"}, {})


def test_variables_when_derived_from_records() -> None:
    """Each key of each section that is no table of names has its variable."""
    names = variables()
    config = Config()
    sections = {
        name: held for name in config.__struct_fields__ if not isinstance(held := getattr(config, name), dict)
    }
    keys = {
        f"INGOT_{'' if name == 'server' else name.upper() + '_'}{key.upper()}"
        for name, record in sections.items()
        for key in record.__struct_fields__
    }
    assert len(sections) > 5
    assert set(names) == keys


def test_warnings_when_variable_is_unknown() -> None:
    """A mistyped variable is worth a warning; those that are read elsewhere are not."""
    environ = {
        "INGOT_PROT": "1",
        "INGOT_PORT": "2",
        "INGOT_CONFIG": "x",
        "INGOT_BOOTSTRAP_KEY": "k",
        "INGOT_API_KEY": "k",
        "INGOT_OTHER_KEY": "k",
        "PATH": "",
    }
    assert environment_warnings(environ) == [
        "INGOT_PROT is set, but no such option exists; did you mean `INGOT_PORT`?"
    ]


def test_config_file_when_looked_for(tmp_path: Path) -> None:
    """The option, else INGOT_CONFIG, else ./ingot.toml if it is there."""
    assert config_file(None, {}, tmp_path) is None
    (tmp_path / "ingot.toml").touch()
    assert config_file(None, {"INGOT_CONFIG": ""}, tmp_path) == tmp_path / "ingot.toml"
    assert config_file(None, {"INGOT_CONFIG": "/b"}, tmp_path) == Path("/b")
    assert config_file(Path("/a"), {"INGOT_CONFIG": "/b"}, tmp_path) == Path("/a")


def secret_file(folder: Path, content: bytes = b"geheim\n", mode: int = 0o600) -> Path:
    path = folder / "secret"
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("line", ['api_key_file = "secret"', 'api_key = "file:secret"'])
def test_secrets_when_in_file(line: str, tmp_path: Path) -> None:
    """Both forms read the file, relative to the configuration's own, without its last line break."""
    secret_file(tmp_path, mode=0o640)
    text = f'[targets.a]\nbase_url = "https://a"\n{line}\nheaders = {{ x = "file:secret", y = "z" }}\n'
    target = with_secrets(load(text, {}), tmp_path).targets["a"]
    assert (target.api_key, target.api_key_file) == ("geheim", None)
    assert target.headers == {"x": "geheim", "y": "z"}


@pytest.mark.parametrize(
    ("content", "mode", "message"),
    [
        (b"k", 0o604, "is open to every user of this machine: chmod o="),
        (b"k", 0o602, "is open to every user of this machine"),
        (b"\n", 0o600, "is empty"),
        (b"geheim\ngeheim", 0o600, "holds a character that a header cannot carry"),
        (b"\xff\xfe", 0o600, "holds a character that a header cannot carry"),
        (b" geheim", 0o600, "begins or ends with a space"),
        (b"file:geheim", 0o600, "names a file again"),
        (b"x" * 70_000, 0o600, "is too long"),
    ],
)
def test_secrets_when_file_is_wrong(content: bytes, mode: int, message: str, tmp_path: Path) -> None:
    """A file that others can read, or that holds no usable credential, is refused without being shown."""
    secret_file(tmp_path, content, mode)
    config = load('[targets.a]\nbase_url = "https://a"\napi_key_file = "secret"\n', {})
    with pytest.raises(ConfigError) as caught:
        with_secrets(config, tmp_path)
    assert message in str(caught.value)
    assert caught.value.path == "targets.a.api_key_file"
    assert "geheim" not in str(caught.value)


def test_secrets_when_file_is_not_there(tmp_path: Path) -> None:
    """Missing files, folders, pipes and unknown homes are refused; all of them are reported."""
    os.mkfifo(tmp_path / "pipe")
    targets = "".join(
        f'[targets.t{index}]\nbase_url = "https://a"\napi_key = "file:{name}"\n'
        for index, name in enumerate(("missing", ".", "pipe", "~no-such-user-here/x"))
    )
    with pytest.raises(ConfigError) as caught:
        with_secrets(load(targets, {}), tmp_path)
    assert len(caught.value.problems) == 4


def test_redacted_when_shown() -> None:
    """What is shown names files and hides values."""
    text = (
        '[targets.a]\nbase_url = "https://a"\napi_key = "geheim"\nheaders = { x = "geheim", y = "file:f" }\n'
    )
    target = redacted(load(text, {})).targets["a"]
    assert target.api_key == "***"
    assert target.headers == {"x": "***", "y": "file:f"}


def test_from_disk_when_there_is_a_file(tmp_path: Path) -> None:
    """File, environment and options come together, with credentials and warnings."""
    secret_file(tmp_path)
    file = tmp_path / "my.toml"
    file.write_text('\ufeff[targets.a]\nbase_url = "https://a"\napi_key_file = "secret"\n', encoding="utf-8")
    loaded = from_disk(
        file, {"INGOT_PORT": "7", "INGOT_NONE": "1"}, directory=Path("/"), options={"server.host": "::1"}
    )
    assert loaded.config.targets["a"].api_key == "geheim"
    assert (loaded.config.server.host, loaded.config.server.port, loaded.file) == ("::1", 7, file)
    assert len(loaded.warnings) == 1


def test_from_disk_when_there_is_none(tmp_path: Path) -> None:
    """Without a file the defaults count; a file that was named must be there and be text."""
    assert from_disk(None, {}, directory=tmp_path, options={}).config == Config()
    with pytest.raises(ConfigError, match=r"cannot read .*missing.toml: No such file"):
        from_disk(tmp_path / "missing.toml", {}, directory=tmp_path, options={})
    (tmp_path / "binary.toml").write_bytes(b"a = 'x\xff'")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 6\)"):
        from_disk(tmp_path / "binary.toml", {}, directory=tmp_path, options={})
