"""Archive: nothing is used that the signed index does not vouch for; what was fetched once works offline."""

import errno
import hashlib
import inspect
import logging
import os
import re

import pytest

from vm.errors import ImageError
from vm.images import Archive, debian_archive, debian_installer, extract
from vm.images.archive import DAY, OFFLINE
from vm.images.known import KNOWN
from vm.images.package import Package


@pytest.fixture
def archive(mirror, server, cache):
    return lambda uri=server.uri, **options: Archive([uri], "trixie", "riscv64", mirror.key.keyring, **options)


@pytest.fixture
def a_day_later(cache):
    """A function: what was noted of the index is a day old."""
    def pass_time():
        for path in cache.glob("debian/*/index-*/*.json"):
            os.utime(path, (path.stat().st_atime, path.stat().st_mtime - DAY))
    return pass_time


def files_in(directory):
    return [path.name for path in directory.rglob("*") if path.is_file()]


def test_package_is_fetched_and_verified(archive, mirror):
    source = archive()
    path = source.fetch(source.package("hello"))
    assert path.read_bytes() == mirror.deb
    assert path.name == "hello_1.0+b1_riscv64.deb"


def test_index_entry(archive, mirror):
    package = archive().package("hello")
    assert (package.version, package.size) == ("1.0+b1", len(mirror.deb))
    assert package.depends == ("libc6", "base", "last")


def test_names_by_a_field(archive, mirror):
    mirror.stanza += "Package: first\nEssential: yes\nPriority: required\n\nPackage: second\nPriority: required\n\n"
    mirror.publish()
    assert archive().having("Priority", "required") == ["first", "second"]
    assert archive().having("Essential", "yes") == ["first"]
    assert archive().having("Priority", "require") == []


def test_of_several_that_provide_a_package_that_which_most_systems_have(archive, mirror):
    place = mirror.stanza[mirror.stanza.index("Filename:"):]
    mirror.stanza += "".join(f"Package: {name}\nVersion: 1\nPriority: {priority}\nProvides: x, awk (= 1)\n{place}"
                             for name, priority in (("gawk", "optional"), ("mawk", "required"), ("awka", "odd")))
    mirror.publish()
    assert archive().package("awk").name == "mawk"


def test_unknown_package_is_named(archive):
    with pytest.raises(ImageError, match="package nothing is not in trixie for riscv64"):
        archive().package("nothing")


def test_file_uri(archive, mirror):
    source = archive(mirror.root.as_uri() + "/")
    assert source.fetch(source.package("hello")).read_bytes() == mirror.deb


def test_index_is_taken_by_digest_if_the_archive_says_so(archive, mirror, server):
    (mirror.root / "dists/trixie/main/binary-riscv64/Packages.xz").unlink()
    mirror.publish(by_hash=True)
    assert archive().package("hello").version == "1.0+b1"
    assert not any(path.endswith("Packages.xz") for path in server.requested)


def test_index_without_digest_place_on_the_mirror(archive, mirror):
    """A plain copy of an archive may lack by-hash although its Release file promises it."""
    mirror.publish(by_hash=True)
    folder = mirror.root / "dists/trixie/main/binary-riscv64"
    (promised,) = (folder / "by-hash/SHA256").iterdir()
    promised.rename(folder / "Packages.xz")
    assert archive().package("hello").version == "1.0+b1"


def test_progress_counts_up_to_the_size(archive, mirror):
    source, calls = archive(), []
    source.fetch(source.package("hello"), lambda received, total: calls.append((received, total)))
    assert calls[-1] == (len(mirror.deb), len(mirror.deb))


def test_tampered_index(archive, mirror, cache):
    index = mirror.root / "dists/trixie/main/binary-riscv64/Packages.xz"
    content = bytearray(index.read_bytes())
    content[20] ^= 1
    index.write_bytes(content)
    with pytest.raises(ImageError, match=r"Packages.xz: SHA-256 or size is not"):
        archive().package("hello")
    assert not files_in(cache)


