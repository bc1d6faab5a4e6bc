"""Which addresses may be listened on, and which may be talked to."""

import pytest

from ingot.config import ConfigError, bind_problem, effective, load


def problems_of(text: str) -> str:
    """The message of the error that the text causes."""
    with pytest.raises(ConfigError) as caught:
        load(text, {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://example.org", 'must begin with "http://" or "https://"'),
        ("example.org/v1", 'must begin with "http://" or "https://"'),
        ("https://", "names no host"),
        ("https:///v1", "names no host"),
        ("https://user:geheim@example.org", "holds a user or password"),
        ("https://example.org/v1?key=geheim", "must not have a query or a fragment"),
        ("https://example.org/v1#", "must not have a query or a fragment"),
        ("https://example.org:99999/v1", "the host or the port cannot be read"),
        ("https://example.org:0/v1", "has port 0"),
        ("https://exa mple.org/v1", "holds a character that a URL must escape"),
        ("https://example.org\\\\@evil.org/v1", "holds a user or password"),
        ("https://[::1/v1", "is not a URL"),
        ("http://2130706433/v1", "has a numeric host"),
        ("http://0x7f000001/v1", "has a numeric host"),
        ("http://127.1/v1", "has a numeric host"),
        ("http://0177.0.0.1/v1", "has a numeric host"),
        ("https://[fe80::1%25eth0]/v1", "has a host name that cannot be used"),
    ],
)
def test_load_when_address_is_wrong(url: str, message: str) -> None:
    """An address that could hide where it leads, or that holds a secret, is refused without being repeated."""
    said = problems_of(f'[targets.a]\nbase_url = "{url}"\n')
    assert message in said
    assert "geheim" not in said


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.255.0.9", "[::1]", "localhost", "app.localhost", "10.1.2.3", "172.31.0.1"),
        *("192.168.1.1", "100.64.0.1", "100.127.255.255", "169.254.1.1", "[fc00::1]", "[fe80::1]", "vllm"),
        *("gpu.lan", "a.b.svc", "host.docker.internal", "x.cluster.local", "[::ffff:10.0.0.1]"),
    ],
)
def test_load_when_plaintext_stays_in_own_network(host: str) -> None:
    """Plain http is fine to this machine, to private ranges and to names that public DNS does not give out."""
    assert load(f'[targets.a]\nbase_url = "http://{host}:8000/v1"\n', {}).targets


@pytest.mark.parametrize(
    "host",
    [
        *("8.8.8.8", "172.32.0.1", "100.63.0.1", "100.128.0.1", "192.169.0.1", "0.0.0.0", "api.example.org"),
        *(
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fec0::1]",
            "[::ffff:8.8.8.8]",
            "[::]",
            "224.0.0.1",
            "lan.org",
        ),
    ],
)
def test_load_when_plaintext_leaves_own_network(host: str) -> None:
    """Plain http to anywhere else is refused, unless it is said to be meant."""
    text = f'[targets.a]\nbase_url = "http://{host}:8000/v1"\n'
    assert "use https, or set allow_plaintext = true" in problems_of(text)
    assert load(f"{text}allow_plaintext = true\n", {}).targets


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "[::]", "localhost.evil.org"]
)
def test_bind_problem_when_public(host: str) -> None:
    """Listening where others can reach it needs to be said."""
    message = bind_problem(effective("", {}, {"server.host": host}))
    assert message is not None
    assert "--allow-public" in message
    assert bind_problem(effective("", {"INGOT_ALLOW_PUBLIC": "1"}, {"server.host": host})) is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost", "[::1]"])
def test_bind_problem_when_loopback(host: str) -> None:
    """Loopback addresses need nothing said."""
    assert bind_problem(effective("", {}, {"server.host": host})) is None


@pytest.mark.parametrize("host", ["https://example.org", "example.org:443", "a/b", "*x", "a.*", "::1"])
def test_load_when_allowed_host_is_wrong(host: str) -> None:
    """An entry that no Host header could ever match is a mistake."""
    assert "server.allowed_hosts[1]: must be a host name" in problems_of(
        f'[server]\nallowed_hosts = ["a", "{host}"]\n'
    )


def test_load_when_allowed_hosts_are_right() -> None:
    """Names, subdomains, literal addresses and the star are taken as they are."""
    hosts = ["example.org", "*.example.org", "10.0.0.1", "[::1]", "*"]
    assert load(f"[server]\nallowed_hosts = {hosts}\n", {}).server.allowed_hosts == hosts


@pytest.mark.parametrize(
    ("text", "nearest"),
    [
        ("10.0.0.1/8", "10.0.0.0/8"),
        ("10.0.0.0/255.0.0.0", "10.0.0.0/8"),
        ("10.0.0.0/08", "10.0.0.0/8"),
        ("10/8", "10.0.0.0/8"),
        ("192.168/16", "192.168.0.0/16"),
        ("10.*", "10.0.0.0/8"),
        ("192.168.7.*", "192.168.7.0/24"),
        ("172.16.*.*", "172.16.0.0/16"),
        (" 10.0.0.0/8", "10.0.0.0/8"),
        ("localhost", "127.0.0.1"),
        ("127.0.0.1:8080", "127.0.0.1"),
        ("http://10.0.0.5:80/", "10.0.0.5"),
        ("[::1]", "::1"),
        ("[fd00::5]:443", "fd00::5"),
        ("[fd00::]/8", "fd00::/8"),
        ("FD00::/8", "fd00::/8"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
    ],
)
def test_trusted_proxy_is_refused_with_its_nearest_right_form(text: str, nearest: str) -> None:
    """What could be meant differently than it is read is not read at all; the nearest form is, once it is written."""
    said = problems_of(f'[server]\ntrusted_proxies = ["127.0.0.1", "{text}"]\n')
    assert f'server.trusted_proxies[1]: "{text}" must be written "{nearest}"' in said
    assert load(f'[server]\ntrusted_proxies = ["{nearest}"]\n', {}).server.trusted_proxies == [nearest]


@pytest.mark.parametrize(
    "text",
    ["proxy", "http://proxy.lan/", "10.0.0", "10.0.0.0/33", "010.0.0.1", "a*b", "10.0.0.1-10.0.0.9", "7"],
)
def test_trusted_proxy_is_refused_when_it_is_no_network(text: str) -> None:
    """A name may lead anywhere by the time a request comes; the text says how a network is written."""
    said = problems_of(f'[server]\ntrusted_proxies = ["{text}"]\n')
    assert 'is no address and no network: write one as "10.0.0.5" or "10.0.0.0/8"' in said


@pytest.mark.parametrize("text", ["*", "0.0.0.0/0", "::/0"])
def test_trusted_proxy_is_refused_when_it_is_everybody(text: str) -> None:
    """Whoever calls could then be whoever they like."""
    assert "trusts everybody" in problems_of(f'[server]\ntrusted_proxies = ["{text}"]\n')


def test_trusted_proxies_are_taken_from_the_environment() -> None:
    """Separated by commas; what is wrong is told under the variable's name. By default nobody is trusted."""
    assert load("", {}).server.trusted_proxies == []
    config = effective("", {"INGOT_TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,fd00::/8"}, {})
    assert config.server.trusted_proxies == ["127.0.0.1", "10.0.0.0/8", "fd00::/8"]
    with pytest.raises(
        ConfigError, match=r'INGOT_TRUSTED_PROXIES: "10.0.0.9/8" must be written "10.0.0.0/8"'
    ):
        effective("", {"INGOT_TRUSTED_PROXIES": "127.0.0.1,10.0.0.9/8"}, {})
