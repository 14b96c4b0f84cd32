"""A Debian archive: from its signed index to verified packages, as in the Debian repository format.

InRelease is signed; it has the SHA-256 of Packages.xz, which has that of every package. What is fetched is kept in the
cache and verified again when it has changed there, so a package once fetched is there without a network. What the index
says of a package is kept, too, and believed for a day: until then, no mirror is asked for what is in the cache.
"""

from __future__ import annotations

import json
import logging
import lzma
import re
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

from vm.errors import ImageError, Unreachable
from vm.images.cache import CacheNotWritable, cache_directory, replacing, sha256
from vm.images.known import KNOWN
from vm.images.package import Package
from vm.images.progress import Progress
from vm.images.signature import DEBIAN_KEYRING, signed_text

INRELEASE_LIMIT = 4 << 20
DAY = 24 * 60 * 60
PRIORITIES = ("required", "important", "standard", "optional", "extra")
OFFLINE = ("nor is a copy in the cache: name a mirror with --mirror or VM_DEBIAN_MIRROR (file:// will do, too), or"
           " copy the cache (VM_CACHE) of a host that has it")

log = logging.getLogger("vm.images")


class Archive:
    """One suite and architecture of the component main, on the first of the mirrors that has it.

    - keyring: the keys that may sign the index.
    - refresh: look at the mirror's index, even if that was done within a day.
    """

    def __init__(self, mirrors: Sequence[str], suite: str, architecture: str, keyring: Path = DEBIAN_KEYRING,
                 refresh: bool = False):
        self.mirrors = [mirror.rstrip("/") for mirror in mirrors]
        self.suite = suite
        self.architecture = architecture
        self.keyring = keyring
        self.refresh = refresh
        self.cache = cache_directory() / "debian" / suite
        self._mirror = self.mirrors[0]
        self._index = b""
        self._answered = False          # some mirror has a Release file with a good signature

    @property
    def mirror(self) -> str:
        """That which answered; of several, the first until one has been asked."""
        return self._mirror

    def package(self, name: str, progress: Progress | None = None) -> Package:
        """Look a package up in the index; in what was kept of it, if that was within a day and by these mirrors."""
        package = None if self.refresh or self._index else self._kept(name)
        if package is None:
            package = self._look_up(name, progress)
            self._keep(name, package)
        return package

    def having(self, field: str, value: str, progress: Progress | None = None) -> list[str]:
        """The names of all packages whose entry in the index has this field, as ("Priority", "required")."""
        self._need_index(progress)
        pattern = rb"^Package: (.+)\n(?:.+\n)*?%b: %b$" % (re.escape(field.encode()), re.escape(value.encode()))
        return [name.decode() for name in re.findall(pattern, self._index, re.MULTILINE)]

    def _kept_path(self, name: str) -> Path:
        return self.cache / f"index-{self.architecture}" / f"{quote(name, safe='')}.json"

    def _keep(self, name: str, package: Package) -> None:
        row = {"asked": self._asked(), "mirror": self._mirror, "package": asdict(package)}
        try:
            with replacing(self._kept_path(name)) as file:
                file.write(json.dumps(row, indent=1).encode())
        except CacheNotWritable as error:       # one that can only be read serves, more slowly
            log.debug("what the index says of %s is not kept: %s", name, error)

    def _kept(self, name: str) -> Package | None:
        path = self._kept_path(name)
        try:
            age = time.time() - path.stat().st_mtime
            row = json.loads(path.read_bytes())
            package = Package(**row["package"] | {"depends": tuple(row["package"]["depends"])})
            mirror, asked = str(row["mirror"]), row["asked"]
        except (OSError, ValueError, KeyError, TypeError):      # not there, or damaged: the index has it
            return None
        if not 0 <= age < DAY or asked != self._asked():
            return None
        self._mirror = mirror
        return package

    def _asked(self) -> list[str]:
        return [str(self.keyring), *self.mirrors]

    def _look_up(self, name: str, progress: Progress | None) -> Package:
        """Look a package up in the index, which is fetched at the first call.

        Where a mirror has none that its Release file names, by what vm knows of the package itself, if anything; where
        no mirror answers, if that is in the cache.
        """
        if not self._index:
            try:
                self._need_index(progress)
            except CacheNotWritable:
                raise
            except ImageError as failure:
                known = KNOWN.get(name)
                in_cache = known is not None and sha256(self._path(known)) == known.sha256
                silent = isinstance(failure, Unreachable)
                if known is None or not (self._answered or in_cache and silent):
                    if silent:
                        raise Unreachable(f"{failure}; {OFFLINE}") from failure
                    raise
                if not self._answered:
                    log.warning("%s; using the copy in %s", failure, self.cache)
                elif not in_cache:
                    log.warning("%s; taking %s %s, whose digest is known", failure, name, known.version)
                return known
        stanza = self._stanza(b"Package: %b\n" % name.encode()) or self._provider(name)
        if not stanza:
            raise ImageError(f"package {name} is not in {self.suite} for {self.architecture}")
        fields = dict(re.findall(r"^(\S+): (.*)$", stanza, re.MULTILINE))
        needed = ", ".join(fields[field] for field in ("Pre-Depends", "Depends") if field in fields)
        depends = tuple(re.findall(r"(?:^|, )([^\s:,|(]+)", needed))
        try:
            return Package(fields["Package"], fields["Version"], fields["Filename"], int(fields["Size"]),
                           fields["SHA256"], depends)
        except KeyError as missing:
            raise ImageError(f"package {name}: its entry in the index has no field {missing}") from missing

    def _stanza(self, first_line: bytes) -> str:
        """The entry that begins with this line; empty if there is none."""
        start = 0 if self._index.startswith(first_line) else self._index.find(b"\n" + first_line) + 1
        if start == 0 and not self._index.startswith(first_line):
            return ""
        end = self._index.find(b"\n\n", start)
        return self._index[start:len(self._index) if end < 0 else end].decode()

    def _provider(self, name: str) -> str:
        """The entry of a package that provides a virtual one (Debian policy, 7.5), of several that which most systems
        have; empty if none does."""
        found = []
        for provides in re.finditer(rb"^Provides: (?:.*[ ,])?%b(?:[ ,].*)?$" % re.escape(name.encode()), self._index,
                                    re.MULTILINE):
            start = self._index.rfind(b"\n\n", 0, provides.start()) + 2
            first_line = self._index[start if start > 1 else 0:provides.start()].partition(b"\n")[0]
            found.append(self._stanza(first_line + b"\n"))
        return min(found, key=rank, default="")

    def fetch(self, package: Package, progress: Progress | None = None) -> Path:
        """The path of the package's .deb in the cache."""
        try:
            return self._obtain(self._path(package), [package.filename], package.size, package.sha256, progress)
        except Unreachable as failure:
            if failure.missing:                 # the mirror may have a newer one since the index was looked at
                shutil.rmtree(self._kept_path(package.name).parent, ignore_errors=True)
                raise
            raise Unreachable(f"{failure}; {OFFLINE}") from failure

    def _path(self, package: Package) -> Path:
        return self.cache / "packages" / Path(package.filename).name

    def _need_index(self, progress: Progress | None) -> None:
        self._index = self._index or self._obtain_index(progress)

    def _obtain_index(self, progress: Progress | None) -> bytes:
        """The Packages file, by way of the first mirror that has the suite; the copy in the cache if none answers."""
        from vm.images.fetch import fetch  # here: what is in the cache needs nothing of a network, which takes long

        name = f"dists/{self.suite}/InRelease"
        cached = self.cache / "InRelease"
        failures = []
        for mirror in self.mirrors:
            self._mirror = mirror
            try:
                document = fetch(f"{mirror}/{name}", INRELEASE_LIMIT)
                release = self._verified(document, f"{mirror}/{name}")
                self._answered = True
                index = self._index_of(release, progress)
            except CacheNotWritable:
                raise
            except ImageError as failure:
                failures.append(failure)
                continue
            if not cached.exists() or cached.read_bytes() != document:
                with replacing(cached) as file:  # only now: the copy in the cache always has its index beside it
                    file.write(document)
            return index
        # What a mirror has and is not right must be heard of: the cache stands in for silence only.
        silent = all(isinstance(failure, Unreachable) for failure in failures)
        if silent and cached.exists():
            log.warning("%s; using the copy in %s", failures[0], self.cache)
            return self._index_of(self._verified(cached.read_bytes(), str(cached)), progress)
        raise (Unreachable if silent else ImageError)("; ".join(map(str, failures))) from failures[0]

    def _verified(self, document: bytes, name: str) -> str:
        text = signed_text(document, self.keyring, name)
        if f"\nCodename: {self.suite}\n" not in text:
            raise ImageError(f"{name}: signed, but not for the suite {self.suite}")
        return text

    def _index_of(self, release: str, progress: Progress | None) -> bytes:
        name = f"main/binary-{self.architecture}/Packages.xz"
        sums = release.partition("\nSHA256:\n")[2]
        row = re.search(rf"^ ([0-9a-f]{{64}}) +(\d+) {re.escape(name)}$", sums, re.MULTILINE)
        if not row:
            raise ImageError(f"{self.suite}: its Release file does not list {name}")
        digest, size = row[1], int(row[2])
        places = [f"dists/{self.suite}/{name}"]
        if "\nAcquire-By-Hash: yes\n" in release:
            # By digest, a mirror that is being updated still gives the index that belongs to this Release file.
            places.insert(0, f"dists/{self.suite}/main/binary-{self.architecture}/by-hash/SHA256/{digest}")
        path = self.cache / f"Packages-{self.architecture}-{digest[:16]}.xz"
        return lzma.decompress(self._obtain(path, places, size, digest, progress).read_bytes())

    def _obtain(self, path: Path, places: list[str], size: int, digest: str, progress: Progress | None) -> Path:
        """Make sure that `path` is the file with this digest; fetch it from the first place that has it."""
        if sha256(path) == digest:
            return path
        from vm.images.fetch import download  # here, too

        for place in places:
            try:
                download(f"{self._mirror}/{quote(place, safe='/+~')}", path, size, digest, progress)
            except Unreachable as failure:
                if failure.missing and place != places[-1]:
                    continue
                raise
            break
        return path


def rank(stanza: str) -> int:
    """Of a package's entry, by its priority: less is had by more systems (Debian policy, 2.5)."""
    priority = re.search(r"^Priority: (\S+)$", stanza, re.MULTILINE)
    return PRIORITIES.index(priority[1]) if priority and priority[1] in PRIORITIES else len(PRIORITIES)
