"""What the host's apt is set up with: Debian mirrors, proxies, certificates; sources.list(5) and apt.conf(5)."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

MIRROR_SCHEMES = ("http:", "https:", "file:", "copy:")


def mirrors(etc: Path = Path("/etc/apt")) -> list[str]:
    """The URIs that hold Debian packages, in apt's order, without those that hold only security updates.

    Empty on a host without apt.
    """
    found = []
    for file in [etc / "sources.list", *sorted((etc / "sources.list.d").glob("*"))]:
        if not file.is_file():
            continue
        text = file.read_text(errors="replace")
        if file.suffix == ".list":
            entries = _one_line_entries(text)
        elif file.suffix == ".sources":
            entries = _deb822_entries(text)
        else:
            continue
        for uris, suites in entries:
            if all(suite.endswith(("-security", "/updates")) for suite in suites):
                continue
            found += [mirror for uri in uris for mirror in _expand(uri)]
    return list(dict.fromkeys(found))


def _one_line_entries(text: str) -> Iterator[tuple[list[str], list[str]]]:
    for line in text.splitlines():
        match = re.match(r"\s*deb\s+(?:\[[^]]*\]\s+)?([^\s#]+)\s+([^\s#]+)", line)
        if match:
            yield [match[1]], [match[2]]


def _deb822_entries(text: str) -> Iterator[tuple[list[str], list[str]]]:
    text = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
    for stanza in re.split(r"\n\s*\n", text):
        matches = re.findall(r"^(\S+?):(.*(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        fields = {name.lower(): value.split() for name, value in matches}
        enabled = [word.lower() for word in fields.get("enabled", ["yes"])] != ["no"]
        if enabled and "deb" in fields.get("types", []):
            yield fields.get("uris", []), fields.get("suites", [])


def _expand(uri: str) -> list[str]:
    """A `mirror+file:` source names a file with one mirror a line; cloud images of Debian use it."""
    if uri.startswith("mirror+file:"):
        listing = Path(re.sub(r"^mirror\+file:/*", "/", uri))
        lines = listing.read_text(errors="replace").splitlines() if listing.is_file() else []
        return [uri for line in lines for word in line.split()[:1] for uri in _expand(word)]
    return [re.sub(r"^copy:", "file:", uri)] if uri.startswith(MIRROR_SCHEMES) else []


def configuration() -> dict[str, str]:
    """apt's options by lower-case name; empty on a host without apt."""
    try:
        dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        return {}
    return {name.lower(): value for name, value in re.findall(r'^(\S+) "(.*)";$', dump, re.MULTILINE)}
