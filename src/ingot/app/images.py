"""What works on the images of requests, put together from its section of the configuration."""

import contextlib
import ipaddress
from collections.abc import AsyncIterator

from ingot.addresses import Reach
from ingot.config import ImagesConfig
from ingot.services.images import Images
from ingot.upstream.client import tls_context
from ingot.upstream.fetch import Fetcher, Resolver


@contextlib.asynccontextmanager
async def open_images(config: ImagesConfig) -> AsyncIterator[Images]:
    """Judges and fetches images until the end of the process."""
    reach = Reach(
        http=config.http,
        ports=frozenset(config.ports),
        networks=tuple(ipaddress.ip_network(each) for each in config.networks),
        literals=True,
    )
    resolver = Resolver()
    fetcher = Fetcher(reach, resolve=resolver, tls=tls_context)
    try:
        yield Images(config, fetcher)
    finally:
        await fetcher.close()
        resolver.close()
