"""The files of the page: ours, and those of its terminal."""

from __future__ import annotations

import logging
from pathlib import Path

from vm.errors import ConfigurationError
from vm.images.cache import cache_directory
from vm.web.assets import FILES, PINNED, are_there, fetch_assets

STATIC = Path(__file__).parent / "static"
PACKED = STATIC / "xterm"         # in a wheel

log = logging.getLogger("vm.web")


def page_files() -> dict[str, Path]:
    """All of them by the names that the page has for them. Those of the terminal may be downloaded; raises Unreachable,
    and ConfigurationError for the cache.
    """
    own = {path.name: path for path in STATIC.iterdir() if path.is_file()}
    return own | {f"xterm/{name}": terminal_folder() / name for name in FILES}


def terminal_folder() -> Path:
    """Where the terminal's files are."""
    if are_there(PACKED):
        return PACKED
    versions = "-".join(package.version for package in PINNED)
    folder = cache_directory() / "web" / f"xterm-{versions}"
    if not are_there(folder):
        log.info("downloading xterm.js %s", versions)
        try:
            fetch_assets(folder)
        except OSError as error:
            raise ConfigurationError(f"cannot write to the cache {folder}: {error.strerror}; set VM_CACHE to a folder "
                                     "that can be written") from error
    return folder
