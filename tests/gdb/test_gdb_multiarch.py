"""Sessions of GDB itself, scripted: what it shows is checked."""

import subprocess
import threading
import time
from pathlib import Path

import pytest

import vm
from tests import tools
from tests.assembler import assemble_elf
from tests.gdb.sessions import COMMAND, SECONDS, session_of
from tests.test_reverse_replay import KEYS, echo, typed
from vm.run_folder import save_run

pytestmark = tools.needs("gdb-multiarch")

# Two harts call `work`, which calls `add_one`; then an environment call, and another one from user mode.
GUEST = """
    csrr t0, mhartid
    la   sp, stack
    slli t1, t0, 10
    add  sp, sp, t1
    la   t1, handler
    csrw mtvec, t1
    call work
.globl call
call:
    ecall
.globl returned
returned:
    la   t1, user
    csrw mepc, t1
    li   t1, 0x1800
    csrc mstatus, t1
    li   t1, -1
    csrw pmpaddr0, t1
    li   t1, 0x1f
    csrw pmpcfg0, t1
.globl leave
leave:
    mret
.globl user
user:
    j    user

.globl work
.type work, @function
work:
    addi sp, sp, -16
    sd   ra, 8(sp)
    call add_one
    ld   ra, 8(sp)
    addi sp, sp, 16
    ret

.globl add_one
.type add_one, @function
add_one:
    la   t1, counter
    slli t2, t0, 3
    add  t1, t1, t2
    li   t3, 3
2:  ld   t2, 0(t1)
    addi t2, t2, 1
    sd   t2, 0(t1)
    addi t3, t3, -1
    bnez t3, 2b
    ret

    .balign 4
.globl handler
.type handler, @function
handler:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret
    .balign 8
.globl counter
counter: .dword 0, 0
    .balign 16
    .space 1024
stack:
    .space 2048
"""


def session(*commands: str, options: str = "--memory 2M") -> list[str]:
    return session_of(assemble_elf(GUEST), *commands, options=options)


def test_breakpoint_by_symbol_on_two_harts_with_backtrace_and_finish():
    threads, _, first, trace, hart, second, other, _, finished = session(
        "info threads", "break add_one", "continue", "backtrace 3", "print $mhartid", "continue", "print $mhartid",
        "delete", "finish", options="--memory 2M --harts 2")
    assert 'Thread 1 "hart 0" (started, M)' in threads and 'Thread 2 "hart 1" (started, M)' in threads
    assert "Breakpoint 1, " in first and "add_one ()" in first
    lines = [line for line in trace.splitlines() if line.startswith("#")]
    assert [line.split(" in ")[1] for line in lines] == ["add_one ()", "work ()", "_start ()"]
    assert "Run till exit" in finished and "work ()" in finished
    assert "Breakpoint 1, " in second
    assert {hart.split()[-1], other.split()[-1]} == {"0", "1"}


def test_watchpoint_stops_behind_the_access_and_backwards_before_it():
    """GDB takes RISC-V's watchpoints for such as stop before the access, and steps over it: that is done already."""
    answers = session("watch *(long *)&counter", "continue", "info symbol $pc", "stepi", "info symbol $pc", "continue",
                      "info symbol $pc", "reverse-continue", "info symbol $pc", "reverse-stepi", "info symbol $pc",
                      options="--memory 2M --history")
    assert [answers[number].split(" in ")[0] for number in (2, 4, 6, 8, 10)] == [
        "add_one + 26", "add_one + 28", "add_one + 26", "add_one + 22", "add_one + 20"]


def test_watchpoint():
    _, *hits, gone, stepped = session("watch *(long *)&counter", "continue", "continue", "continue", "delete",
                                      "stepi")
    for old, hit in enumerate(hits):
        assert f"Old value = {old}\nNew value = {old + 1}\n" in hit
    assert "add_one ()" in stepped and "Error" not in gone


def test_steps_over_ecall_and_mret():
    answers = session("break call", "continue", "stepi", "stepi 3", "stepi", "break leave", "continue", "print $priv",
                      "stepi", "print $priv", "stepi")
    assert "<handler>" in answers[2] or "in handler ()" in answers[2]
    assert "in handler ()" in answers[3]
    assert "returned" in answers[4]                     # mret leads behind the call
    assert answers[7].strip().endswith("= 3") and answers[9].strip().endswith("= 0")
    assert "in user ()" in answers[8] and "in user ()" in answers[10]


