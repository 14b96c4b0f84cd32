"""Random and malformed packets: whatever comes, the next packet is answered, and nothing is left behind."""

import random

import pytest

import vm
from tests.assembler import assemble_elf
from tests.gdb.conftest import debugging
from vm.driving import PlainDriver
from vm.gdb.packets import framed
from vm.stop import Stop, StopReason

GUEST = """
    la   t1, counter
1:  ld   t0, 0(t1)
    addi t0, t0, 1
    sd   t0, 0(t1)
    j    1b
    .balign 8
counter: .dword 0
"""
# One of each kind
VALID = (
    "?", "g", "G00", "p20", "p341", "P5=0011223344556677", "P20=0400008000000000",
    "m80000000,40", "M80001000,4:01020304",
    "X80001000,4:abcd", "H", "Hg1", "Hc-1", "Hgp1.2", "T1", "Z0,80000008,4", "z0,80000008,4", "Z1,80000010,2",
    "Z2,80000018,8",
    "Z3,80001000,10", "Z4,80001ff8,10", "z2,80000018,8", "c",
    "c80000000", "s", "s80000004", "C05", "S05", "C05;80000000",
    "bs", "bc", "vCont?", "vCont;c", "vCont;s:1;c", "vCont;s:2", "vCont;r80000000,80000010:1;c:-1", "vCont;C05:2",
    "qSupported:swbreak+;hwbreak+", "qXfer:features:read:target.xml:0,1000", "qXfer:memory-map:read::0,1000",
    "qXfer:threads:read::0,1000", "qfThreadInfo", "qsThreadInfo", "qThreadExtraInfo,1", "qC", "qAttached", "qOffsets",
    "qSymbol::", "qRcmd,68656c70", "qRcmd,696e666f20637372", "qRcmd,686973746f7279", "qqemu.PhyMemMode",
    "Qqemu.PhyMemMode:1", "Qqemu.PhyMemMode:0", "QNonStop:1", "vMustReplyEmpty", "!", "R00", "vFile:setfs:0",
)
EXTREMES = (b"0", b"1", b"-1", b"7fffffffffffffff", b"8000000000000000", b"ffffffffffffffff", b"10000000000000000",
            b"80000000", b"10000005", b"0x10", b"", b"zz", b"p1.1", b"ffff")
SEPARATORS = b",:;=.-+$#}*%\x00\x03\xff "
ENDS = (b"k", b"D", b"vKill")       # these end the session, as they must


class Hurried(PlainDriver):
    """What a random program does may last for ever."""

    def run(self, instructions: int | None) -> Stop:
        return super().run(500 if instructions is None else min(instructions, 500))


def mutated(dice: random.Random) -> bytes:
    """A packet that was valid once, or never."""
    packet = dice.choice(VALID).encode()
    for _ in range(dice.choice((0, 1, 1, 2, 4))):
        at = dice.randrange(len(packet) + 1)
        match dice.randrange(7):
            case 0:
                packet = packet[:at]
            case 1:
                packet = packet[:at] + bytes([dice.choice(SEPARATORS)]) + packet[at:]
            case 2:
                packet = packet[:at] + bytes([dice.randrange(256)]) + packet[at + 1:]
            case 3:
                packet = packet[:at] + dice.choice(VALID).encode()[dice.randrange(3):]
            case 4:
                packet = packet[:at] + dice.choice(EXTREMES) + packet[at + 8:]
            case 5:
                packet += packet[at:] * dice.randrange(4)
            case 6:
                packet = dice.randbytes(dice.randrange(20))
    return packet


def sent(dice: random.Random) -> bytes:
    """What goes over the line: mostly a packet as it must be, and now and then noise, or one that lost something."""
    packet = mutated(dice).translate(None, b"#$}")          # with them it would be another than it seems: perhaps `k`
    if packet.startswith(ENDS):
        packet = b"q" + packet
    whole = framed(packet)
    match dice.randrange(12):
        case 0:
            return b"+-\r\n"[dice.randrange(4):] + whole
        case 1:
            return whole[:-1] + b"z"
        case 2:
            return whole[:dice.randrange(len(whole))]
        case 3:
            return whole + b"\x03"
    return whole


def heard_after(stub, line: str) -> None:
    """A command that nobody else has given is answered."""
    stub.client.shown = b""
    stub.send("qRcmd," + line.encode().hex())
    while f"no command {line}".encode() not in stub.client.shown:
        stub.reply()


def bombard(count: int, seed: int, history: bool) -> None:
    """Send that many, in pieces of 50; the server must answer a question behind each."""
    dice = random.Random(seed)
    with vm.Machine(memory="2M", harts=2) as machine:
        machine.load(assemble_elf(GUEST))
        if history:
            machine.keep_history(memory="64M")
        left = count
        while left > 0:
            with debugging(machine, driver=Hurried(machine)) as stub:
                stub.raw(b"+")                              # as a debugger begins
                while left > 0 and not stub.ended:
                    left -= 50
                    try:
                        stub.raw(b"".join(sent(dice) for _ in range(50)) + b"#00")     # which ends one that was cut
                        heard_after(stub, f"nonsense {left}")
                    except (EOFError, ConnectionError):
                        ended = stub.wait()
                        assert isinstance(ended, Stop), ended
                        assert ended.reason in (StopReason.POWER_OFF, StopReason.EXIT)
            assert not machine.probes
            machine.reset()
        assert machine.run(instructions=100).steps == 100


@pytest.mark.parametrize("history", [False, True])
def test_random_packets(history):
    bombard(2000, 1, history)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_many_random_packets(seed):
    bombard(10_000, 100 + seed, history=seed % 2 == 1)


def test_noise(debugged):
    dice = random.Random(3)
    stub = debugged(GUEST)
    stub.raw(b"+")
    for _ in range(50):
        stub.raw(dice.randbytes(dice.randrange(5000)).translate(None, b"k"))
    stub.raw(b"#00")
    heard_after(stub, "nonsense")


def test_packet_that_never_ends(debugged):
    """It is not kept, and what comes behind it is answered."""
    stub = debugged(GUEST)
    stub.raw(b"$")
    for _ in range(40):
        stub.raw(b"a" * (1 << 18))
    stub.raw(b"#00")
    assert stub.ask("qC") == "QC1"


def test_packets_while_the_machine_runs(debugged):
    """They have no business there; the interrupt behind them is heard."""
    stub = debugged(GUEST)
    stub.send("c")
    stub.raw(framed(b"qC") * 5000 + b"\x03")
    assert stub.reply().startswith("T02")
    assert stub.reply() == "QC1"
