"""What a kernel may expect of the firmware, seen by small guests in S-mode; no Linux, no download.

The expectations are those of the SBI specification, of the kernel's Documentation/arch/riscv/boot.rst, and what
OpenSBI sets up.
"""

import pytest

import vm
from tests.assembler import assemble
from vm.boot import held_by_firmware
from vm.images.busybox import OPENSBI_FILES, opensbi
from vm.loaders import File, Range
from vm.loaders.linux import HEADER, MAGIC2

JUMP_OVER_HEADER = 0x0400_006F.to_bytes(8, "little")        # jal x0, 64
SUPERVISOR = 1
STCE, ADUE = 1 << 63, 1 << 61
FDT_MAGIC = bytes.fromhex("d00dfeed")

# Legacy calls are enough to print a character of a0 and to power off.
SUBROUTINES = """
put:
    li a7, 1
    ecall
    ret
power_off:
    li a7, 8
    ecall
"""


@pytest.fixture
def boot(tmp_path):
    """boot(source, harts=1, firmware=None) -> a machine ready to run the program as a kernel"""
    machines = []

    def build(source: str, **options) -> vm.Machine:
        code = assemble(source + SUBROUTINES)
        size = HEADER.size + len(code)
        image = tmp_path / "Image"
        header = HEADER.pack(JUMP_OVER_HEADER, 0x20_0000, size, 0, 2, 0, 0, b"RISCV\0\0\0", MAGIC2, 0)
        image.write_bytes(header + code)
        firmware = options.pop("firmware", None)
        machine = vm.Machine(memory="64M", **options)
        machines.append(machine)
        machine.boot(image, firmware=firmware)
        return machine

    yield build
    for machine in machines:
        machine.close()


def printed(machine: vm.Machine) -> str:
    stop = machine.run(seconds=1)
    assert stop.reason is vm.StopReason.POWER_OFF, stop
    return machine.console.text


# --- At the entry of the kernel ---------------------------------------------------------------------------------------

def test_kernel_starts_in_supervisor_mode(boot):
    """a0 is the hart, a1 the device tree; translation and interrupts are off."""
    hart = boot("j .").harts[0]
    assert (hart.privilege, hart["a0"], hart["satp"], hart["sstatus"] >> 1 & 1) == (SUPERVISOR, 0, 0, 0)


def test_kernel_is_given_a_device_tree(boot):
    machine = boot("j .")
    assert machine.memory.read(machine.harts[0]["a1"], 4) == FDT_MAGIC


def test_one_hart_starts_and_the_others_are_stopped(boot):
    assert [hart.state for hart in boot("j .", harts=3).harts] == ["started", "stopped", "stopped"]


def test_interrupts_of_the_supervisor_are_delegated(boot):
    """SSI, STI and SEI."""
    assert boot("j .").harts[0]["mideleg"] & 0xFFF == 1 << 1 | 1 << 5 | 1 << 9


@pytest.mark.parametrize("isa, enabled", [("default", True), ("rva22s64", False), ("rva22s64_svadu", False)])
def test_hardware_sets_dirty_bits_where_the_tree_names_only_svadu(isa, enabled, boot):
    """Of both, Svade holds until the kernel asks for Svadu through SBI FWFT: Linux, riscv/extensions.yaml, `svade`."""
    machine = boot("j .", isa=isa)
    assert bool(machine.harts[0]["menvcfg"] & ADUE) == enabled
    names = machine.isa.string.split("_")
    assert ("svadu" in names and "svade" not in names) == enabled


@pytest.mark.parametrize("isa", ["rv64i", "rv64imac", "rv64ima_zicntr", "rv64imc_zifencei"])
def test_isa_without_what_every_linux_needs(isa, boot):
    missing = [name for name in ("m", "a", "zifencei") if name not in isa.removeprefix("rv64").replace("zicntr", "")]
    with pytest.raises(vm.LoadError, match=f"Image: Linux needs {', '.join(missing)}, which .* isa=") as caught:
        boot("j .", isa=isa)
    assert "\n" not in str(caught.value)


@pytest.mark.network
@pytest.mark.parametrize("name", OPENSBI_FILES)
def test_memory_that_each_opensbi_holds(name):
    """Only fw_jump copies the device tree to a place of its own."""
    ram = Range(0x8000_0000, 512 << 20)
    firmware = File(name, opensbi()[name].read_bytes())
    assert (len(held_by_firmware(firmware, ram, 0x1000)) == 2) == name.startswith("fw_jump")


