"""Checks the signature of an archive's InRelease: with gpgv(1) where the host has it, else with pysequoia.

gpgv's status lines are those of GnuPG's doc/DETAILS; what pysequoia finds is said in the same words. Of the libraries
on the package index it is the one that is kept up and knows every kind of key that Debian signs with. It judges a key
by the time of the signature, where gpgv does by today: what has expired or been revoked since is looked up here.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, NamedTuple

from vm.errors import ImageError

if TYPE_CHECKING:
    from pysequoia import Cert

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What is found of a signature that is not good, as gpgv says it.
BAD, NO_KEY = "BADSIG", "NO_PUBKEY"
NOT_ANY_MORE = {
    "EXPKEYSIG": "the signing key has expired",
    "REVKEYSIG": "the signing key has been revoked",
    "EXPSIG": "the signature has expired",
}
GOOD = "GOODSIG"


class Finding(NamedTuple):
    """What is found of one signature: a keyword, and the key that it says it is from."""

    keyword: str
    key: str


def signed_text(document: bytes, keyring: Path, name: str) -> str:
    """The text that a key of the keyring signed; what stands around it in the file is dropped. `name` is for errors.

    Debian signs with the keys of several releases, and a host's keyring may lack some. At least one signature must be
    good, none may be bad.
    """
    if not keyring.is_file():
        raise ImageError(f"{keyring}: no such file; install the package debian-archive-keyring")
    text, findings = (_by_gpgv if which("gpgv") else _by_library)(document, keyring)
    keywords = [finding.keyword for finding in findings]
    if BAD in keywords:
        raise ImageError(f"{name}: bad signature: the file was changed after it was signed")
    if GOOD not in keywords:
        raise ImageError(f"{name}: {_why_not(findings)}")
    return text.decode()


def _why_not(findings: list[Finding]) -> str:
    by_keyword = dict(findings)
    if missing := by_keyword.get(NO_KEY):
        return (
            f"signed by key {missing}, which the host's Debian keyring does not have;"
            " install a newer debian-archive-keyring"
        )
    return next((NOT_ANY_MORE[keyword] for keyword in by_keyword if keyword in NOT_ANY_MORE), "not signed")


# --- gpgv -------------------------------------------------------------------------------------------------------------

def _by_gpgv(document: bytes, keyring: Path) -> tuple[bytes, list[Finding]]:
    """The text, and what is found of each signature. The exit code, not zero as soon as one key is missing, says
    nothing."""
    with tempfile.TemporaryDirectory() as directory:
        signed, text = Path(directory, "InRelease"), Path(directory, "Release")
        signed.write_bytes(document)
        command = ["gpgv", "--status-fd", "1", "--keyring", str(keyring.resolve()), "--output", str(text), str(signed)]
        run = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
        status = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        return text.read_bytes() if text.exists() else b"", list(_findings(status))


def _findings(status: list[list[str]]) -> Iterator[Finding]:
    for (keyword, *words), (following, *_) in pairwise([*status, ["END"]]):
        # A VALIDSIG also follows EXPKEYSIG and REVKEYSIG; only one right after a GOODSIG counts.
        if keyword in (BAD, NO_KEY, *NOT_ANY_MORE) or (keyword, following) == (GOOD, "VALIDSIG"):
            yield Finding(keyword, words[0])


# --- pysequoia --------------------------------------------------------------------------------------------------------

class Key(NamedTuple):
    """A key of a keyring that may sign: a certificate's own, or below it."""

    fingerprint: str
    expires: datetime | None
    revoked: bool


def _by_library(document: bytes, keyring: Path) -> tuple[bytes, list[Finding]]:
    """As `_by_gpgv`. The keys that signatures name are hints: good is what the library verified, by the same key."""
    try:
        from pysequoia import Cert, verify
        from pysequoia.packet import PacketPile, Tag
    except ImportError:
        raise ImageError("signatures are verified with gpgv or pysequoia: install the package gpgv, or run"
                         " pip install 'vm-emulator[images]'") from None
    try:
        certificates = Cert.split_file(str(keyring))
    except RuntimeError as error:
        raise ImageError(f"{keyring}: not an OpenPGP keyring: {str(error).splitlines()[0]}") from error
    keys = {name: key for certificate in certificates for name, key in _keys(certificate)}
    try:
        signatures = [packet for packet in PacketPile.from_bytes(document) if packet.tag == Tag.Signature]
    except RuntimeError:                # nothing that looks signed
        return b"", []
    try:
        verified = verify(document, lambda _: certificates)
    except RuntimeError:                # no signature is good; the findings say why
        text, good = b"", set[str]()
    else:
        text, good = verified.bytes or b"", {signature.signing_key for signature in verified.valid_sigs}
    return text, [_finding(signature, keys, good) for signature in signatures]


def _finding(signature: Any, keys: dict[str, Key], good: set[str]) -> Finding:
    """What a signature packet is worth, where `good` has the fingerprints of the keys that the library verified."""
    now = datetime.now(UTC)
    name = signature.issuer_fingerprint or signature.issuer_key_id or ""
    key = keys.get(name)
    if key is None:
        keyword = NO_KEY
    elif key.revoked:
        keyword = "REVKEYSIG"
    elif key.expires is not None and key.expires <= now:
        keyword = "EXPKEYSIG"
    elif signature.signature_expiration_time is not None and signature.signature_expiration_time <= now:
        keyword = "EXPSIG"
    else:
        keyword = GOOD if key.fingerprint in good else BAD
    return Finding(keyword, name.upper())


def _keys(certificate: Cert) -> Iterator[tuple[str, Key]]:
    """The keys of a certificate by fingerprint and by key ID; one below it lives no longer than the certificate."""
    from pysequoia.packet import PacketPile, SignatureType, Tag

    packets = list(PacketPile.from_bytes(bytes(certificate)))
    places = [place for place, packet in enumerate(packets) if packet.tag in (Tag.PublicKey, Tag.PublicSubkey)]
    for start, end in pairwise([*places, len(packets)]):
        own = packets[start]
        expires, revoked = certificate.expiration, certificate.is_revoked
        if own.tag == Tag.PublicSubkey:
            signatures = [packet for packet in packets[start:end] if packet.tag == Tag.Signature]
            revoked |= any(packet.signature_type == SignatureType.SubkeyRevocation for packet in signatures)
            bindings = [packet for packet in signatures if packet.signature_type == SignatureType.SubkeyBinding]
            newest = max(bindings, key=lambda packet: packet.signature_created)
            if newest.key_validity_period is not None:
                ends = own.key_created + newest.key_validity_period
                expires = ends if expires is None else min(expires, ends)
        key = Key(own.fingerprint, expires, revoked)
        yield own.fingerprint, key
        yield own.key_id, key
