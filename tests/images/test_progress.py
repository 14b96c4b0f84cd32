"""A download is seen: on a terminal, by the caller's function, in the log."""

import io
import logging
import sys

import pytest

from vm.images import Archive
from vm.images.progress import download_progress


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def a_terminal(monkeypatch):
    """A function: standard error becomes a terminal, which it returns. To be called in the test, which pytest starts
    by putting its own there."""
    def replace():
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", FakeTerminal())
        return sys.stderr
    return replace


@pytest.fixture
def download(mirror, server, cache):
    """download(progress) fetches a package"""
    source = Archive([server.uri], "trixie", "riscv64", mirror.key.keyring)
    return lambda *progress: source.fetch(source.package("hello", *progress), *progress)


def test_bar_on_a_terminal(download, a_terminal):
    terminal = a_terminal()
    download()
    assert "Packages-riscv64" in terminal.getvalue() and "hello" in terminal.getvalue()


def test_bar_leaves_standard_output_alone(download, a_terminal, capsys):
    """What the program prints meanwhile, from another thread, is its own."""
    a_terminal()
    with download_progress("file") as progress:
        progress(1, 2)
        print("printed")
    assert capsys.readouterr().out == "printed\n"


def test_no_bar_for_what_is_in_the_cache(download, a_terminal):
    terminal = a_terminal()
    download(False)
    assert terminal.getvalue() == ""
    download()
    assert terminal.getvalue() == ""


def test_no_bar_where_nobody_looks(download, capsys):
    download()
    assert capsys.readouterr() == ("", "")


def test_process_without_standard_error(download, monkeypatch, mirror):
    closed = io.StringIO()
    closed.close()
    for stream in (None, closed):
        monkeypatch.setattr(sys, "stderr", stream)
        path = download()
        path.unlink()


def test_own_function_in_place_of_the_bar(download, a_terminal, mirror):
    terminal = a_terminal()
    calls = []
    download(lambda received, total: calls.append((received, total)))
    assert calls[-1] == (len(mirror.deb), len(mirror.deb)) and terminal.getvalue() == ""


def test_error_of_the_function_comes_out_unchanged(download, cache):
    def broken(received, total):
        raise BrokenPipeError("the caller's")

    with pytest.raises(BrokenPipeError, match="^the caller's$"):
        download(broken)
    assert not [path for path in cache.rglob("*.deb")]


def test_log_names_what_is_downloaded(download, caplog, mirror, server):
    with caplog.at_level(logging.INFO, "vm.images"):
        download()
        assert [record.getMessage() for record in caplog.records][-1] == (
            f"downloading {server.uri}/{mirror.filename}, {len(mirror.deb) / 1e6:.1f} MB")
        caplog.clear()
        download()
    assert not caplog.records
