"""Framing, by the GDB manual's section on packets; expected values are its examples or follow from its rules."""

import random

import pytest

from vm.gdb.packets import Mark, PacketReader, escaped, framed


def read(*pieces: bytes, longest: int = 1000) -> list[bytes | Mark]:
    reader = PacketReader(longest)
    return [found for piece in pieces for found in reader.feed(piece)]


def test_checksum_is_the_sum_of_all_characters():
    assert framed(b"OK") == b"$OK#9a"                       # 0x4f + 0x4b
    assert read(b"$OK#9a") == [b"OK"]
    assert read(b"$OK#9A$#00") == [b"OK", b""]


@pytest.mark.parametrize("wrong", [b"$OK#9b", b"$OK#zz", b"$OK#+9", b"$OK# 9", b"$a}#de", b"$}}}#77"])
def test_damaged_packet(wrong):
    assert read(wrong) == [Mark.DAMAGED]


def test_marks_between_packets_and_what_means_nothing():
    stream = b"+-\x03junk\r\n" + framed(b"g") + b"\x03"
    assert read(stream) == [Mark.TAKEN, Mark.REPEAT, Mark.INTERRUPT, b"g", Mark.INTERRUPT]


def test_bytes_come_in_any_pieces():
    stream = b"+" + framed(b"m1000,4") + b"\x03" + framed(escaped(b"#$}*\x03")) + b"$OK#00-"
    whole = read(stream)
    assert whole == [Mark.TAKEN, b"m1000,4", Mark.INTERRUPT, b"#$}*\x03", Mark.DAMAGED, Mark.REPEAT]
    assert read(*(stream[at : at + 1] for at in range(len(stream)))) == whole
    dice = random.Random(1)
    for _ in range(100):
        cuts = sorted(dice.choices(range(len(stream)), k=4))
        assert read(*(stream[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True))) == whole


def test_dollar_begins_a_packet_anew():
    """The end of the first one was lost on the way."""
    assert read(b"$m1000,4" + framed(b"g")) == [b"g"]


def test_escape_inverts_bit_5():
    assert escaped(b"}") == b"}]"                           # the manual's own example: 0x7d as 0x7d 0x5d
    assert read(framed(b"}\x03}\x04}]}\x0a")) == [b"#$}*"]


def test_packet_that_is_too_long_is_left_out():
    assert read(b"$" + b"a" * 2000, b"a" * 50 + b"#00", framed(b"g")) == [Mark.DAMAGED, b"g"]


def test_interrupt_within_a_packet_is_data():
    assert read(framed(b"X0,1:\x03")) == [b"X0,1:\x03"]
