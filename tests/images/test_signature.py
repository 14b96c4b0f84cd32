"""Signatures of an InRelease: what gpgv says, a library says, too; nothing is believed that is not signed."""

import base64
import re
import sys
from pathlib import Path

import pytest

from vm.errors import ImageError
from vm.images import Archive, signature
from vm.images.signature import DEBIAN_KEYRING, signed_text

TEXT = "Origin: Test\nCodename: trixie\n- a line with a dash\n"


@pytest.fixture
def joined(tmp_path, signing_keys):
    """A keyring with the archive's key and another one."""
    path = tmp_path / "joined.gpg"
    path.write_bytes(b"".join(signing_keys[name].keyring.read_bytes() for name in ("", "other")))
    return path


def packets(document: bytes) -> bytes:
    """The signature packets of a clear-signed document, without armor."""
    armor = re.search(rb"-----BEGIN PGP SIGNATURE-----\n\n(.*?)\n=", document, re.DOTALL)
    return base64.b64decode(armor[1])


def with_signatures(document: bytes, *signatures: bytes) -> bytes:
    """A clear-signed document with other signature packets in place of its own."""
    signed = document.partition(b"-----BEGIN PGP SIGNATURE-----")[0]
    armor = base64.encodebytes(b"".join(signatures))
    return signed + b"-----BEGIN PGP SIGNATURE-----\n\n" + armor + b"-----END PGP SIGNATURE-----\n"


def test_signed_text(verifier, signing_keys):
    key = signing_keys[""]
    assert signed_text(key.sign(TEXT), key.keyring, "InRelease").rstrip() == TEXT.rstrip()


def test_changed_text(verifier, signing_keys):
    key = signing_keys[""]
    document = key.sign(TEXT).replace(b"Origin: Test", b"Origin: Fest")
    with pytest.raises(ImageError, match=r"^InRelease: bad signature: the file was changed"):
        signed_text(document, key.keyring, "InRelease")


def test_text_outside_the_signature_is_dropped(verifier, signing_keys):
    key = signing_keys[""]
    text = signed_text(b"forged: yes\n" + key.sign(TEXT) + b"forged: yes\n", key.keyring, "InRelease")
    assert text.rstrip() == TEXT.rstrip()


@pytest.mark.parametrize("document", [TEXT.encode(), b"", b"\0\xff" * 40], ids=["text", "empty", "bytes"])
def test_what_is_not_signed(verifier, signing_keys, document):
    with pytest.raises(ImageError, match="^InRelease: not signed$"):
        signed_text(document, signing_keys[""].keyring, "InRelease")


def test_signature_cut_off(verifier, signing_keys):
    document = signing_keys[""].sign(TEXT)
    with pytest.raises(ImageError, match="^InRelease: "):
        signed_text(document[:document.index(b"-----BEGIN PGP SIGNATURE")], signing_keys[""].keyring, "InRelease")


def test_key_that_the_keyring_lacks(verifier, signing_keys):
    with pytest.raises(ImageError, match=r"^InRelease: signed by key [0-9A-F]+, which .*; install a newer debian-arch"):
        signed_text(signing_keys["other"].sign(TEXT), signing_keys[""].keyring, "InRelease")


def test_one_known_key_among_the_signers_is_enough(verifier, signing_keys):
    """Debian signs with several keys; gpgv then exits with an error if the keyring lacks one."""
    document, other = signing_keys[""].sign(TEXT), signing_keys["other"].sign(TEXT)
    for order in ((document, other), (other, document)):
        both = with_signatures(document, *map(packets, order))
        assert signed_text(both, signing_keys[""].keyring, "InRelease").rstrip() == TEXT.rstrip()


def test_one_bad_signature_is_enough(verifier, signing_keys, joined):
    document, other = signing_keys[""].sign(TEXT), signing_keys["other"].sign("another text\n")
    assert signed_text(document, joined, "InRelease").rstrip() == TEXT.rstrip()
    for order in ((document, other), (other, document)):
        with pytest.raises(ImageError, match="bad signature"):
            signed_text(with_signatures(document, *map(packets, order)), joined, "InRelease")


@pytest.mark.parametrize("kind, why", [
    ("expired", "the signing key has expired"),
    ("expired subkey", "the signing key has expired"),
    ("revoked", "the signing key has been revoked"),
])
def test_key_that_may_not_sign_any_more(verifier, signing_keys, kind, why):
    """Although the signature was made when it still might: gpgv calls such a signature valid, but not good."""
    key = signing_keys[kind]
    with pytest.raises(ImageError, match=f"^InRelease: {why}$"):
        signed_text(key.sign(TEXT), key.keyring, "InRelease")


def test_signature_that_has_expired(verifier, signing_keys):
    key = signing_keys["old"]
    assert signed_text(key.sign(TEXT), key.keyring, "InRelease").rstrip() == TEXT.rstrip()
    document = key.sign(TEXT, "--default-sig-expire", "1d")
    with pytest.raises(ImageError, match="^InRelease: the signature has expired$"):
        signed_text(document, key.keyring, "InRelease")


def test_keyring_that_is_not_there(tmp_path):
    with pytest.raises(ImageError, match=r"none.gpg: no such file; install the package debian-archive-keyring$"):
        signed_text(b"", tmp_path / "none.gpg", "InRelease")


def test_keyring_that_is_none(verifier, signing_keys, tmp_path):
    (tmp_path / "keyring.gpg").write_bytes(b"no keys")
    with pytest.raises(ImageError):
        signed_text(signing_keys[""].sign(TEXT), tmp_path / "keyring.gpg", "InRelease")


def test_host_with_neither(monkeypatch, signing_keys):
    """One line, both ways."""
    monkeypatch.setattr(signature, "which", lambda name: None)
    monkeypatch.setitem(sys.modules, "pysequoia", None)
    with pytest.raises(ImageError, match=r"install the package gpgv, or run pip install 'vm-emulator\[images\]'$"):
        signed_text(b"", signing_keys[""].keyring, "InRelease")


def test_archive_without_gpgv(verifier, mirror, server, cache):
    source = Archive([server.uri], "trixie", "riscv64", mirror.key.keyring)
    assert source.fetch(source.package("hello")).read_bytes() == mirror.deb


@pytest.mark.skipif(not DEBIAN_KEYRING.is_file(), reason="needs Debian's keys: install debian-archive-keyring")
def test_library_knows_every_key_of_debian():
    """Of each certificate all keys that gpgv has, RSA and Ed25519, with the day that they expire."""
    pysequoia = pytest.importorskip("pysequoia", reason="needs pysequoia: pip install 'vm-emulator[images]'")
    certificates = pysequoia.Cert.split_file(str(DEBIAN_KEYRING))
    keys = {key for certificate in certificates for _, key in signature._keys(certificate)}
    assert len(keys) >= len(certificates) > 0
    assert all(key.expires is not None for key in keys)


@pytest.mark.network
def test_release_of_debian(verifier):
    """The real one: several signatures, by RSA subkeys and an Ed25519 key."""
    from vm.images import debian_archive
    from vm.images.fetch import fetch

    uri = f"{debian_archive().mirrors[0]}/dists/trixie/InRelease"
    document = fetch(uri, 4 << 20)
    assert "\nCodename: trixie\n" in signed_text(document, DEBIAN_KEYRING, uri)
    with pytest.raises(ImageError, match="bad signature"):
        signed_text(document.replace(b"Origin: Debian", b"Origin: Nobody"), Path(DEBIAN_KEYRING), uri)