@pytest.mark.network
def test_set_up_as_opensbi_does(boot):
    """OpenSBI 1.6 as an oracle: what it leaves in these registers for a kernel is what ours leaves."""
    own = boot("j .").harts[0]
    machine = boot("j .", firmware=opensbi()["fw_dynamic.bin"])
    machine.run(until=lambda machine: machine.harts[0].privilege == SUPERVISOR, seconds=1)
    theirs = machine.harts[0]
    assert theirs.privilege == SUPERVISOR
    shared = {"mcounteren": -1, "scounteren": 7, "mcountinhibit": -1, "mideleg": 0x3FFF, "menvcfg": STCE | ADUE,
              "satp": -1}
    assert {name: own[name] & mask for name, mask in shared.items()} == \
        {name: theirs[name] & mask for name, mask in shared.items()}


# --- In S- and U-mode -------------------------------------------------------------------------------------------------

TRAP_IS_A_LETTER = """
    la t0, trap
    csrw stvec, t0
"""
TRAP_HANDLER = """
.balign 4
trap:
    csrr a0, scause
    addi a0, a0, 'a'
    call put
    j power_off
"""


@pytest.mark.parametrize("cause, code", [
    (1, "li t0, 0x40; jr t0"),
    (2, ".word 0xc0001073"),
    (3, "ebreak"),
    (4, "la t0, trap; addi t0, t0, 1; lr.w t1, (t0)"),
    (5, "ld t0, 0x40(zero)"),
    (6, "la t0, trap; addi t0, t0, 1; amoadd.w t1, t1, (t0)"),
    (7, "sd t0, 0x40(zero)"),
    (8, "la t0, user; csrw sepc, t0; li t0, 0x100; csrc sstatus, t0; sret; user: ecall"),
])
def test_exception_goes_to_the_kernel(boot, cause, code):
    assert printed(boot(TRAP_IS_A_LETTER + code + TRAP_HANDLER)) == chr(ord("a") + cause)


@pytest.mark.parametrize("counter", ["cycle", "time", "instret"])
def test_user_mode_reads_counters(boot, counter):
    """C libraries read `time` in user mode, through the vDSO: mcounteren and scounteren let it through."""
    assert printed(boot(f"""{TRAP_IS_A_LETTER}
        la t0, user
        csrw sepc, t0
        li t0, 0x100
        csrc sstatus, t0
        sret
    user:
        rd{counter} t0
        ecall
        {TRAP_HANDLER}""")) == "i"


# The counters of a hart that has none: firmware emulates them, for U-mode where scounteren lets it.
WITHOUT_COUNTERS = "rv64imac_zifencei"


@pytest.mark.parametrize("firmware", [None, pytest.param("fw_dynamic.bin", marks=pytest.mark.network)])
def test_time_is_emulated_where_the_hart_has_none(firmware, boot):
    """It is mtime, which goes on; OpenSBI as an oracle."""
    machine = boot(f"""{TRAP_IS_A_LETTER}
        rdtime s0
        li t0, 3000
    1:  addi t0, t0, -1
        bnez t0, 1b
        rdtime s1
        sub s2, s1, s0
        rdcycle s3
        rdinstret s4
        j .
        {TRAP_HANDLER}""", isa="rv64gc" if firmware else WITHOUT_COUNTERS, firmware=firmware and opensbi()[firmware])
    machine.run(seconds=1)
    hart = machine.harts[0]
    assert hart["scause"] == 0
    assert 60 <= hart["s2"] < 1000                  # 6,000 steps of 1 ns, at 10 MHz
    assert hart["s3"] >= 6000 and hart["s4"] >= 6000


@pytest.mark.parametrize("allowed", [0, 7])
def test_time_is_emulated_for_user_mode_where_it_may_read_it(allowed, boot):
    machine = boot(f"""{TRAP_IS_A_LETTER}
        csrwi scounteren, {allowed}
        la t0, user
        csrw sepc, t0
        li t0, 0x100
        csrc sstatus, t0
        sret
    user:
        rdtime t0
        ecall
        {TRAP_HANDLER}""", isa=WITHOUT_COUNTERS)
    assert printed(machine) == ("i" if allowed else "c")


