"""`[webhooks]`: which addresses of customers this server calls, and how many at a time.

The figures of single tries are the preset's, as they are a promise of an API.
"""

from typing import Annotated

from msgspec import Meta, field

from ingot.config.section import Section, about


class WebhooksConfig(Section, frozen=True, kw_only=True):
    """`[webhooks]`: calls to the web addresses of customers. Changes need a restart."""

    enabled: Annotated[
        bool,
        about("Deliver from this process; `false` leaves deliveries to others on the same database."),
    ] = True
    http: Annotated[bool, about("Call `http://` too; `false`: `https://` alone.")] = False
    ports: Annotated[
        list[Annotated[int, Meta(ge=1, le=65535)]], Meta(min_length=1), about("Ports that are called.")
    ] = field(default_factory=lambda: [443, 8443])
    networks: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        about(
            'Networks of your own that are called too, as `["10.20.0.0/16"]`. All that is not the public internet is '
            "closed otherwise; a cloud's metadata address stays so unless it is named by itself."
        ),
    ] = field(default_factory=list)
    concurrency: Annotated[int, Meta(ge=1, le=1000), about("Calls at one time.")] = 64
    per_host: Annotated[int, Meta(ge=1, le=1000), about("Of these, calls to one host and port.")] = 4
    connect_seconds: Annotated[
        float, Meta(gt=0, le=60), about("For the connection, TLS included.", unit="seconds")
    ] = 5.0