def test_registers_and_memory_can_be_written():
    answers = session("set var $a0 = 0x1234", "print/x $a0", "set var *(long *)&counter = 77",
                      "print *(long *)&counter",
                      "set var $ft0.double = 2.5", "print $ft0", "set var $mscratch = 5", "print $mscratch",
                      "info registers mstatus", "print $pc", "x/2i $pc")
    assert answers[1].strip().endswith("= 0x1234")
    assert answers[3].strip().endswith("= 77")
    assert "double = 2.5" in answers[5]
    assert answers[7].strip().endswith("= 5")
    assert "MIE:0" in answers[8]
    assert "_start" in answers[9] and "csrr" in answers[10]


def test_reverse():
    answers = session("break add_one", "continue", "delete", "watch *(long *)&counter", "continue", "continue",
                      "reverse-continue", "print *(long *)&counter", "reverse-continue", "delete", "reverse-stepi",
                      "reverse-continue", "print $pc", options="--memory 2M --history")
    assert "Old value = 2\nNew value = 1" in answers[6]
    assert answers[7].strip().endswith("= 1")
    assert "Old value = 1\nNew value = 0" in answers[8]
    assert "add_one ()" in answers[10]
    assert "No more reverse-execution history." in answers[11]
    assert "_start" in answers[12]


def test_without_history():
    _, back, begun, _, again = session("stepi", "reverse-stepi", "monitor history", "stepi", "reverse-stepi")
    assert "`monitor history` begins one" in back and "Traceback" not in back and "SIGABRT" not in back
    assert "a history is kept from step 1 on" in begun
    assert "Error" not in again and "history is kept" not in again


def test_one_hart_alone():
    answers = session("thread 2", "set scheduler-locking on", "stepi", "stepi", "thread 1", "print $pc",
                      options="--memory 2M --harts 2")
    assert "_start" in answers[5] and "+" not in answers[5]         # it has not moved


def test_monitor():
    told, python, wrong = session("monitor info harts", "monitor py [each.id for each in machine.harts]",
                                  "monitor what")
    assert "<hart 0: started, pc 0x80000000, privilege M>" in told
    assert python.strip() == "[0]"
    assert "there is no command what" in wrong


@pytest.fixture
def served(tmp_path):
    """A machine with the guest, served at a path by a thread; gives both."""
    with vm.Machine(memory="2M", harts=2) as machine, machine.gdb(str(tmp_path / "gdb")) as server:
        machine.load(assemble_elf(GUEST))
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        yield machine, server
        thread.join(SECONDS)
        assert not thread.is_alive()


def test_detach_and_attach_again(served):
    machine, server = served
    elf = assemble_elf(GUEST)
    here = ["gdb-multiarch", "-nx", "-q", "-batch", "-ex", "set confirm off", "-ex", f"target remote {server.address}"]

    def attached(*commands: str) -> str:
        arguments = [argument for command in commands for argument in ("-ex", command)]
        return subprocess.run([*here, *arguments, str(elf)], capture_output=True, text=True, timeout=SECONDS,
                              check=True).stdout

    told = attached("break add_one", "continue", "detach")
    assert "Breakpoint 1, " in told and "detached" in told
    steps = machine.steps
    while machine.steps < steps + 100_000:              # it runs on, past the breakpoint
        time.sleep(0.001)
    told = attached("info threads", "print $priv", "print *(long *)&counter", "kill")
    assert "user ()" in told and "$1 = 0" in told and "$2 = 3" in told


