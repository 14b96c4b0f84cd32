"""HTIF: the ways in which programs store into `tohost` (fesvr's syscall and console devices)."""

import pytest

from vm.errors import LoadError
from vm.stop import StopReason

pytestmark = pytest.mark.usefixtures("dispatch")
WORDS = """
    .balign 64
tohost:
    .dword 0
    .balign 64
fromhost:
    .dword 0
    .balign 64
call:
    .zero 64
text:
    .ascii "hello, host"
"""


def program(guest, source: str, **options):
    text = f".option norvc\n la s0, tohost\n la s1, fromhost\n la s2, call\n{source}\n1: j 1b\n{WORDS}"
    return guest(text, **options)


@pytest.mark.parametrize("code", [0, 1, 42, 255, 0x1234])
def test_store_of_eight_bytes_exits_at_once(code, guest):
    g = program(guest, f"li t0, {code << 1 | 1}\n store: sd t0, 0(s0)")
    stop = g.run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, code)
    assert stop.pc == g.address("store") + 4
    assert g.word("tohost") == 0


@pytest.mark.parametrize("source", [
    "li t0, 7\n sw t0, 0(s0)\n sw zero, 4(s0)",
    "li t0, 7\n sw zero, 4(s0)\n sw t0, 0(s0)",
    "li t0, 7\n sw t0, 0(s0)\n nop\n nop\n nop\n sw zero, 4(s0)",
    "li t0, 7\n2: sw t0, 0(s0)\n j 2b",
    "li t0, 7\n sw t0, 0(s0)",
    "li t0, 7\n sw t0, 0(s0)\n wfi",
], ids=["low-high", "high-low", "apart", "in a loop", "once", "and waits"])  # fmt: skip
def test_stores_of_four_bytes_exit(source, guest):
    """riscv-tests and RV32 programs write two halves, in either order; some only the low one, again and again."""
    stop = program(guest, source).run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 3)


PRINT = "li t0, 0x0101000000000000 + {}\n sd t0, 0(s0)\n 2: ld t1, 0(s1)\n beqz t1, 2b\n sd zero, 0(s1)\n"
EXIT = "li t0, 1\n sd t0, 0(s0)\n"


# Asks for a key and polls `fromhost` for the answer, as OpenSBI's console does; s3: what the answer was.
ASK = "li t0, 0x0100000000000000\n sd t0, 0(s0)\n 3: ld s3, 0(s1)\n beqz s3, 3b\n sd zero, 0(s1)\n"


def test_console_device_reads_a_key(guest):
    """fesvr's bcd_t: the answer is 0x100 and the character, once there is one; until then there is none."""
    g = program(guest, ASK + "wfi\n" + ASK + "wfi")
    assert g.run(instructions=10_000).reason is StopReason.BUDGET
    assert g.word("tohost") == 0 and g.word("fromhost") == 0
    g.machine.console.send("kl")
    g.finish()
    assert g["s3"] == 0x0100_0000_0000_0100 | ord("k")
    g.hart.pc += 0                      # ends the wfi
    g.finish()
    assert g["s3"] == 0x0100_0000_0000_0100 | ord("l")


def test_key_waits_until_the_answer_before_is_taken(guest):
    """A program that prints while it waits for a key; the answer to printing is not lost either."""
    g = program(guest, """
        li t0, 0x0100000000000000; sd t0, 0(s0)
        li t0, 0x0101000000000000 + '?'; sd t0, 0(s0)
        li t1, 100000; 2: addi t1, t1, -1; bnez t1, 2b
        ld s4, 0(s1); sd zero, 0(s1)
        3: ld s3, 0(s1); beqz s3, 3b; wfi
    """)
    g.run(instructions=1000)
    g.machine.console.send("k")
    g.finish()
    assert (g["s4"], g["s3"]) == (0x0101 << 48, 0x0100 << 48 | 0x100 | ord("k"))
    assert g.machine.console.output == b"?"


def test_answer_that_is_never_taken_ends_no_rest(guest):
    """The program waits for ever and leaves the answer to printing where it is: nobody looks for it again and again."""
    g = program(guest, """
        li t0, 0x0101000000000000 + '?'; sd t0, 0(s0)
        li t0, 0x0100000000000000; sd t0, 0(s0)
        wfi
    """)
    g.machine.console.send("k")
    g.run(seconds=1)
    assert g.machine.events.pending() == []
    g.finish()


@pytest.mark.parametrize("clear", ["sd zero, 0(s1)", "sw zero, 4(s1)\n sw zero, 0(s1)", "amoswap.d zero, zero, (s1)"])
def test_key_comes_once_the_answer_before_is_taken(clear, guest):
    """However it is taken, and the key then comes without another look at the keyboard."""
    g = program(guest, f"""
        li t0, 0x0101000000000000 + '?'; sd t0, 0(s0)
        li t0, 0x0100000000000000; sd t0, 0(s0)
        li t1, 20; 2: addi t1, t1, -1; bnez t1, 2b
        {clear}
        wfi
    """)
    g.machine.console.send("k")
    g.finish()
    assert g.word("fromhost") == 0x0100 << 48 | 0x100 | ord("k")


def test_console_device_prints(guest):
    """Device 1, command 1; tohost is cleared and fromhost answers."""
    g = program(guest, "".join(PRINT.format(ord(letter)) for letter in "Hi!\n") + EXIT)
    assert g.run().reason is StopReason.EXIT
    assert g.machine.console.output == b"Hi!\n"
    assert g.word("tohost") == 0


