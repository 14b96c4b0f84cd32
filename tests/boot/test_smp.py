"""Four harts under Debian's kernel: all of them work, interrupt each other, go away and come back.

One boot for each firmware, recorded, of harts that take turns and of such as have a thread of the host each; the tests
read the record. The kernel goes through SBI's HSM, IPI and RFENCE for it.
"""

import pytest

import vm
from tests.boot.linux import Record, load_linux, numbers, run_to_end, script
from tests.litmus.machines import MODES, machine_of

pytestmark = pytest.mark.network

HARTS = 4
SECONDS = {"turns": 30, "threads": 300}         # of the guest's time, which is the host's for harts in threads
# Field 39 of /proc/PID/stat: the processor that it ran on last.
RAN_ON = "set -- $(cat /proc/$$/stat); echo ${39}"
COMMANDS = script(
    processors="grep ^processor /proc/cpuinfo",
    parallel="\n".join([
        f"work='for i in $(seq 1000); do :; done; {RAN_ON}'",
        "for mask in 1 2 4 8; do busybox taskset $mask sh -c \"$work\" & done",
        "wait",
    ]),
    # The same process on one hart after another, its memory changing meanwhile: a stale translation would show.
    migrating="\n".join([
        "text=",
        "for mask in 1 2 4 8 1; do",
        "  busybox taskset -p $mask $$ >/dev/null",
        "  text=$text$(echo $mask)",
        "  seq 2000 | sha256sum >/dev/null",
        "done",
        "echo $text",
        "busybox taskset -p f $$ >/dev/null",
    ]),
    removed="echo 0 >/sys/devices/system/cpu/cpu1/online; cat /sys/devices/system/cpu/online; nproc",
    returned="echo 1 >/sys/devices/system/cpu/cpu1/online; cat /sys/devices/system/cpu/online; nproc",
    again=f"busybox taskset 2 sh -c '{RAN_ON}'",
    interrupts="cat /proc/interrupts",
)


def boot(mode: str = "turns", firmware: str | None = None) -> Record:
    with machine_of(mode, harts=HARTS) as machine:
        load_linux(machine, COMMANDS, firmware)
        return run_to_end(machine, SECONDS[mode])


@pytest.fixture(scope="module", params=[(mode, firmware) for mode in MODES for firmware in (None, "fw_dynamic.bin")],
                ids=lambda param: f"{param[0]} {param[1] or 'built-in'}")
def record(request):
    return boot(*request.param)


def test_all_harts_are_there(record):
    assert record.stop.reason is vm.StopReason.POWER_OFF
    assert numbers(" ".join(record.section("processors"))) == [0, 1, 2, 3]


def test_work_runs_on_each_hart(record):
    assert sorted(record.section("parallel")) == ["0", "1", "2", "3"]


def test_process_moves_between_harts(record):
    assert record.section("migrating") == ["12481"]


def test_hart_goes_and_comes_back(record):
    """CPU hotplug: hart_stop of HSM, then hart_start of a hart that was stopped; it works afterwards."""
    assert record.section("removed") == ["0,2-3", "3"]
    assert record.section("returned") == ["0-3", "4"]
    assert record.section("again") == ["1"]


@pytest.mark.parametrize("kind", ["Rescheduling", "Function call"])
def test_harts_interrupt_each_other(record, kind):
    (line,) = (line for line in record.section("interrupts") if f"{kind} interrupts" in line)
    assert all(count > 0 for count in numbers(line.partition(":")[2]))


def test_every_hart_takes_timer_interrupts(record):
    (line,) = (line for line in record.section("interrupts") if line.endswith("riscv-timer"))
    assert all(count > 0 for count in numbers(line.partition(":")[2])[:HARTS])


@pytest.mark.parametrize("record", [("turns", None)], indirect=True, ids=["turns built-in"])
def test_same_boot_takes_the_same_steps(record):
    """Harts take turns by steps alone: a second run stops at the same step and prints the same bytes."""
    assert boot() == record
