"""What the screen says of itself, read by edid-decode where that is there, and by hand (VESA EDID 1.4)."""

import re
import subprocess

import pytest

from tests.tools import needs
from vm.devices.virtio.gpu.edid import edid

SIZES = [(1280, 800), (1024, 768), (1920, 1080), (640, 480), (3840, 2160), (4095, 4095), (1921, 1081), (320, 200),
         (64, 64), (4095, 64), (64, 4095)]


@pytest.mark.parametrize("size", SIZES)
def test_block(size):
    """Header, version and checksum; the size is that of the first detailed timing (3.10.2)."""
    block = edid(*size)
    assert len(block) == 128 and sum(block) % 256 == 0
    assert block[:8] == bytes.fromhex("00ffffffffffff00") and tuple(block[18:20]) == (1, 4) and block[126] == 0
    timing = block[54:72]
    assert (timing[2] | (timing[4] >> 4) << 8, timing[5] | (timing[7] >> 4) << 8) == size


@pytest.mark.parametrize("size, rate", [((1280, 800), 60), ((1920, 1080), 60), ((3840, 2160), 60), ((4095, 4095), 30)])
def test_refresh_rate(size, rate):
    """The pixel clock over all pixels, those that are not seen counted: within the steps of the clock."""
    timing = edid(*size)[54:72]
    across = size[0] + (timing[3] | (timing[4] & 15) << 8)
    down = size[1] + (timing[6] | (timing[7] & 15) << 8)
    assert int.from_bytes(timing[:2], "little") * 10_000 / across / down == pytest.approx(rate, rel=0.005)


@needs("edid-decode")
@pytest.mark.parametrize("size", SIZES)
def test_edid_decode_finds_no_fault(size):
    said = subprocess.run(["edid-decode", "--check"], input=edid(*size), capture_output=True).stdout.decode()
    assert "EDID conformity: PASS" in said
    assert re.search(rf"DTD 1: +{size[0]}x{size[1]} ", said)