@pytest.mark.parametrize("first, second", [(0, 4), (4, 0)])
def test_console_device_through_halves(first, second, guest):
    """The character in the low half, device and command in the high one."""
    values = {0: ord("x"), 4: 0x0101_0000}
    letter = "".join(f"li t0, {values[offset]}\n sw t0, {offset}(s0)\n" for offset in (first, second))
    g = program(guest, letter * 3 + EXIT)
    assert g.run().reason is StopReason.EXIT
    assert g.machine.console.output == b"xxx"


def test_fromhost_is_set_for_the_console(guest):
    g = program(guest, "li t0, 0x0101000000000041\n sd t0, 0(s0)\n nop")
    g.run(instructions=100)
    assert g.word("fromhost") == 0x0101 << 48


CALL = """
    li   t0, {number}
    sd   t0, 0(s2)
    li   t0, {descriptor}
    sd   t0, 8(s2)
    la   t0, text
    sd   t0, 16(s2)
    li   t0, {size}
    sd   t0, 24(s2)
    fence
    sd   s2, 0(s0)
2:  ld   t1, 0(s1)
    beqz t1, 2b
    sd   zero, 0(s1)
    ld   a0, 0(s2)
"""


@pytest.mark.parametrize("descriptor", [1, 2])
def test_proxied_write(descriptor, guest):
    g = program(guest, CALL.format(number=64, descriptor=descriptor, size=11) + EXIT)
    assert g.run().reason is StopReason.EXIT
    assert g.machine.console.output == b"hello, host" and g["a0"] == 11


@pytest.mark.parametrize("number, descriptor, error", [(64, 7, 9), (1234, 1, 38)], ids=["EBADF", "ENOSYS"])
def test_call_that_cannot_be_served_answers_with_an_error(number, descriptor, error, guest):
    g = program(guest, CALL.format(number=number, descriptor=descriptor, size=11) + EXIT)
    assert g.run().reason is StopReason.EXIT
    assert g["a0"] == (1 << 64) - error and g.machine.console.output == b""


def test_proxied_exit(guest):
    stop = program(guest, CALL.format(number=93, descriptor=5, size=0)).run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 5)


def test_other_stores_in_the_page_are_no_commands(guest):
    g = program(guest, "li t0, 1\n sd t0, 8(s0)\n sd t0, -8(s0)\n sb t0, 16(s0)\n wfi")
    assert g.run().reason is StopReason.IDLE


def test_zero_is_no_command(guest):
    g = program(guest, "sd zero, 0(s0)\n sw zero, 0(s0)\n sw zero, 4(s0)\n wfi")
    assert g.run().reason is StopReason.IDLE
    assert g.word("fromhost") == 0


def test_program_without_the_symbol_is_not_watched(guest):
    """The same store, with nothing called tohost."""
    g = guest("la s0, word; li t0, 1; sd t0, 0(s0); wfi; .balign 8; word: .dword 0")
    assert g.run().reason is StopReason.IDLE
    assert g.word("word") == 1


def test_machine_runs_on_after_an_exit(guest):
    g = program(guest, EXIT + "li a0, 9\n" + EXIT)
    assert g.run().reason is StopReason.EXIT
    assert g.run().reason is StopReason.EXIT
    assert g["a0"] == 9


def test_atomic_store_is_a_command(guest):
    stop = program(guest, "li t0, 3\n amoswap.d zero, t0, (s0)").run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 1)


def test_half_a_command_before_a_reset_is_forgotten(guest):
    """The reset comes between the halves; the program starts over and takes its time for the second."""
    g = program(guest, "li t0, 7\n sw t0, 0(s0)\n li t1, 3000\n2: addi t1, t1, -1\n bnez t1, 2b\n sw zero, 4(s0)")
    g.run(instructions=9)
    g.machine.reset()
    assert g.machine.events.pending() == []
    stop = g.run()
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 3)


def test_compare_and_swap_of_16_bytes_is_a_command(guest):
    source = "ld a0, 0(s0)\n ld a1, 8(s0)\n li a2, 3\n mv a3, a1\n .insn r 0x2F, 4, 0x14, a0, s0, a2"
    stop = program(guest, source, isa="rv64gc_zacas").run(instructions=1000)
    assert (stop.reason, stop.exit_code) == (StopReason.EXIT, 1)


def test_zeroing_the_block_completes_a_command(guest):
    """It is the second store, so that the next one is a first half again, which alone means nothing."""
    g = program(guest, """
        li  t0, 3
        sw  t0, 0(s0)
        .insn i 0x0F, 2, x0, s0, 4
        li  t0, 'A'
        sw  t0, 0(s0)
        li  t0, 0x01010000
        sw  t0, 4(s0)
    """, isa="rv64gc_zicboz")
    assert g.run(instructions=1000).reason is StopReason.BUDGET
    assert g.machine.console.output == b"A"


def test_output_that_raises_is_repeated(guest):
    """The exception comes out of the run; the command is still there, and is served when the machine runs on."""
    g = program(guest, "li t0, 0x0101000000000041\n sd t0, 0(s0)")
    g.machine.console.mirror = lambda data: 1 / 0
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            g.run(instructions=1000)
    printed = []
    g.machine.console.mirror = printed.append
    g.run(instructions=1000)
    assert printed == [b"A"]


def test_tohost_outside_ram_is_refused(guest):
    with pytest.raises(LoadError, match="tohost"):
        guest(".globl tohost\n .equ tohost, 0x1000\n wfi")
