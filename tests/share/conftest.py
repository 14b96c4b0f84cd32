import os

import pytest

from tests.share.client import Client
from vm.share.server import Server


@pytest.fixture
def outside(tmp_path):
    """A folder beside the one that is shared: it must stay as it is, and unread."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("the host's own")
    yield outside
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("secret", "the host's own")]


@pytest.fixture
def folder(tmp_path, outside):
    folder = tmp_path / "shared"
    folder.mkdir()
    (folder / "file").write_bytes(b"content")
    (folder / "sub").mkdir()
    (folder / "sub" / "below").write_bytes(b"more")
    (folder / "link").symlink_to("sub/below")
    return folder


@pytest.fixture
def server(folder):
    """Closed afterwards, when no descriptor may be left."""
    before = len(os.listdir("/proc/self/fd"))
    server = Server(folder)
    yield server
    server.close()
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.fixture
def client(server):
    return Client(server).start()
