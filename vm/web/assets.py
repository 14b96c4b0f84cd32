"""The terminal of the page: xterm.js, which is not ours, from the registry that npm is configured for.

A wheel has its files: setup.py puts them there. Where they are not, as in a source tree, they are fetched once into the
cache. What is fetched is what is pinned here, to the byte, or an error.

This file needs nothing that must be compiled or installed first, for the build calls it.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import io
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from vm.errors import Unreachable
from vm.settings import given

PUBLIC_REGISTRY = "https://registry." + "npmjs.org"
SCOPE = "@xterm"
LICENCE = "package/LICENSE"
TIMEOUT = 30                    # host seconds
CHUNK = 1 << 16


class Pinned(NamedTuple):
    """A package of the registry: its `package-lock.json` would say the same of it.

    - size: of the tarball, in bytes. integrity: its SHA-512, in base64.
    - files: what is taken of it, by the name that it gets here.
    """

    name: str
    version: str
    size: int
    integrity: str
    files: dict[str, str]

    @property
    def path(self) -> str:
        """In a registry."""
        return f"{SCOPE}/{self.name}/-/{self.name}-{self.version}.tgz"


PINNED = (
    Pinned("xterm", "6.0.0", 1_418_562,
           "TQwDdQGtwwDt+2cgKDLn0IRaSxYu1tSUjgKarSDkUM0ZNiSRXFpjxEsvc/Zgc5kq5omJ+V0a8/kIM2WD3sMOYg==",
           {"xterm.mjs": "package/lib/xterm.mjs", "xterm.css": "package/css/xterm.css", "LICENSE": LICENCE}),
    Pinned("addon-fit", "0.11.0", 5_488,
           "jYcgT6xtVYhnhgxh3QgYDnnNMYTcf8ElbxxFzX0IZo+vabQqSPAjC3c1wJrKB5E19VwQei89QCiZZP86DCPF7g==",
           {"addon-fit.mjs": "package/lib/addon-fit.mjs", "LICENSE.addon-fit": LICENCE}),
    Pinned("addon-search", "0.16.0", 213_325,
           "9OeuBFu0/uZJPu+9AHKY6g/w0Czyb/Ut0A5t79I4ULoU4IfU5BEpPFVGQxP4zTTMdfZEYkVIRYbHBX1xWwjeSA==",
           {"addon-search.mjs": "package/lib/addon-search.mjs", "LICENSE.addon-search": LICENCE}),
)
FILES = tuple(name for package in PINNED for name in package.files)


def registry() -> str:
    """Where packages come from: `npm_config_registry`, what ~/.npmrc says of the scope or of all, or the public one."""
    if chosen := given("npm_config_registry"):
        return chosen.rstrip("/")
    try:
        lines = (Path.home() / ".npmrc").read_text(errors="replace").splitlines()
    except (OSError, RuntimeError):
        lines = []
    said = {name.strip(): value.strip() for name, equals, value in (line.partition("=") for line in lines) if equals}
    return (said.get(f"{SCOPE}:registry") or said.get("registry") or PUBLIC_REGISTRY).rstrip("/")


def are_there(folder: Path) -> bool:
    """Whether the folder has all files, whatever is in them: they were complete and verified when they came there."""
    return all((folder / name).is_file() for name in FILES)


def fetch_assets(folder: Path) -> None:
    """Put the files into a folder, which is made; only when all of them are right.

    Raises Unreachable where the registry does not answer, or with something else; and OSError for the folder.
    """
    contents: dict[str, bytes] = {}
    for package in PINNED:
        contents |= unpacked(package, download(f"{registry()}/{package.path}", package.size))
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        partial = folder / f".partial-{name}"
        partial.write_bytes(content)
        partial.replace(folder / name)


def download(uri: str, size: int) -> bytes:
    """What is there, one byte more than `size` at most, which tells a file that is too long. Raises Unreachable."""
    content = bytearray()
    try:
        with urllib.request.urlopen(uri, timeout=TIMEOUT) as response:
            while len(content) <= size and (chunk := response.read(min(CHUNK, size + 1 - len(content)))):
                content += chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{uri}: {getattr(error, 'reason', None) or error}") from error
    return bytes(content)


def unpacked(package: Pinned, tarball: bytes) -> dict[str, bytes]:
    """The files that are wanted. Raises Unreachable for another tarball than the pinned one."""
    digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
    if (len(tarball), digest) != (package.size, package.integrity):
        raise Unreachable(f"{package.path}: {len(tarball)} bytes with SHA-512 {digest} are not what is pinned; they "
                          "are not used")
    with tarfile.open(fileobj=io.BytesIO(tarball), mode="r:gz") as archive:
        return {name: archive.extractfile(member).read()        # type: ignore[union-attr]    # pinned: they are files
                for name, member in package.files.items()}
