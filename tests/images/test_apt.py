"""The host's apt settings: sources.list(5), apt.conf(5)."""

import pytest

from tests.tools import needs
from vm.errors import ImageError
from vm.images import apt, suite
from vm.images.fetch import proxies


@pytest.fixture
def etc(tmp_path):
    (tmp_path / "sources.list.d").mkdir()
    return tmp_path


def test_one_line_format(etc):
    (etc / "sources.list").write_text(
        "# deb http://comment.invalid x main\n"
        "deb-src http://source.invalid/debian bookworm main\n"
        "deb [arch=amd64 signed-by=/a/b.gpg] http://first.invalid/debian bookworm main # note\n"
        "deb http://security.invalid/debian-security bookworm-security main\n"
        "deb http://first.invalid/debian bookworm-updates main\n"
    )
    (etc / "sources.list.d/more.list").write_text("deb https://second.invalid/debian sid main\n")
    (etc / "sources.list.d/old.list.save").write_text("deb https://third.invalid/debian sid main\n")
    assert apt.mirrors(etc) == ["http://first.invalid/debian", "https://second.invalid/debian"]


def test_deb822_format(etc):
    (etc / "sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# http://comment.invalid\nURIs: http://first.invalid/debian\n http://second.invalid/debian\n"
        "Suites: bookworm bookworm-updates\nComponents: main\n"
        "\n"
        "Types: deb\nURIs: http://security.invalid/debian-security\nSuites: bookworm-security\nComponents: main\n"
        "\n"
        "Enabled: no\nTypes: deb\nURIs: http://off.invalid/debian\nSuites: sid\n"
        "\n"
        "types: deb-src\nuris: http://source.invalid/debian\nsuites: sid\n"
    )
    assert apt.mirrors(etc) == ["http://first.invalid/debian", "http://second.invalid/debian"]


def test_mirror_list_file(etc):
    listing = etc / "mirrors.list"
    listing.write_text("http://first.invalid/debian\tpriority:1\n\nhttp://second.invalid/debian\n")
    (etc / "sources.list").write_text(f"deb mirror+file:{listing} bookworm main\n")
    assert apt.mirrors(etc) == ["http://first.invalid/debian", "http://second.invalid/debian"]


def test_sources_that_are_no_servers_are_left_out(etc):
    (etc / "sources.list").write_text("deb cdrom:[Debian]/ bookworm main\ndeb copy:/srv/debian bookworm main\n")
    assert apt.mirrors(etc) == ["file:/srv/debian"]


def test_host_without_apt(tmp_path, monkeypatch):
    assert apt.mirrors(tmp_path / "none") == []
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apt.configuration() == {}


def test_no_mirror_at_all(monkeypatch):
    monkeypatch.delenv("VM_DEBIAN_MIRROR", raising=False)
    monkeypatch.setattr(apt, "mirrors", list)
    with pytest.raises(ImageError, match="pass --mirror URI or set VM_DEBIAN_MIRROR"):
        suite.debian_archive()


@needs("apt-config")
def test_configuration_is_read_from_apt(tmp_path, monkeypatch):
    (tmp_path / "apt.conf").write_text('Acquire::HTTP::Proxy "http://proxy.invalid:3128";\n')
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    assert apt.configuration()["acquire::http::proxy"] == "http://proxy.invalid:3128"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"http": "http://env.invalid"}),
        ({"acquire::http::proxy": "http://a.invalid"}, {"http": "http://a.invalid", "https": "http://a.invalid"}),
        ({"acquire::https::proxy": "http://a.invalid"}, {"http": "http://env.invalid", "https": "http://a.invalid"}),
        ({"acquire::http::proxy": "http://a.invalid", "acquire::http::proxy::host": "DIRECT"}, {}),
    ],
    ids=["environment", "apt", "apt-https", "direct"],
)
def test_proxies(monkeypatch, options, expected):
    """apt's proxy for the host goes before its general one, that before the environment's."""
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://env.invalid")
    chosen = proxies(options, "host")
    assert {scheme: chosen[scheme] for scheme in ("http", "https") if scheme in chosen} == expected
