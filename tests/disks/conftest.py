"""qemu-img, beside which our images are checked."""

import random
import subprocess

import pytest

from tests.tools import require


def call(tool, *arguments):
    done = subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def qemu_img():
    require("qemu-img")
    return lambda *arguments: call("qemu-img", *arguments)


@pytest.fixture
def qemu_io():
    require("qemu-io")
    return lambda path, *commands: [call("qemu-io", "-c", command, path) for command in commands]


@pytest.fixture
def sparse(tmp_path):
    """A raw image of 3 MiB and a sector: data here and there, and zeros between."""
    draw = random.Random(7)
    content = bytearray(3 << 20 | 512)
    for start in (0, 70_000, 1 << 20, (3 << 20) - 100):
        content[start:start + 5000] = draw.randbytes(min(5000, len(content) - start))
    path = tmp_path / "sparse.img"
    path.write_bytes(content)
    return path


def content_of(image):
    data = bytearray(image.size)
    image.read(0, memoryview(data))
    return bytes(data)