def test_known_package_without_a_usable_index(archive, mirror, server, caplog):
    """A mirror in the middle of an update has an index that its Release file does not name."""
    index = mirror.root / "dists/trixie/main/binary-riscv64/Packages.xz"
    index.write_bytes(index.read_bytes()[:-4])
    source = archive()
    package = source.package("opensbi")
    assert package == KNOWN["opensbi"] and "whose digest is known" in caplog.text
    mirror.write(package.filename, b"another file")
    with pytest.raises(ImageError, match="opensbi_1.6-1_all.deb: its size is not what"):
        source.fetch(package)


@pytest.fixture
def known_in_cache(monkeypatch, cache):
    """A package that vm knows and that was fetched once."""
    content = b"a package"
    package = Package("known", "1", "pool/known_1_all.deb", len(content), hashlib.sha256(content).hexdigest(), ())
    monkeypatch.setitem(KNOWN, "known", package)
    path = cache / "debian/trixie/packages/known_1_all.deb"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return package


def test_known_package_in_the_cache_needs_no_usable_index(archive, mirror, server, known_in_cache, caplog):
    """Nor does it need a warning, and an index that can be told to be wrong by its size is not downloaded."""
    index = mirror.root / "dists/trixie/main/binary-riscv64/Packages.xz"
    index.write_bytes(index.read_bytes()[:-4])
    calls = []
    source = archive()
    package = source.package("known", lambda received, total: calls.append(received))
    assert package == known_in_cache and source.fetch(package).read_bytes() == b"a package"
    assert not calls and not caplog.text


def test_known_package_in_the_cache_works_offline(archive, known_in_cache, caplog):
    assert archive("http://127.0.0.1:1").package("known") == known_in_cache
    assert "using the copy in" in caplog.text


def test_known_package_in_the_cache_does_not_hide_a_bad_signature(archive, mirror, known_in_cache):
    mirror.publish(sign=str.encode)
    with pytest.raises(ImageError, match="not signed"):
        archive().package("known")


@pytest.mark.parametrize("change", [lambda deb: deb[:-1] + b"?", lambda deb: deb + b"?"], ids=["byte", "length"])
def test_tampered_package(archive, mirror, cache, change):
    mirror.write(mirror.filename, change(mirror.deb))
    source = archive()
    package = source.package("hello")
    with pytest.raises(ImageError, match="size is not what the signed index says"):
        source.fetch(package)
    assert not [name for name in files_in(cache) if name.endswith(".deb") or "partial" in name]


def test_download_that_breaks_off_leaves_nothing(archive, mirror, server, cache):
    source = archive()
    package = source.package("hello")
    server.truncated.add(f"/{mirror.filename}")
    with pytest.raises(ImageError, match=r"broke off after \d+ of|IncompleteRead"):
        source.fetch(package)
    assert not [name for name in files_in(cache) if name.endswith(".deb") or "partial" in name]


