"""Machines in threads of one process share nothing: each does what it does alone, with and without the GIL."""

import subprocess
import sys
import sysconfig
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.guest import Guest
from vm.stop import StopReason

THREADS = 4
# Sums in both register files, memory, code that changes under the engine, division and AES by way of helpers, traps:
# much of what the core has tables for. a0 is where a thread's guest begins.
WORK = """
    .option norvc
    .option arch, +zkne
    la   s0, area
    la   s1, changing
    li   s2, 3000
    la   t0, back
    csrw mtvec, t0
    li   t0, 0x6000
    csrs mstatus, t0
round:
    slli t0, s2, 3
    andi t0, t0, 0x7f8
    add  t0, t0, s0
    ld   t1, 0(t0)
    add  a0, a0, t1
    sd   a0, 0(t0)
    srli a1, a0, 1
    fcvt.d.l fa0, a1
    fsqrt.d  fa0, fa0
    fadd.d   fa1, fa1, fa0
    mul  a1, a0, s2
    divu a1, a1, s2
    xor  a2, a2, a1
    aes64esm a2, a2, a0
    andi t2, s2, 255
    bnez t2, changing
    lw   t2, 0(s1)
    li   t3, 0x00100000
    add  t2, t2, t3
    sw   t2, 0(s1)
    fence.i
    ecall
    .balign 4
back:
changing:
    addi a3, a3, 1
    addi s2, s2, -1
    bnez s2, round
    wfi
    .balign 8
area:
    .zero 2048
"""


def outcome(start: int, barrier: threading.Barrier | None = None) -> tuple:
    """What a guest leaves that began with this number; the machine is built, run and closed in the thread at hand."""
    if barrier:
        barrier.wait()
    g = Guest(WORK, isa="rv64gc_zkne_zicntr_zicsr")
    with g.machine:
        g["a0"] = start
        stops = [g.machine.run(instructions=count) for count in (1, 777, 10_000_000)]
        area = g.memory.read(g.address("area"), 2048)
        registers = {name: g[name] for name in ("a0", "a1", "a2", "a3", "fa1", "mcause", "pc")}
        return stops[-1].reason, g.machine.steps, registers, bytes(area)


def test_machines_in_threads_do_what_each_does_alone(dispatch):
    starts = [1 + 1000 * number for number in range(THREADS)]
    alone = [outcome(start) for start in starts]
    assert len({area for *_, area in alone}) == THREADS and {reason for reason, *_ in alone} == {StopReason.IDLE}
    barrier = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in range(3):
            assert list(pool.map(outcome, starts, [barrier] * THREADS)) == alone


def test_a_machine_may_move_from_thread_to_thread(dispatch):
    """What a run needs is in the machine, nothing in the thread that built it: the host's rounding mode, for one."""
    whole = outcome(5)
    g = Guest(WORK, isa="rv64gc_zkne_zicntr_zicsr")
    g["a0"] = 5
    with g.machine:
        while g.machine.steps < whole[1]:
            thread = threading.Thread(target=g.machine.run, args=(5_000,))
            thread.start()
            thread.join()
        assert (g.machine.steps, g["a0"], g["fa1"]) == (whole[1], whole[2]["a0"], whole[2]["fa1"])


@pytest.mark.skipif(not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this interpreter always has a GIL")
def test_no_module_brings_the_gil_back():
    """An extension that does not say that it can do without switches it on for the process."""
    code = """
import importlib, pkgutil, sys, vm, vm_native
assert not sys._is_gil_enabled(), "vm"
import vm.machine, vm.copy
for module in pkgutil.walk_packages(vm_native.__path__, "vm_native."):
    if not module.name.startswith("vm_native.memory.copy.avx"):
        importlib.import_module(module.name)
        assert not sys._is_gil_enabled(), module.name
"""
    # Not as an error, which would be the harness's: PYTHON_GIL=0 would hide what is asked.
    result = subprocess.run([sys.executable, "-E", "-W", "error", "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# The first asks for the version of SBI all the time; s1 counts the calls, s2 answers that are none. The second prints
# through `tohost` and waits for the answer to each letter.
CALLING = """
    li s4, 0x3000000
1:  li a7, 0x10; li a6, 0; li a0, 0x111; li a1, 0x222; ecall
    addi s1, s1, 1; bnez a0, 2f; beq a1, s4, 1b
2:  addi s2, s2, 1; j 1b
"""
TALKING = """
    .option norvc
    la s0, tohost; la s5, fromhost; li s3, 0x0101000000000000 + '.'
1:  addi s1, s1, 1; sd s3, 0(s0)
2:  ld t0, 0(s5); beqz t0, 2b; sd zero, 0(s5); j 1b
    .balign 64; tohost: .dword 0
    .balign 64; fromhost: .dword 0
"""


@pytest.mark.parametrize("source", [CALLING, TALKING], ids=["calling", "talking"])
def test_requests_to_stop_swallow_nothing(source, guest, dispatch):
    """Another thread asks all the time, also at the instant at which the guest asks for something."""
    g = guest(source)
    if source is CALLING:
        g.native.sbi = True
        g.hart.privilege = 1
        g.open_pmp()
    ended = threading.Event()

    def hammer():
        while not ended.is_set():
            g.machine.request_stop()

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        for _ in range(100):
            calls, steps = g["s1"], g.machine.steps
            while g["s1"] == calls:
                g.machine.run(instructions=10_000)
                assert g.machine.steps < steps + 100_000        # a guest that gets no answer waits for ever
    finally:
        ended.set()
        thread.join()
    assert g["s2"] == 0