@pytest.mark.parametrize("code", ["csrw time, zero", "csrs cycle, t0", "csrr t0, hpmcounter3", "csrr t0, stimecmp"])
def test_nothing_else_is_emulated(code, boot):
    assert printed(boot(TRAP_IS_A_LETTER + "li t0, 1\n" + code + TRAP_HANDLER, isa=WITHOUT_COUNTERS)) == "c"


def test_counter_that_only_machine_mode_may_read_is_not_emulated(boot):
    machine = boot(TRAP_IS_A_LETTER + "rdtime t0" + TRAP_HANDLER, isa=WITHOUT_COUNTERS)
    machine.harts[0]["mcounteren"] = 0
    assert printed(machine) == "c"


def test_timer_of_the_supervisor(boot):
    """Sstc: stimecmp is the supervisor's own, and its interrupt arrives when `time` reaches it."""
    assert printed(boot("""
        la t0, trap
        csrw stvec, t0
        rdtime s0
        addi s0, s0, 1000
        csrw 0x14d, s0
        li t0, 1 << 5
        csrw sie, t0
        csrsi sstatus, 2
    1:  wfi
        j 1b
    .balign 4
    trap:
        rdtime t0
        sltu a0, t0, s0
        addi a0, a0, 'a'
        call put
        csrr a0, scause
        addi a0, a0, 'a'
        call put
        j power_off
        """)) == "af"


def test_whole_memory_is_open(boot):
    """PMP denies nothing: the first and last words of RAM can be written and read."""
    assert printed(boot("""
        li t0, 0x80000000
        li t1, 0x83fffff8
        li a0, 'y'
        sd a0, (t0)
        ld a0, (t0)
        sd a0, (t1)
        ld a0, (t1)
        call put
        j power_off
        """)) == "y"


# --- Traps that nobody takes ------------------------------------------------------------------------------------------

def test_trap_without_a_handler_stops_the_machine(boot):
    """stvec is 0, where nothing is: the stop tells of the first trap, not of those that followed."""
    machine = boot("li t0, 0x40; jr t0")
    stop = machine.run(seconds=1)
    assert (stop.reason, stop.pc, stop.cause, stop.value) == (vm.StopReason.TRAP_LOOP, 0x40, 1, 0x40)
    assert stop.message == "hart 0: instruction access fault (cause 1) at pc 0x40, tval 0x40"


def test_trap_for_machine_mode_stops_the_machine(boot):
    """A trap that is not delegated: there is no firmware in memory to take it."""
    machine = boot(".word 0xc0001073")
    hart = machine.harts[0]
    hart["medeleg"] = 0
    start = hart.pc
    stop = machine.run(seconds=1)
    expected = (vm.StopReason.UNHANDLED_TRAP, start + HEADER.size, 2, 0xC0001073)
    assert (stop.reason, stop.pc, stop.cause, stop.value) == expected


# --- Several harts ----------------------------------------------------------------------------------------------------

START_SECOND = """
    li a0, 1                    # hart
    la a1, second
    mv a2, s0                   # opaque
    li a7, 0x48534d             # HSM
    li a6, 0                    # hart_start
    ecall
"""


def test_interrupt_from_another_hart(boot):
    """Hart 1 waits; an IPI of hart 0 wakes it as a software interrupt."""
    assert printed(boot(f"""
        {START_SECOND}
    1:  la t0, ready
        lw t0, (t0)
        beqz t0, 1b
        li a0, 1 << 1           # mask
        li a1, 0                # of harts from
        li a7, 0x735049         # IPI
        li a6, 0                # send_ipi
        ecall
        li a0, 'a'
        call put                # before anything of hart 1: it is not its turn yet, or it waits for this
        j .
    second:
        la t0, trap
        csrw stvec, t0
        li t0, 1 << 1
        csrw sie, t0
        csrsi sstatus, 2
        li t0, 1
        la t1, ready
        sw t0, (t1)
    1:  wfi
        j 1b
    .balign 4
    trap:
        csrr a0, scause
        addi a0, a0, 'a'
        call put
        j power_off
    .balign 4
    ready: .word 0
        """, harts=2)).endswith("b")


