"""The images of a request: what is taken at the door, and what is fetched before a target is asked.

    judge   once a request is known: its model reads images; count, form, format and size of what it brings itself
    fetch   once it is admitted: URLs become data URIs, where its deployment wants that

Data URIs are judged whatever becomes of them. A URL that is left to the target is read all the same: other schemes and
addresses that are not on the public internet are refused, for a target of ours would follow them into our network. So are
those of documents and of servers of tools, which are always left to the target.
Knows no wire format; where an image stands is the dialect's to say. Source: C-61 of the seed rules.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from ingot.addresses import BadUrl, judge_place, read_url
from ingot.catalog import Deployment
from ingot.config import ImagesConfig
from ingot.dialects.dialect import Call, Dialect, Found, Image
from ingot.errors import InvalidRequest, Unsupported
from ingot.images import (
    DATA,
    BadBase64,
    BadFormat,
    BadImage,
    Picture,
    data_uri,
    declared_format,
    decode_data_uri,
    decoded_size,
    read_picture,
)
from ingot.upstream.fetch import Fetcher, FetchFault, FetchRefused, FetchTooLarge

ACCEPT = "image/png, image/jpeg, image/gif, image/webp"

SMALL = 64 * 1024
"""Bytes of images that are worked on in the event loop (some 60 us); more go to a thread."""


class Images:
    """Judges and fetches; one for a process."""

    def __init__(self, bounds: ImagesConfig, fetcher: Fetcher) -> None:
        self._bounds = bounds
        self._fetcher = fetcher

    async def check(self, call: Call, deployment: Deployment) -> None:
        """`judge` where somebody waits: a thread's work where there is much to read."""
        if sum(len(image.url) for image in call.images) <= SMALL:
            self.judge(call, deployment)
        else:
            await asyncio.get_running_loop().run_in_executor(None, self.judge, call, deployment)

    def judge(self, call: Call, deployment: Deployment) -> None:
        """Raises ClientError for the first image that is not taken, then for the first other URL; fetches nothing."""
        refuse_unread(call, deployment)
        if call.images:
            self._judge_images(call.images)
        self._judge_documents(call)

    def _judge_images(self, images: Sequence[Image]) -> None:
        most = self._bounds.most
        if len(images) > most:
            raise InvalidRequest(
                f"The request has {len(images)} images, and at most {most} are taken.",
                param=images[most].field,
                code="array_above_max_length",
            )
        self._check(images)

    def _judge_documents(self, call: Call) -> None:
        """Raises ClientError for the first URL of a document, or of a server of tools, that no target is sent to."""
        for document in call.documents:
            reason = self._objection(document.url)
            if reason is not None:
                raise InvalidRequest(
                    f"The URL at '{document.field}' {reason}.", param=document.field, code="invalid_value"
                )

    async def fetch(self, call: Call, deployment: Deployment, dialect: Dialect) -> Call:
        """The call as a target gets it: URLs fetched where the deployment wants that; raises ClientError."""
        if deployment.images != "fetch":
            return call
        wanted = {image.url: image for image in reversed(call.images) if not is_data(image)}
        if not wanted:
            return call
        held = sum(decoded_size(image.url) for image in call.images if is_data(image))
        found: dict[str, bytes] = {}
        try:
            async with asyncio.TaskGroup() as group:
                for image in wanted.values():
                    group.create_task(self._get(image, found, held=held))
        except ExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        if sum(map(len, found.values())) <= SMALL:
            return _inlined(call, found, dialect)
        return await asyncio.get_running_loop().run_in_executor(None, _inlined, call, found, dialect)

    async def _get(self, image: Image, found: dict[str, bytes], *, held: int) -> None:
        """Fetches one image and adds it to those that are there; `held` bytes came with the request itself."""
        bounds = self._bounds
        try:
            fetched = await self._fetcher.get(
                image.url, accept=ACCEPT, limit=bounds.image_bytes, seconds=bounds.fetch_seconds
            )
        except FetchFault as fault:
            raise _fetch_refusal(image, fault) from fault
        if fetched.status != 200:
            redirect = ", a redirect, and those are not followed" if 300 <= fetched.status < 400 else ""
            raise InvalidRequest(
                f"The URL at '{image.field}' was answered with status {fetched.status}{redirect}.",
                param=image.field,
                code="failed_to_download_image",
            )
        self._check_picture(image, fetched.body)
        found[image.url] = fetched.body
        self._check_total(image, held + sum(map(len, found.values())))

    def _check(self, images: Sequence[Image]) -> None:
        total = 0
        for image in images:
            if not is_data(image):
                self._check_url(image)
                continue
            # Said before it is decoded: what is too large is not worth the work.
            self._check_size(image, decoded_size(image.url))
            try:
                data = decode_data_uri(image.url)
            except BadImage as error:
                raise refusal(image, error) from error
            self._check_size(image, len(data))
            found, declared = self._check_picture(image, data).format, declared_format(image.url)
            if found != declared:
                raise InvalidRequest(
                    f"The image at '{image.field}' is declared as 'image/{declared}', and its bytes are 'image/{found}'. "
                    "Declare what it is.",
                    param=image.field,
                    code="invalid_image_format",
                )
            total += len(data)
            self._check_total(image, total)

    def _check_url(self, image: Image) -> None:
        reason = self._objection(image.url)
        if reason is not None:
            raise InvalidRequest(
                f"The URL at '{image.field}' {reason}.", param=image.field, code="invalid_image_url"
            )

    def _objection(self, url: str) -> str | None:
        """What a URL tells against itself without being resolved, whether it is fetched here or by a target."""
        try:
            return judge_place(read_url(url), self._fetcher.reach.networks)
        except BadUrl as error:
            return str(error)

    def _check_size(self, image: Image, size: int) -> None:
        if size > self._bounds.image_bytes:
            raise _too_large(
                image, f"The image at '{image.field}' has more than {self._bounds.image_bytes:,} bytes"
            )

    def _check_total(self, image: Image, total: int) -> None:
        if total > self._bounds.total_bytes:
            raise _too_large(image, f"The images have more than {self._bounds.total_bytes:,} bytes together")

    def _check_picture(self, image: Image, data: bytes) -> Picture:
        try:
            picture = read_picture(data)
        except BadImage as error:
            raise refusal(image, error) from error
        side = self._bounds.side
        if max(picture.width, picture.height) > side:
            raise InvalidRequest(
                f"The image at '{image.field}' is {picture.width} by {picture.height} pixels, and at most {side} on a "
                "side are taken. Scale it down.",
                param=image.field,
                code="image_too_large",
            )
        return picture


