"""Archive: nothing is used that the signed index does not vouch for; what was fetched once works offline."""

import hashlib
import logging

import pytest

from vm.errors import ImageError
from vm.images import Archive, debian_archive, extract
from vm.images.known import KNOWN
from vm.images.package import Package


@pytest.fixture
def archive(mirror, server, cache):
    return lambda uri=server.uri: Archive([uri], "trixie", "riscv64", mirror.key.keyring)


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
    assert not [name for name in files_in(cache) if "hello" in name or "partial" in name]


def test_download_that_breaks_off_leaves_nothing(archive, mirror, server, cache):
    source = archive()
    package = source.package("hello")
    server.truncated.add(f"/{mirror.filename}")
    with pytest.raises(ImageError, match=r"broke off after \d+ of|IncompleteRead"):
        source.fetch(package)
    assert not [name for name in files_in(cache) if "hello" in name or "partial" in name]


def test_interrupted_download_leaves_nothing(archive, cache):
    source = archive()
    package = source.package("hello")

    def interrupt(received, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        source.fetch(package, interrupt)
    assert not [name for name in files_in(cache) if "hello" in name or "partial" in name]


def test_cached_package_is_not_fetched_again(archive, mirror, server):
    archive().fetch(archive().package("hello"))
    server.requested.clear()
    archive().fetch(archive().package("hello"))
    assert server.requested == ["/dists/trixie/InRelease"]


def test_damaged_copy_in_the_cache_is_fetched_again(archive, mirror):
    source = archive()
    path = source.fetch(source.package("hello"))
    path.write_bytes(b"damaged")
    assert source.fetch(source.package("hello")).read_bytes() == mirror.deb


def test_offline_with_a_filled_cache(archive, mirror, caplog):
    archive().fetch(archive().package("hello"))
    offline = archive("http://127.0.0.1:1")
    with caplog.at_level(logging.WARNING, "vm.images"):
        path = offline.fetch(offline.package("hello"))
    assert path.read_bytes() == mirror.deb
    assert "using the copy in" in caplog.text


def test_offline_with_a_changed_cache(archive, cache):
    archive().package("hello")
    (cache / "debian/trixie/InRelease").write_bytes(b"Codename: trixie\n")
    with pytest.raises(ImageError, match="not signed"):
        archive("http://127.0.0.1:1").package("hello")


def test_offline_with_an_empty_cache(archive):
    with pytest.raises(ImageError, match=r"127.0.0.1:1/dists/trixie/InRelease: .*refused"):
        archive("http://127.0.0.1:1").package("hello")


def test_cached_copy_does_not_hide_a_bad_signature(archive, mirror):
    archive().package("hello")
    mirror.publish(sign=str.encode)
    with pytest.raises(ImageError, match="not signed"):
        archive().package("hello")


def test_first_mirror_with_the_suite_is_used(mirror, server, cache):
    mirrors = [f"{server.uri}/other", server.uri]
    assert Archive(mirrors, "trixie", "riscv64", mirror.key.keyring).package("hello").version == "1.0+b1"


def test_cache_that_cannot_be_written(archive, cache):
    cache.write_text("a file where the directory should be")
    with pytest.raises(ImageError, match=r"cannot write to the cache: .*set VM_CACHE"):
        archive().package("hello")


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
