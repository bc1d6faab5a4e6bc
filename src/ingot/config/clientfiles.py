"""`[files]`: where files of clients lie, and how large they may be. The figures are OpenAI's."""

from typing import Annotated

from msgspec import Meta

from ingot.config.section import Section, about


class FilesConfig(Section, frozen=True, kw_only=True):
    """`[files]`: files that clients upload, and results that they fetch. Changes need a restart."""

    directory: Annotated[
        str,
        about(
            "Where files lie; empty: `files` in the data directory. Several servers on one database need one that they share."
        ),
    ] = ""
    file_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000_000), about("Largest file of one request.", unit="bytes")
    ] = 536_870_912
    batch_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000_000_000_000),
        about("Largest file with the purpose `batch`.", unit="bytes"),
    ] = 209_715_200
    upload_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000_000_000_000),
        about("Largest file that is uploaded in parts.", unit="bytes"),
    ] = 8_589_934_592
    part_bytes: Annotated[
        int, Meta(ge=1024, le=1_000_000_000_000), about("Largest part of an upload.", unit="bytes")
    ] = 67_108_864
    inline_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000_000),
        about("Most of all files that a request names by their ids, images aside.", unit="bytes"),
    ] = 20_971_520
    organization_bytes: Annotated[
        int,
        Meta(ge=1024, le=1_000_000_000_000_000),
        about("Most that the files of one organization may take.", unit="bytes"),
    ] = 107_374_182_400
