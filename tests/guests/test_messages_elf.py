"""The firmware that fuzzers are shown on: the committed ELF is what its source builds, and it takes messages apart as
messages.h says.
"""

import random
import shutil

import pytest

from tests.fleet.programs import answer, at_ready, message
from tests.guests.test_demo_elf import zig_version
from vm.guests.compiler import ZIG_VERSION
from vm.guests.messages.build import ROOT, build

ELF = ROOT / "messages.elf"
NAME, NUMBER, LIST, PICTURE, OPTION, CHECK, SPOT = range(1, 8)
TOO_SHORT, NO_MESSAGE, BAD_VERSION, BAD_RECORD, BAD_TEXT = range(1, 6)
BAD_NUMBER, TOO_DEEP, TOO_LARGE, BAD_SUM, NO_ROOM = range(6, 11)


@pytest.fixture(scope="module")
def firmware():
    with at_ready().machine() as machine:
        yield machine


@pytest.mark.skipif(zig_version() != ZIG_VERSION, reason=f"needs ziglang {ZIG_VERSION}")
def test_committed_elf_is_what_the_source_builds_wherever_it_is(tmp_path):
    assert build(tmp_path / "here.elf").read_bytes() == ELF.read_bytes()
    copy = shutil.copytree(ROOT, tmp_path / "copy")
    assert build(tmp_path / "there.elf", copy).read_bytes() == ELF.read_bytes()


def records(*payloads: bytes) -> list[tuple[int, bytes]]:
    return [(OPTION, payload) for payload in payloads]


def summed(*before: tuple[int, bytes]) -> bytes:
    """A message that ends with its own check sum."""
    start = bytearray(message(*before))
    start[3] += 1
    return bytes(start) + bytes((CHECK, 2)) + (sum(start) % (1 << 16)).to_bytes(2, "big")


def nested(depth: int) -> tuple[int, bytes]:
    inner = b"\x01\x02\x011"                # one record: the number 1
    for _ in range(depth):
        inner = b"\x01" + bytes((LIST, len(inner))) + inner
    return inner[1], inner[3:]


@pytest.mark.parametrize("data, expected", [
    (message(), "0 records"),
    (b"VM\x01", TOO_SHORT), (b"VX\x01\x00", NO_MESSAGE), (b"VM\x02\x00", BAD_VERSION), (b"VM\x01\x00more", BAD_RECORD),
    (b"VM\x01\x01\x01\x05abc", TOO_SHORT), (message((9, b"")), BAD_RECORD),
    (message((NAME, b"a\\n\\t\\\\\\x41")), "1 records"), (message((NAME, b"x" * 31)), "1 records"),
    (message((NAME, b"x" * 32)), TOO_LARGE), (message((NAME, b"\\q")), BAD_TEXT), (message((NAME, b"\\x4")), BAD_TEXT),
    (message((NAME, b"\\")), BAD_TEXT), (message((NAME, b"\\xgg")), BAD_TEXT),
    (message((NUMBER, b"-12.345"), (NUMBER, b"+7")), "2 records"), (message((NUMBER, b"1.2345")), BAD_NUMBER),
    (message((NUMBER, b"")), BAD_NUMBER), (message((NUMBER, b"-")), BAD_NUMBER),
    (message((NUMBER, b"1.2.3")), BAD_NUMBER), (message((NUMBER, b"9" * 16)), TOO_LARGE),
    (message(nested(1)), "2 records"), (message(nested(4)), "5 records"), (message(nested(5)), TOO_DEEP),
    (message((LIST, b"")), BAD_RECORD),
    (message((PICTURE, b"\xffa\x01b")), "1 records"), (message((PICTURE, b"\xffa\x02b")), TOO_LARGE),
    (message((PICTURE, b"\x01")), BAD_RECORD),
    (message((OPTION, b"key=value"), (OPTION, b"key=other"), (OPTION, b"k=")), "3 records"),
    (message((OPTION, b"key")), BAD_TEXT), (message((OPTION, b"=x")), BAD_TEXT),
    (message((OPTION, b"k\0=x")), BAD_TEXT),
    (message((OPTION, b"k" * 12 + b"=")), TOO_LARGE), (message((OPTION, b"k=" + b"v" * 20)), TOO_LARGE),
    (message(*records(*(b"%d=" % number for number in range(8)))), "8 records"),
    (message(*records(*(b"%d=" % number for number in range(9)))), NO_ROOM),
    (summed((NUMBER, b"1")), "2 records"), (summed(), "1 records"), (message((CHECK, b"\0\0")), BAD_SUM),
    (message((CHECK, b"\0")), BAD_RECORD),
    (message((SPOT, b"\x0f\0\x0f\0x")), "1 records"), (message((SPOT, b"\x10\0\0\0x")), TOO_LARGE),
    (message((SPOT, b"\0\0\0\1x")), TOO_LARGE), (message((SPOT, b"\0\0\0\0")), BAD_RECORD),
])
def test_messages_are_taken_apart_as_their_header_says(data, expected):
    with at_ready().machine() as machine:
        said = expected if isinstance(expected, str) else f"error {expected}"
        assert answer(machine, data) == said


def test_settings_are_what_was_sent(firmware):
    settings = firmware.program.symbols["settings"].address
    assert answer(firmware, message((NAME, b"d\\x65vice"), (NUMBER, b"-1.5"), (SPOT, b"\3\0\2\0\7"))) == "3 records"
    assert firmware.memory.read(settings, 7) == b"device\0"
    assert int.from_bytes(firmware.memory.read(settings + 32, 8), "little", signed=True) == -1500
    grid = settings + firmware.program.symbols["settings"].size - 16 * 16
    assert firmware.memory.read(grid + 2 * 16 + 3, 1) == b"\7"


def test_no_message_ends_the_firmware(firmware):
    dice = random.Random(1)
    for _ in range(300):
        some = [(dice.randrange(9), dice.randbytes(dice.randrange(12))) for _ in range(dice.randrange(4))]
        said = answer(firmware, message(*some))
        assert said.startswith("error ") or said == f"{len(some)} records" or any(kind == LIST for kind, _ in some)
