"""`[batches]`: how much one batch may ask for, and all batches of an organization together."""

from typing import Annotated

from msgspec import Meta

from ingot.config.section import Section, about


class BatchesConfig(Section, frozen=True, kw_only=True):
    """`[batches]`: many requests at once, answered when there is room. Changes need a restart."""

    requests: Annotated[
        int, Meta(ge=1, le=1_000_000), about("Most requests of one batch.", unit="requests")
    ] = 100_000
    body_bytes: Annotated[
        int,
        Meta(ge=1024, le=10_000_000_000),
        about(
            "Largest body that has its requests in it; files are bound by `files.batch_bytes`.", unit="bytes"
        ),
    ] = 268_435_456
    request_bytes: Annotated[
        int, Meta(ge=1024, le=100_000_000), about("Largest single request of a batch.", unit="bytes")
    ] = 2_097_152
    queued_tokens: Annotated[
        int,
        Meta(ge=1, le=1_000_000_000_000_000),
        about(
            "Tokens, read and written, that the waiting requests of an organization's batches may be estimated at together.",
            unit="tokens",
        ),
    ] = 500_000_000
    job_requests: Annotated[
        int,
        Meta(ge=1, le=1024),
        about("Requests that one worker takes at once; what a crash makes it repeat.", unit="requests"),
    ] = 64
