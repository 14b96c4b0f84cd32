"""Checks the signature of an archive's InRelease with gpgv(1); status lines as in GnuPG's doc/DETAILS."""

import os
import re
import subprocess
import tempfile
from itertools import pairwise
from pathlib import Path

from vm.errors import ImageError

DEBIAN_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def signed_text(document: bytes, keyring: Path, name: str) -> str:
    """The text that a key of the keyring signed; what stands around it in the file is dropped. `name` is for errors.

    Debian signs with the keys of several releases, and a host's keyring may lack some, so gpgv's exit code (not zero
    as soon as one key is missing) says nothing. At least one signature must be good, none may be bad.
    """
    if not keyring.is_file():
        raise ImageError(f"{keyring}: no such file; install the package debian-archive-keyring")
    with tempfile.TemporaryDirectory() as directory:
        signed, text = os.path.join(directory, "InRelease"), os.path.join(directory, "Release")
        Path(signed).write_bytes(document)
        command = ["gpgv", "--status-fd", "1", "--keyring", str(keyring.resolve()), "--output", text, signed]
        try:
            run = subprocess.run(command, check=False, capture_output=True, text=True, errors="replace")
        except FileNotFoundError:
            raise ImageError("gpgv: command not found; install the package gpgv") from None
        status = [line.split()[1:] for line in run.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        keywords = [words[0] for words in status]
        if "BADSIG" in keywords:
            raise ImageError(f"{name}: bad signature: the file was changed after it was signed")
        # A VALIDSIG also follows EXPKEYSIG and REVKEYSIG; only one right after a GOODSIG counts.
        if not any(pair == ("GOODSIG", "VALIDSIG") for pair in pairwise(keywords)):
            raise ImageError(f"{name}: {_why_not(status)}")
        return Path(text).read_text()


def _why_not(status: list[list[str]]) -> str:
    by_keyword = {words[0]: words[1:] for words in status}
    if missing := by_keyword.get("NO_PUBKEY"):
        return (
            f"signed by key {missing[0]}, which the host's Debian keyring does not have;"
            " install a newer debian-archive-keyring"
        )
    for keyword in by_keyword:
        if match := re.fullmatch("(EXP|REV)(KEY)?SIG", keyword):
            what = "expired" if match[1] == "EXP" else "revoked"
            return f"the {'signing key' if match[2] else 'signature'} has {'' if match[1] == 'EXP' else 'been '}{what}"
    return "not signed"
