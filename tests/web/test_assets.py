"""The terminal's files: fetched from a registry, pinned to the byte, unpacked where they belong."""

import base64
import hashlib
import http.server
import io
import re
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import pytest

from vm.errors import Unreachable
from vm.web import assets, files
from vm.web.assets import FILES, PINNED, fetch_assets, registry

ROOT = Path(__file__).parents[2]


def packed(files):
    """A tarball as the registry has it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


@pytest.fixture
def served(tmp_path, monkeypatch):
    """A registry with packages like the real ones, which `npm_config_registry` names; what it is asked for."""
    asked, tarballs = [], {}
    pinned = []
    for package in PINNED:
        tarball = packed({member: f"{package.name} {member}".encode() for member in package.files.values()}
                         | {"package/other": b"?", "../outside": b"!"})
        tarballs[f"/npm/{package.path}"] = tarball
        digest = base64.b64encode(hashlib.sha512(tarball).digest()).decode()
        pinned.append(package._replace(size=len(tarball), integrity=digest))
    monkeypatch.setattr(assets, "PINNED", tuple(pinned))

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200 if self.path in tarballs else 404)
            self.end_headers()
            self.wfile.write(tarballs.get(self.path, b""))

        def log_message(self, *message):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/npm/")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("VM_CACHE", str(tmp_path / "cache"))
    server.asked, server.tarballs = asked, tarballs
    yield server
    server.shutdown()
    server.server_close()


def test_the_files_that_are_wanted_and_no_others(served, tmp_path):
    fetch_assets(tmp_path / "page")
    assert sorted(path.name for path in (tmp_path / "page").iterdir()) == sorted(FILES)
    assert (tmp_path / "page" / "xterm.mjs").read_bytes() == b"xterm package/lib/xterm.mjs"
    assert served.asked[0] == f"/npm/@xterm/xterm/-/xterm-{PINNED[0].version}.tgz"


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"a", lambda data: b"a" + data[1:],
                                    lambda data: b""])
def test_what_is_not_as_pinned_is_not_used(served, tmp_path, change):
    last = list(served.tarballs)[-1]
    served.tarballs[last] = change(served.tarballs[last])
    with pytest.raises(Unreachable, match=r"addon-search.*are not what is pinned"):
        fetch_assets(tmp_path / "page")
    assert not (tmp_path / "page").exists()


def test_the_cache_is_filled_once(served, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "PACKED", tmp_path / "nowhere")
    names = files.page_files()
    count = len(served.asked)
    assert files.page_files() == names and len(served.asked) == count == len(PINNED)
    assert names["xterm/xterm.css"].is_relative_to(tmp_path / "cache") and names["index.html"].is_file()


def test_a_wheel_needs_no_registry(served, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "PACKED", tmp_path)
    for name in FILES:
        (tmp_path / name).write_text("there")
    assert files.page_files()["xterm/xterm.mjs"] == tmp_path / "xterm.mjs" and not served.asked


def test_a_registry_that_does_not_answer(served, tmp_path):
    served.tarballs.clear()
    with pytest.raises(Unreachable, match=r"xterm-.*\.tgz: Not Found"):
        fetch_assets(tmp_path / "page")


@pytest.mark.parametrize("text, expected", [
    ("registry=https://all.example/", "https://all.example"),
    ("registry = https://all.example\n@xterm:registry=https://scope.example/npm/\n", "https://scope.example/npm"),
    ("# nothing\nfund=false\n", assets.PUBLIC_REGISTRY),
])
def test_npm_is_configured_in_a_file_too(monkeypatch, tmp_path, text, expected):
    monkeypatch.delenv("npm_config_registry", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".npmrc").write_text(text)
    assert registry() == expected


def test_all_names_of_the_page_are_files_of_it():
    """What the page's modules import, and what the HTML names."""
    page = {path.name: path.read_text() for path in files.STATIC.iterdir() if path.is_file()}
    wanted = {name for text in page.values() for name in re.findall(r'(?:from |src=|href=)"([^"]+)"', text)}
    assert {"style.css", "main.mjs", "xterm/xterm.css", "./harts.mjs", "./xterm/xterm.mjs"} <= wanted
    assert {name.removeprefix("./") for name in wanted} <= set(page) | {f"xterm/{name}" for name in FILES}


# --- In a build ------------------------------------------------------------------------------------------------------

@pytest.fixture
def fetch_terminal(monkeypatch):
    """That function of setup.py, which is not run."""
    source = (ROOT / "setup.py").read_text()
    start, end = source.index("def fetch_terminal"), source.index("\n\nos.chdir(ROOT)")
    space = {"ROOT": ROOT, "Path": Path, "sys": sys}
    monkeypatch.setattr(sys, "path", [*sys.path])
    exec(source[start:end], space)
    return space["fetch_terminal"]


def test_a_build_puts_them_into_the_package(served, tmp_path, fetch_terminal):
    fetch_terminal(tmp_path)
    folder = tmp_path / files.PACKED.relative_to(ROOT)
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)


def test_a_build_without_network_goes_on_and_says_so(served, tmp_path, fetch_terminal, capsys):
    served.tarballs.clear()
    fetch_terminal(tmp_path)
    assert not list(tmp_path.iterdir()) or not list(tmp_path.rglob("*.mjs"))
    assert "warning: the terminal of the web console is not in this build" in capsys.readouterr().err


def test_the_build_needs_nothing_that_is_built():
    """It imports vm.web.assets before anything is compiled, with nothing installed but the standard library."""
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import vm.web.assets; "
            "print([name for name in sys.modules if name.split('.')[0] in ('vm_native', 'numpy', 'websockets')])")
    output = subprocess.run([sys.executable, "-I", "-S", "-c", code, str(ROOT)], capture_output=True, text=True,
                            check=True).stdout
    assert output == "[]\n"


@pytest.mark.network
def test_the_real_ones(tmp_path):
    """What is pinned is there, and what the page needs is in it."""
    fetch_assets(tmp_path)
    assert b"export{" in (tmp_path / "xterm.mjs").read_bytes() and b".xterm" in (tmp_path / "xterm.css").read_bytes()
    assert all(b"MIT" in path.read_bytes() or b"Permission is hereby granted" in path.read_bytes()
               for path in tmp_path.glob("LICENSE*"))