SUSPENDING = """
    li s0, 'o'
    {start_second}
1:  call status
    li t0, 4                    # SUSPENDED
    bne a1, t0, 1b
    li a0, 1 << 1               # mask
    li a1, 0                    # of harts from
    li a7, 0x735049             # IPI
    li a6, 0                    # send_ipi
    ecall
1:  la t0, ready
    lw t0, (t0)
    beqz t0, 1b
    li s1, 0
    li s2, 1000
1:  call status                 # what hart 1 is while it waits in wfi
    or s1, s1, a1
    addi s2, s2, -1
    bnez s2, 1b
    addi a0, s1, '0'
    call put
    j power_off
status:
    li a0, 1
    li a7, 0x48534d             # HSM
    li a6, 2                    # hart_get_status
    ecall
    ret
second:
    li t0, 1 << 1
    csrw sie, t0
    li a0, {kind}
    la a1, resumed
    li a2, 'r'                  # opaque
    li s3, 'k'
    li a7, 0x48534d
    li a6, 3                    # hart_suspend
    ecall
    mv s4, a0
    addi a0, s4, 'S'            # returned: SBI_SUCCESS
    call put
    mv a0, s3                   # and kept its registers
    call put
    j wait
resumed:
    mv s3, a1
    addi a0, a0, '0'            # its number
    call put
    mv a0, s3
    call put
    csrr t0, satp
    csrr a0, sstatus
    andi a0, a0, 2
    or a0, a0, t0
    addi a0, a0, '0'
    call put
wait:
    csrci sip, 1 << 1
    li t0, 1
    la t1, ready
    sw t0, (t1)
1:  wfi
    j 1b
.balign 4
ready: .word 0
"""


@pytest.mark.parametrize("firmware", [None, pytest.param("fw_dynamic.bin", marks=pytest.mark.network)])
@pytest.mark.parametrize("kind, found", [(0, "Sk"), (0x8000_0000, "1r0")], ids=["retentive", "non-retentive"])
def test_suspended_hart_goes_on_at_an_interrupt(kind, found, firmware, boot):
    """SBI, chapter 9: after the call, or at resume_addr with a0, a1, satp and SIE as promised. In wfi it is STARTED."""
    source = SUSPENDING.format(start_second=START_SECOND, kind=kind)
    machine = boot(source, harts=2, firmware=firmware and opensbi()[firmware])
    assert printed(machine).endswith(found + "0")


# Hart 1 uses a page at 0x40000000; hart 0 maps another there and fences the harts of MASK, from MASK_BASE on.
REMOTE_FENCE = f"""
    .equ ROOT, 0x81000000
    .equ MIDDLE, 0x81001000
    .equ LEAF, 0x81002000
    .equ ONE, 0x81003000
    .equ TWO, 0x81004000
    li t0, ROOT
    li t1, (0x80000000 >> 2) | 0xcf
    sd t1, 16(t0)           # 0x80000000 as it is: D A G X W R V
    li t1, (MIDDLE >> 2) | 1
    sd t1, 8(t0)            # 0x40000000
    li t0, MIDDLE
    li t1, (LEAF >> 2) | 1
    sd t1, (t0)
    li t0, LEAF
    li t1, (ONE >> 2) | 0xc7
    sd t1, (t0)
    li t0, ONE
    li t1, 'x'
    sb t1, (t0)
    li t0, TWO
    li t1, 'y'
    sb t1, (t0)
    {START_SECOND}
1:  la t0, state
    lw t1, (t0)
    beqz t1, 1b             # hart 1 has used the mapping
    li t0, LEAF
    li t1, (TWO >> 2) | 0xc7
    sd t1, (t0)
    li a0, MASK
    li a1, MASK_BASE
    li a2, 0x40000000
    li a3, 0x1000
    li a7, 0x52464e43       # RFENCE
    li a6, 1                # remote_sfence_vma
    ecall
    li t1, 2
    la t0, state
    sw t1, (t0)
    j .
second:
    li t0, (8 << 60) | (ROOT >> 12)
    csrw satp, t0
    sfence.vma
    li s1, 0x40000000
    lbu a0, (s1)
    call put
    la t0, state
    li t1, 1
    sw t1, (t0)
1:  lbu a0, (s1)
    la t0, state
    lw t1, (t0)
    li t2, 2
    bne t1, t2, 1b
    lbu a0, (s1)
    call put
    j power_off
.balign 4
state: .word 0
"""


@pytest.mark.parametrize("mask, base", [("1 << 1", 0), ("0", -1)], ids=["hart 1", "all harts"])
def test_remote_fence_reaches_the_other_hart(boot, mask, base):
    """Once fenced, hart 1 sees the page that hart 0 has put in the place of the one before."""
    assert printed(boot(f".equ MASK, {mask}\n.equ MASK_BASE, {base}\n{REMOTE_FENCE}", harts=2)) == "xy"
