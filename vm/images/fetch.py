"""Downloads over http, https and from files, through the proxies and certificates that the host's apt uses."""

from __future__ import annotations

import hashlib
import http.client
import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vm import settings
from vm.errors import ImageError, Unreachable
from vm.images import apt
from vm.images.cache import remember, replacing
from vm.images.progress import Progress, download_progress

CHUNK = 256 * 1024
TIMEOUT = 30

log = logging.getLogger("vm.images")


def fetch(uri: str, limit: int) -> bytes:
    """A small file, whole."""
    content = b"".join(_chunks(uri, limit + 1))
    if len(content) > limit:
        raise ImageError(f"{uri}: larger than {limit} bytes")
    return content


def download(uri: str, path: Path, size: int, sha256: str, progress: Progress | None = None) -> None:
    """Put a file of known size and digest at `path`, which appears only if both are right."""
    log.info("downloading %s, %.1f MB", uri, size / 1e6)
    digest, received = hashlib.sha256(), 0
    with replacing(path) as file, _shown(progress, path.name.partition("_")[0]) as report:
        # One byte more than expected tells a file that is too long.
        for chunk in _chunks(uri, size + 1, size):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if report:
                report(min(received, size), size)
        if received < size:
            raise Unreachable(f"{uri}: the download broke off after {received} of {size} bytes")
        if received > size or digest.hexdigest() != sha256:
            raise ImageError(f"{uri}: SHA-256 or size is not what the signed index says; the file is not used")
    remember(path, sha256)


def _shown(progress: Progress | None, label: str) -> AbstractContextManager[Callable[[int, int], None] | None]:
    if progress is None:
        return download_progress(label)
    return nullcontext(progress or None)


def _chunks(uri: str, limit: int, size: int | None = None) -> Iterator[bytes]:
    """At most `limit` bytes of a file; none of one that is announced with another size than `size`."""
    try:
        with _open(uri) as response:
            announced = response.headers.get("Content-Length")
            if size is not None and announced not in (None, str(size)):
                raise Unreachable(f"{uri}: its size is not what the signed index says ({announced} bytes, not {size}); "
                                  "the file is not used")
            while limit and (chunk := response.read(min(CHUNK, limit))):
                limit -= len(chunk)
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{uri}: {_reason(error)}", _is_missing(error)) from error


def _open(uri: str) -> Any:
    return _opener(urlsplit(uri).hostname or "").open(uri, timeout=TIMEOUT)


@cache
def _opener(host: str) -> urllib.request.OpenerDirector:
    options = apt.configuration()
    context = ssl.create_default_context()
    if authorities := options.get(f"acquire::https::cainfo::{host}") or options.get("acquire::https::cainfo"):
        try:
            context.load_verify_locations(authorities)
        except OSError as error:
            raise ImageError(f"{authorities}: cannot read apt's Acquire::https::CAInfo: {error}") from error
    return urllib.request.build_opener(
        urllib.request.ProxyHandler(proxies(options, host)), urllib.request.HTTPSHandler(context=context)
    )


def proxies(options: dict[str, str], host: str) -> dict[str, str]:
    """The proxy for each scheme: apt's own for the host, apt's general one, or the environment's."""
    chosen = settings.proxies(host)
    for scheme in ("http", "https"):
        # apt falls back to the http proxy for https, as apt-transport-https(1) says.
        for name in (f"{scheme}::proxy::{host}", f"{scheme}::proxy", f"http::proxy::{host}", "http::proxy"):
            if proxy := options.get(f"acquire::{name}".lower()):
                chosen[scheme] = proxy
                if proxy.upper() == "DIRECT":
                    del chosen[scheme]
                break
    return chosen


def _is_missing(error: Exception) -> bool:
    if isinstance(error, urllib.error.HTTPError):
        return error.code in (404, 410)
    return isinstance(getattr(error, "reason", error), FileNotFoundError)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server says {error.code} {error.reason}"
    reason = getattr(error, "reason", None) or error
    return getattr(reason, "strerror", None) or str(reason) or type(error).__name__
