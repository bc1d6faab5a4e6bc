"""The sections about what the server keeps and for whom: store, limiter, accounts, mail. Changes need a restart.

Decides names and ranges of single keys, like `model`, which holds the rest.
"""

from typing import Annotated, Literal

from msgspec import Meta

from ingot.config.section import Section, about


class StoreConfig(Section, frozen=True, kw_only=True):
    """`[store]`: what is kept of requests and answers. Changes need a restart."""

    records: Annotated[
        bool,
        about(
            "Record every answer, for usage, money and the list of requests. `false` is for a pure relay: nothing is "
            "written for a request without an Idempotency-Key, and every price must be free."
        ),
    ] = True
    durability: Annotated[
        Literal["sync", "async"],
        about(
            "`sync` sends the last byte of an answer once its record is on disk; `async` does not wait, and may "
            "lose the records of the last moments when the machine fails."
        ),
    ] = "sync"
    retention_days: Annotated[
        int,
        Meta(ge=1, le=3650),
        about("How long stored responses are kept, unless an organization says otherwise.", unit="days"),
    ] = 30
    content: Annotated[
        bool, about("Keep prompts and answers; `false` keeps only what the ledger and the usage need.")
    ] = True


class LimiterConfig(Section, frozen=True, kw_only=True):
    """`[limiter]`: where rate limits are counted. Changes need a restart."""

    url: Annotated[
        str,
        about(
            "`redis://HOST:PORT/DB` of a Valkey or Redis that all processes share, or `file:PATH` of a file that holds "
            "it; empty: in the database where that is PostgreSQL, else in this process."
        ),
    ] = ""
    lease_seconds: Annotated[
        float,
        Meta(ge=3, le=600),
        about(
            "When the concurrency places of a process that died are free again, where several processes share them; one "
            "that lives renews its own.",
            unit="seconds",
        ),
    ] = 30.0

    def __repr__(self) -> str:
        """Without the password: records end up in logs and tracebacks."""
        return "LimiterConfig()"


class WorkerConfig(Section, frozen=True, kw_only=True):
    """`[worker]`: queued work, such as responses in the background. Changes need a restart."""

    enabled: Annotated[
        bool,
        about(
            "Work on the queue in this process; `false`, or `ingot serve --no-worker`, leaves it to others."
        ),
    ] = True
    concurrency: Annotated[
        int, Meta(ge=1, le=10_000), about("Most queued requests that this process works on at once.")
    ] = 64
    request_seconds: Annotated[
        float,
        Meta(gt=0, le=3600),
        about(
            "What a queued request is taken to last until some were measured: so many are let in at first as `concurrency` "
            "of them, or a target's `capacity`, would be answered within the window.",
            unit="seconds",
        ),
    ] = 10.0
    lease_seconds: Annotated[
        float,
        Meta(ge=3, le=3600),
        about(
            "When work of a process that died is taken up by another; one that lives renews its leases.",
            unit="seconds",
        ),
    ] = 60.0


class AccountsConfig(Section, frozen=True, kw_only=True):
    """`[accounts]`: people, and how they come in. Changes need a restart."""

    signup: Annotated[
        bool, about("Let anybody create an account; else an operator or an invitation does.")
    ] = False
    url: Annotated[
        str,
        about(
            "Address under which people reach this server; links in mails begin with it.",
            example='"https://ai.example.org"',
        ),
    ] = "http://127.0.0.1:5150"
    plan: Annotated[
        str, Meta(min_length=1), about("Name of the plan that a new organization begins with.")
    ] = "free"


class MailConfig(Section, frozen=True, kw_only=True):
    """`[mail]`: how mail leaves. Changes need a restart."""

    sender: Annotated[
        Literal["console", "smtp", "resend"],
        about("`console` prints mails to the log, for development; `smtp` and `resend` send them."),
    ] = "console"
    address: Annotated[str, Meta(min_length=3), about("The address that mails come from.")] = (
        "ingot@localhost"
    )
    resend_api_key: Annotated[
        str | None,
        about(
            "Credential for Resend: `${VAR}`, or `file:PATH`, rather than the key itself.",
            example='"${RESEND_API_KEY}"',
        ),
    ] = None
    resend_url: Annotated[str, Meta(min_length=8), about("Address of Resend's API.")] = (
        "https://api.resend.com"
    )
    smtp_host: Annotated[str, Meta(min_length=1), about("The SMTP server.")] = "127.0.0.1"
    smtp_port: Annotated[int, Meta(ge=1, le=65535), about("Its port.")] = 587
    smtp_user: Annotated[str | None, about("Who signs in there; unset: nobody.", example='"ingot"')] = None
    smtp_password: Annotated[
        str | None,
        about(
            "With what: `${VAR}`, or `file:PATH`, rather than the password itself.",
            example='"${SMTP_PASSWORD}"',
        ),
    ] = None
    smtp_tls: Annotated[Literal["starttls", "tls", "none"], about("How the connection is secured.")] = (
        "starttls"
    )

    def __repr__(self) -> str:
        """Without credentials: records end up in logs and tracebacks."""
        return f"MailConfig(sender={self.sender!r}, address={self.address!r})"