def test_interrupted_download_leaves_nothing(archive, cache):
    source = archive()
    package = source.package("hello")

    def interrupt(received, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.fetch(package, interrupt)
    assert not [name for name in files_in(cache) if name.endswith(".deb") or "partial" in name]


def test_cached_package_is_not_fetched_again(archive, mirror, server, a_day_later):
    archive().fetch(archive().package("hello"))
    server.requested.clear()
    a_day_later()
    archive().fetch(archive().package("hello"))
    assert server.requested == ["/dists/trixie/InRelease"]


def test_cached_package_costs_next_to_nothing(archive, server, monkeypatch):
    """Within a day: no mirror is asked, no digest computed, no signature checked, nothing decompressed."""
    path = archive().fetch(archive().package("hello"))
    files = extract(path, "boot/*")
    server.requested.clear()
    for name in ("hashlib.file_digest", "vm.images.archive.signed_text", "vm.images.archive.lzma.decompress"):
        monkeypatch.setattr(name, lambda *arguments: pytest.fail("was called"))
    package = archive().package("hello")
    assert (archive().fetch(package), package.depends) == (path, ("libc6", "base", "last"))
    assert extract(path, "boot/*") == files and server.requested == []


def test_index_is_looked_at_for_a_newer_package_each_day_or_when_told(archive, mirror, a_day_later):
    archive().package("hello")
    mirror.stanza = mirror.stanza.replace("1.0+b1\n", "1.1\n", 1)
    mirror.publish()
    assert archive().package("hello").version == "1.0+b1"
    assert archive(refresh=True).package("hello").version == "1.1"
    mirror.stanza = mirror.stanza.replace("1.1\n", "1.2\n", 1)
    mirror.publish()
    assert archive().package("hello").version == "1.1"
    a_day_later()
    assert archive().package("hello").version == "1.2"


def test_another_mirror_is_asked_at_once(archive, mirror, server):
    archive().package("hello")
    server.requested.clear()
    archive(mirror.root.as_uri()).package("hello")
    assert server.requested == []
    archive().package("hello")
    assert server.requested


def test_damaged_note_of_the_index(archive, cache):
    archive().package("hello")
    for content in (b"", b"[]", b'{"asked": 1}', b'{"package": {"depends": [], "more": 1}}'):
        (cache / "debian/trixie/index-riscv64/hello.json").write_bytes(content)
        assert archive().package("hello").version == "1.0+b1"


def test_package_that_the_mirror_has_no_more(archive, mirror):
    """Found within the day: the next call looks at the index, which knows better."""
    archive().package("hello")
    (mirror.root / mirror.filename).rename(mirror.root / "pool/hello_1.1_riscv64.deb")
    mirror.stanza = mirror.stanza.replace(mirror.filename, "pool/hello_1.1_riscv64.deb")
    mirror.publish()
    with pytest.raises(ImageError, match="hello_1.0.b1_riscv64.deb: the server says 404"):
        archive().fetch(archive().package("hello"))
    assert archive().fetch(archive().package("hello")).name == "hello_1.1_riscv64.deb"


def test_damaged_copy_in_the_cache_is_fetched_again(archive, mirror):
    source = archive()
    path = source.fetch(source.package("hello"))
    path.write_bytes(b"damaged")
    assert source.fetch(source.package("hello")).read_bytes() == mirror.deb


def test_damage_that_keeps_size_and_date_is_noticed(archive, mirror):
    path = archive().fetch(archive().package("hello"))
    status = path.stat()
    path.write_bytes(bytes(len(mirror.deb)))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert archive().fetch(archive().package("hello")).read_bytes() == mirror.deb


def test_offline_with_a_filled_cache(archive, mirror, caplog):
    """It is said once a day."""
    archive().fetch(archive().package("hello"))
    for expected in (1, 0):
        caplog.clear()
        offline = archive("http://127.0.0.1:1")
        with caplog.at_level(logging.WARNING, "vm.images"):
            path = offline.fetch(offline.package("hello"))
        assert path.read_bytes() == mirror.deb
        assert caplog.text.count("using the copy in") == expected and "no copy" not in caplog.text


def test_offline_with_a_changed_cache(archive, cache):
    archive().package("hello")
    (cache / "debian/trixie/InRelease").write_bytes(b"Codename: trixie\n")
    with pytest.raises(ImageError, match="not signed"):
        archive("http://127.0.0.1:1").package("hello")


def test_offline_with_an_empty_cache(archive):
    """What can be done is said once, also where only the package is missing."""
    for name in ("hello", "opensbi"):
        with pytest.raises(ImageError, match=rf"127.0.0.1:1/dists/trixie/InRelease: .*refused; {re.escape(OFFLINE)}$"):
            archive("http://127.0.0.1:1").package(name)
    archive().package("hello")
    offline = archive("http://127.0.0.1:1")
    with pytest.raises(ImageError, match=rf"hello_1.0%?.*_riscv64.deb: .*refused; {re.escape(OFFLINE)}$"):
        offline.fetch(offline.package("hello"))


def test_cached_copy_does_not_hide_a_bad_signature(archive, mirror, a_day_later):
    archive().package("hello")
    mirror.publish(sign=str.encode)
    a_day_later()
    with pytest.raises(ImageError, match="not signed"):
        archive().package("hello")


def test_first_mirror_with_the_suite_is_used(mirror, server, cache):
    mirrors = [f"{server.uri}/other", server.uri]
    assert Archive(mirrors, "trixie", "riscv64", mirror.key.keyring).package("hello").version == "1.0+b1"


def test_cache_that_cannot_be_written(archive, cache, caplog):
    """One line, whatever is asked for, and nothing else is said."""
    cache.write_text("a file where the directory should be")
    for name in ("hello", "opensbi"):
        with pytest.raises(ImageError, match=f"^cannot write to the cache {cache}: Not a directory; set VM_CACHE to"):
            archive().package(name)
    assert not caplog.text


def test_cache_that_can_only_be_read(archive, mirror, server, cache, monkeypatch, a_day_later):
    """Serves, as long as what it has is what the index names."""
    path = archive().fetch(archive().package("hello"))
    a_day_later()
    for stamp in (cache / "stamps").iterdir():
        stamp.unlink()

    def mkstemp(*arguments, **options):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkstemp", mkstemp)
    assert archive().fetch(archive().package("hello")) == path
    path.write_bytes(b"damaged")
    with pytest.raises(ImageError, match=f"^cannot write to the cache {cache}: Read-only file system; set VM_CACHE"):
        archive().fetch(archive().package("hello"))


def test_installer(mirror, make_deb, archive, server, monkeypatch):
    """The files are those of the package; a second call, also of another process, asks no mirror."""
    module = inspect.getmodule(debian_installer)
    deb = make_deb({"boot/text/riscv64/linux": b"kernel", "boot/text/riscv64/initrd.gz": b"initrd"})
    name = module.INSTALLER_PACKAGE
    mirror.write(f"pool/{name}_1_all.deb", deb)
    mirror.stanza += (f"Package: {name}\nVersion: 1\nFilename: pool/{name}_1_all.deb\nSize: {len(deb)}\n"
                      f"SHA256: {hashlib.sha256(deb).hexdigest()}\n\n")
    mirror.publish()
    monkeypatch.setattr(module, "debian_archive", lambda mirror, refresh: archive(refresh=refresh))
    assert [path.read_bytes() for path in debian_installer()] == [b"kernel", b"initrd"]
    server.requested.clear()
    kernel, initrd = debian_installer()
    assert not server.requested
    initrd.write_bytes(b"changed")
    assert [path.read_bytes() for path in debian_installer()] == [b"kernel", b"initrd"] and not server.requested
    debian_installer(refresh=True)
    assert server.requested == ["/dists/trixie/InRelease"]


def test_mirror_from_the_environment(monkeypatch):
    monkeypatch.setenv("VM_DEBIAN_MIRROR", "http://mirror.invalid/debian")
    assert debian_archive().mirrors == ["http://mirror.invalid/debian"]
    assert debian_archive("http://given.invalid").mirrors == ["http://given.invalid"]


@pytest.mark.parametrize("mirror", ["foo", "deb.debian.org/debian", "ftp://mirror.invalid/debian"])
def test_mirror_that_debian_has_not(mirror, monkeypatch):
    with pytest.raises(ImageError, match=f"mirror {mirror}: not a URI.*as in http://"):
        debian_archive(mirror)


def test_mirror_that_is_no_uri(archive):
    with pytest.raises(ImageError, match="unknown url type"):
        archive("nonsense").package("hello")


@pytest.mark.network
def test_opensbi_from_the_mirror_of_this_host(cache):
    """The real archive, its real signature, a small package."""
    archive = debian_archive()
    (firmware,) = extract(archive.fetch(archive.package("opensbi")), "usr/lib/riscv64-*/generic/fw_jump.elf").values()
    assert firmware.read_bytes()[:4] == b"\x7fELF"
