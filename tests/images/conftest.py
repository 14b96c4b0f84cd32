"""A small Debian archive, made and signed on the spot, on an HTTP server on the loopback interface."""

import functools
import hashlib
import http.server
import io
import lzma
import subprocess
import tarfile
import threading
from pathlib import Path

import pytest

from tests import tools


def _make_deb(files: dict[str, bytes], compression: str = "xz") -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return _make_ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", f"data.tar.{compression}": data.getvalue()})


def _make_ar(members: dict[str, bytes]) -> bytes:
    archive = b"!<arch>\n"
    for name, content in members.items():
        archive += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        archive += content + b"\n" * (len(content) % 2)
    return archive


class SigningKey:
    """A throwaway OpenPGP key and the keyring with its public half.

    `kind`: "" and "other" are good; "old" signs in 2020, and is good; "expired" lived for a day of 2020; of "expired
    subkey", the subkey that signs did; "revoked" is so in the keyring alone.
    """

    def __init__(self, home: Path, kind: str = ""):
        self.home = home
        self.keyring = home / "keyring.gpg"
        self.time = ("--faked-system-time", "20200101T000000!") if kind.startswith(("expired", "old")) else ()
        home.mkdir(mode=0o700)
        usage = "cert" if kind == "expired subkey" else "sign"
        life = "1d" if kind == "expired" else "never"
        self.gpg("--quick-generate-key", "Test <test@invalid>", "ed25519", usage, life)
        listing = self.gpg("--list-keys", "--with-colons").decode()
        fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
        if kind == "expired subkey":
            self.gpg("--quick-add-key", fingerprint, "ed25519", "sign", "1d")
        public = self.gpg("--export")
        self.keyring.write_bytes(self._revoked(public, fingerprint) if kind == "revoked" else public)

    def _revoked(self, public: bytes, fingerprint: str) -> bytes:
        # gpg keeps a revocation for each key it makes, with a colon against importing it by mistake.
        revocation = (self.home / f"openpgp-revocs.d/{fingerprint}.rev").read_bytes().replace(b":-----", b"-----", 1)
        other = self.home / "revoked"
        other.mkdir(mode=0o700)
        command = ["gpg", "--homedir", str(other), "--batch", "--quiet", "--no-autostart"]
        for data in (public, revocation):
            subprocess.run([*command, "--import"], input=data, check=True, capture_output=True)
        return subprocess.run([*command, "--export"], check=True, capture_output=True).stdout

    def gpg(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", "--passphrase", "", *self.time, *arguments]
        return subprocess.run(command, input=stdin, check=True, capture_output=True).stdout

    def sign(self, text: str, *options: str) -> bytes:
        return self.gpg(*options, "--clearsign", stdin=text.encode())

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)


class Mirror:
    """The tree of an archive with one package, `hello`; `publish` signs what is in it."""

    def __init__(self, root: Path, key: SigningKey):
        self.root = root
        self.key = key
        self.deb = _make_deb({"boot/image": b"kernel", "usr/share/doc/hello": b"text"})
        self.filename = "pool/main/h/hello/hello_1.0+b1_riscv64.deb"
        self.write(self.filename, self.deb)
        self.stanza = (
            "Package: hello\nVersion: 1.0+b1\nArchitecture: riscv64\n"
            "Depends: libc6 (>= 2.36), base:any | other, last\n"
            f"Filename: {self.filename}\nSize: {len(self.deb)}\nSHA256: {hashlib.sha256(self.deb).hexdigest()}\n\n"
        )
        self.publish()

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    def publish(self, *, by_hash: bool = False, codename: str = "trixie", sign=None) -> None:
        index = lzma.compress(f"Package: hello-world\nVersion: 7\n\n{self.stanza}".encode())
        digest = hashlib.sha256(index).hexdigest()
        place = f"by-hash/SHA256/{digest}" if by_hash else "Packages.xz"
        self.write(f"dists/trixie/main/binary-riscv64/{place}", index)
        release = (
            f"Origin: Test\nCodename: {codename}\nAcquire-By-Hash: {'yes' if by_hash else 'no'}\n"
            f"SHA256:\n {digest} {len(index):8} main/binary-riscv64/Packages.xz\n"
        )
        self.write("dists/trixie/InRelease", (sign or self.key.sign)(release))


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        self.server.requested.append(self.path)

    def copyfile(self, source, output):
        content = source.read()
        output.write(content[: len(content) // 2] if self.path in self.server.truncated else content)


@pytest.fixture
def make_deb():
    """Function: files by path, compression -> a package."""
    return _make_deb


@pytest.fixture
def make_ar():
    """Function: content by name -> an ar archive."""
    return _make_ar


@pytest.fixture(scope="session")
def signing_keys(tmp_path_factory):
    """Keys by kind: "" the archive's, "other", and those that SigningKey knows."""
    tools.require("gpg")
    # Not below tmp_path: its name may be too long for the agent's socket.
    names = ("", "other", "old", "expired", "expired subkey", "revoked")
    keys = {name: SigningKey(tmp_path_factory.mktemp("k") / "g", name) for name in names}
    yield keys
    for key in keys.values():
        key.close()


@pytest.fixture(params=["gpgv", "pysequoia"])
def verifier(request, monkeypatch):
    """What verifies signatures; the tests that ask for it run with each."""
    if request.param == "pysequoia":
        pytest.importorskip("pysequoia", reason="needs pysequoia: pip install 'vm-emulator[images]'")
        monkeypatch.setattr("vm.images.signature.which", lambda name: None)
    else:
        tools.require("gpgv")
    return request.param


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path, signing_keys):
    return Mirror(tmp_path / "mirror", signing_keys[""])


@pytest.fixture
def server(mirror):
    """The mirror on loopback; `requested` lists the paths asked for, those in `truncated` break off half-way."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(mirror.root))
    )
    server.requested, server.truncated = [], set()
    server.uri = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()