def refuse_unread(call: Call, deployment: Deployment) -> None:
    """Raises Unsupported for the first image, sent or named by a file's id, where none is read."""
    if deployment.images == "refuse":
        named = [file for file in call.files if file.kind == "image"]
        if call.images or named:
            raise refuse_images((*call.images, *named)[0], deployment)


def refuse_images(image: Found, deployment: Deployment) -> Unsupported:
    """What a model says that reads text only; the words are Valar's."""
    return Unsupported(
        f"model '{deployment.name}' does not support image input",
        param=image.field,
        code="unsupported_value",
    )


def is_data(image: Image) -> bool:
    """Whether the request holds the image itself."""
    return image.url[: len(DATA)].lower() == DATA


def _inlined(call: Call, found: Mapping[str, bytes], dialect: Dialect) -> Call:
    uris = {url: data_uri(read_picture(data).format, data) for url, data in found.items()}
    return dialect.inline_images(call, {image: uris[image.url] for image in call.images if image.url in uris})


_IMAGE_CODES: Final[Mapping[type[BadImage], str]] = {
    BadImage: "image_parse_error",
    BadBase64: "invalid_base64_image",
    BadFormat: "unsupported_image_media_type",
}
_FETCH_CODES: Final[Mapping[type[FetchFault], str]] = {
    FetchFault: "failed_to_download_image",
    FetchRefused: "invalid_image_url",
    FetchTooLarge: "image_file_too_large",
}


def refusal(image: Found, error: BadImage) -> InvalidRequest:
    """What is said of bytes that are no image that is taken."""
    return InvalidRequest(
        f"The image at '{image.field}' {error}.", param=image.field, code=_IMAGE_CODES[type(error)]
    )


def _fetch_refusal(image: Image, fault: FetchFault) -> InvalidRequest:
    return InvalidRequest(
        f"The URL at '{image.field}' {fault}.", param=image.field, code=_FETCH_CODES[type(fault)]
    )


def _too_large(image: Image, what: str) -> InvalidRequest:
    return InvalidRequest(f"{what}. Send a smaller image.", param=image.field, code="image_file_too_large")
