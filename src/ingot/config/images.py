"""`[images]`: what images requests may bring, and where this server fetches those that are named by URL.

The figures are Valar's (20 images of 20 MB, 10 s), beside a bound on the sides and on the sum of all.
"""

from typing import Annotated, Literal

from msgspec import Meta, field

from ingot.config.section import Section, about

Handling = Literal["relay", "fetch", "refuse"]


class ImagesConfig(Section, frozen=True, kw_only=True):
    """`[images]`: images in requests, and how their URLs are fetched. Changes need a restart."""

    most: Annotated[int, Meta(ge=1, le=1000), about("Most images of one request.")] = 20
    image_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000), about("Largest image, decoded.", unit="bytes")
    ] = 20_971_520
    total_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000_000),
        about("Most of all images of a request together, decoded.", unit="bytes"),
    ] = 52_428_800
    side: Annotated[
        int, Meta(ge=1, le=65535), about("Longest side of an image, as its head says.", unit="pixels")
    ] = 4096
    fetch_seconds: Annotated[
        float, Meta(gt=0, le=600), about("In which an image must have come whole.", unit="seconds")
    ] = 10.0
    http: Annotated[bool, about("Fetch from `http://` too; `false`: from `https://` alone.")] = True
    ports: Annotated[
        list[Annotated[int, Meta(ge=1, le=65535)]], Meta(min_length=1), about("Ports that are fetched from.")
    ] = field(default_factory=lambda: [80, 443, 8080, 8443])
    networks: Annotated[
        list[Annotated[str, Meta(min_length=1)]],
        about(
            'Networks of your own that are fetched from too, as `["10.20.0.0/16"]`. All that is not the public internet '
            "is closed otherwise; a cloud's metadata address stays so unless it is named by itself."
        ),
    ] = field(default_factory=list)
