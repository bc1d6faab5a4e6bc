"""The section about the process itself: where it listens, for whom, and how it says what it does.

Decides names and ranges of single keys, like `model`, which holds the rest.
"""

from typing import Annotated, Final, Literal

from msgspec import Meta, field

from ingot.config.section import Section, about

PRESETS: Final = ("open", "valley", "aurora", "aurora-v2", "metask", "valar")
"""Those that ship."""


class ServerConfig(Section, frozen=True, kw_only=True):
    """`[server]`: the process itself. Changes need a restart."""

    host: Annotated[
        str, Meta(min_length=1), about("Address to listen on. Any but a loopback one needs `allow_public`.")
    ] = "127.0.0.1"
    port: Annotated[
        int, Meta(ge=0, le=65535), about("Port to listen on; 0 takes a free one and prints it.")
    ] = 5150
    data: Annotated[
        str,
        Meta(min_length=1),
        about("Directory of the database, the key pepper and pulled models; a leading `~` is your home."),
    ] = "~/.local/share/ingot"
    database: Annotated[
        str,
        about(
            "`postgresql://USER:PASSWORD@HOST/NAME` for several processes on one database, or `file:PATH` of a file "
            "that holds it; empty: a SQLite file in the data directory."
        ),
    ] = ""
    preset: Annotated[
        str,
        Meta(min_length=1),
        about(
            "Whose rules the server follows: `open`, `valley`, `aurora`, `aurora-v2`, `metask`, `valar`, or one of "
            "`[presets.NAME]`."
        ),
    ] = "open"
    allow_public: Annotated[bool, about("Permit listening on an address that other machines can reach.")] = (
        False
    )
    allowed_hosts: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        about(
            "Host names, without port, that requests may carry in their Host header beside loopback ones and "
            "`host`. `*.example.org` stands for all subdomains, `*` for any host. Empty: loopback names only, "
            "or any host if `host` is not a loopback one."
        ),
    ] = field(default_factory=list)
    trusted_proxies: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        about(
            "Addresses and networks of the proxies in front, as `127.0.0.1` or `10.0.0.0/8`: what they say in "
            "`X-Forwarded-For` is believed, and the last address there that is none of them is the client's. Empty: "
            "whoever connects is the client."
        ),
    ] = field(default_factory=list)
    log_format: Annotated[
        Literal["auto", "json", "console"],
        about("How log lines look; `auto` is `console` on a terminal and `json` elsewhere."),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], about("The least severe level that is logged.")
    ] = "info"
    drain_seconds: Annotated[
        float,
        Meta(ge=0, le=3600),
        about("Time that running requests get to finish after SIGTERM.", unit="seconds"),
    ] = 30.0
    metrics: Annotated[bool, about("Serve Prometheus metrics at `/metrics`.")] = True

    def __repr__(self) -> str:
        """Without the database's password: records end up in logs and tracebacks."""
        return f"ServerConfig(host={self.host!r}, port={self.port!r}, data={self.data!r})"