def test_interrupt(served):
    """Ctrl-C: GDB turns SIGINT into the byte 3."""
    _, server = served
    commands = ["set confirm off", f"target remote {server.address}", "continue", "print $priv", "kill"]
    arguments = [argument for command in commands for argument in ("-ex", command)]
    with subprocess.Popen(["gdb-multiarch", "-nx", "-q", "-batch", *arguments, str(assemble_elf(GUEST))], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as debugger:
        machine = served[0]
        while machine.steps < 100_000:
            time.sleep(0.001)
        debugger.send_signal(2)
        told = debugger.communicate(timeout=SECONDS)[0]
    assert "received signal SIGINT" in told and "user ()" in told and "$1 = 0" in told


# In supervisor mode the guest maps a gigabyte of RAM at 1 GiB, and stores there; then, by another address, to the same.
MAPS_LATER = """
    la   t0, root
    srli t0, t0, 12
    li   t1, 8 << 60
    or   t0, t0, t1
    csrw satp, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 1 << 11            # MPP: S
    csrs mstatus, t0
    la   t0, supervisor
    csrw mepc, t0
    mret
.globl supervisor
supervisor:
    la   t0, root
    li   t1, 0x200000cf
    sd   t1, 8(t0)
    sfence.vma
    li   t0, 0x40100000
    li   t1, 5
.globl first
first:
    sd   t1, 0(t0)
    li   t2, 0x80100000
    li   t1, 6
    sd   t1, 0(t2)
.globl last
last:
    sd   t1, 0(t0)
    j    .
    .balign 4096
root:
    .dword 0, 0, 0x200000cf
    .zero 4096 - 24
"""


def test_watchpoint_where_nothing_is_mapped_yet():
    """It is one of virtual addresses: it counts once the page is there, and no other address of that memory does."""
    answers = session_of(assemble_elf(MAPS_LATER), "break supervisor", "continue", "watch *(long *)0x40100000",
                         "continue", "info symbol $pc", "continue", "info symbol $pc", "delete",
                         "maint packet Qqemu.PhyMemMode:1", "watch *(char *)0x10000000", "continue",
                         options="--memory 2M")
    assert "Breakpoint 1, " in answers[1]
    assert "Old value = <unreadable>\nNew value = 5" in answers[3]
    assert answers[4].startswith("first + 4 ")          # behind the store
    assert "Old value = 5\nNew value = 6" in answers[5]
    assert answers[6].startswith("last + 4 ")
    assert "Could not insert hardware watchpoint 3" in answers[10]          # a device, the UART


EXIT_7 = ".globl begin; begin: addi s0, s0, 1; li t0, 0x100000; li t1, 7 << 16 | 0x3333; sw t1, 0(t0); j ."


def test_extended_remote_begins_the_guest_again(tmp_path):
    """In the middle, when it has ended, when it was killed; the server has then what the guest last ended with."""
    with vm.Machine(memory="2M") as machine, machine.gdb(str(tmp_path / "gdb")) as server:
        program = machine.load(assemble_elf(EXIT_7))
        stops = []
        thread = threading.Thread(target=lambda: stops.append(server.serve()), daemon=True)
        thread.start()
        answers = session_of(Path(program.path), "disconnect", f"target extended-remote {server.address}", "starti",
                             "stepi", "print $s0", "run", "info threads", "starti", "info symbol $pc", "print $s0",
                             "kill", "info threads", "break *begin", "run", "delete", "run", "disconnect",
                             target=server.address)
        thread.join(SECONDS)
    assert "Program stopped." in answers[2] and "0x1" in answers[4]
    assert "exited with code 07" in answers[5] and "No threads" in answers[6]
    assert answers[8].startswith("begin in section") and "0x0" in answers[9]
    assert "killed" in answers[10] and "No threads" in answers[11]
    assert "Breakpoint 1, " in answers[13] and "exited with code 07" in answers[15]
    assert [stop.exit_code for stop in stops] == [7]


def test_replay_can_be_gone_back_in(tmp_path):
    """The store that came last, from the end of the log; what was typed comes again, and no register can be written."""
    machine = echo()
    with machine:
        save_run(tmp_path, machine.snapshot(), typed())
        elf = Path(machine.program.path)
    answers = session_of(elf, "continue", "watch *(long *)&place", "reverse-continue", "print $s4", "reverse-continue",
                         "print $s4", "info symbol $pc", "delete", "reverse-stepi", "info symbol $pc",
                         "set var $s4 = 9", "stepi", "info symbol $pc", "continue", "print $s4", "reverse-continue",
                         "print $s4",
                         target=f"| {COMMAND} replay {tmp_path} --gdb stdio")
    assert "the log ends here" in answers[0] and "No more reverse-execution history" in answers[0]
    assert answers[3].split()[-1] == str(sum(KEYS)) and answers[5].split()[-1] == str(sum(KEYS[:-1]))
    assert answers[6].startswith("store in section")           # before the store
    assert answers[9].startswith("wait + ") and answers[12].startswith("store in section")
    assert "the machine replays a log: no register can be written" in answers[10]
    assert "the log ends here" in answers[13] and answers[14].split()[-1] == str(sum(KEYS))
    assert "No more reverse-execution history" in answers[15] and "= 0\n" in answers[16]


def test_run_in_a_replay_is_its_beginning(tmp_path):
    with echo() as machine:
        save_run(tmp_path, machine.snapshot(), typed())
        elf = Path(machine.program.path)
    server = f"{COMMAND} replay {tmp_path} --gdb stdio"
    answers = session_of(elf, "disconnect", f"target extended-remote | {server}", "break store", "continue",
                         "print $s4", "continue", "print $s4", "run", "print $s4", target=f"| {server}")
    assert [answers[number].split()[2] for number in (4, 6, 8)] == ["97", "195", "97"]
