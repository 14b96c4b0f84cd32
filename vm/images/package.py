"""A package of a Debian archive."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Package:
    """A row of the package index."""

    name: str
    version: str
    filename: str                   # its path below the mirror
    size: int
    sha256: str
    depends: tuple[str, ...]        # names; of alternatives the first
