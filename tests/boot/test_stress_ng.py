"""stress-ng of Debian's archive on four harts: what it checks itself of locks, futexes, atomics, memory and processes.

    python -m pytest -m slow tests/boot/test_stress_ng.py
"""

import stat

import pytest

import vm
from tests.litmus.machines import MODES, machine_of
from vm.images import debian
from vm.images.busybox import QUICK_CMDLINE, debian_kernel, userspace_init
from vm.images.cpio import cpio_newc

pytestmark = [pytest.mark.network, pytest.mark.slow, pytest.mark.timeout(7200)]

HARTS = 4
# How often each is done, by four processes together. There are others; of these mutex waits for ever in such a small
# system, in QEMU too.
STRESSORS = {
    "atomic": 100, "clone": 50, "context": 1000, "fork": 200, "futex": 2000, "kill": 2000, "membarrier": 100,
    "mprotect": 500, "pipe": 5000, "pthread": 100, "sigsegv": 500, "switch": 5000, "vfork": 200,
}
SECONDS = 3600                  # of the guest's time
SETUP = "export PATH=/usr/sbin:/usr/bin; busybox mount -t proc proc /proc; busybox --install -s /usr/bin 2>/dev/null"


@pytest.fixture(scope="module")
def initrd(tmp_path_factory):
    commands = [SETUP]
    for name, count in STRESSORS.items():
        command = f"stress-ng --verify --temp-path /tmp --{name} {HARTS} --{name}-ops {count}"
        commands.append(f"{command} >/tmp/log 2>&1 && echo '{name}: ok' || cat /tmp/log")
    init = userspace_init("\n".join(commands), modules=()).encode()
    path = tmp_path_factory.mktemp("stress") / "initrd"
    # Of two entries of one name the kernel keeps the later.
    more = cpio_newc([("init", stat.S_IFREG | 0o755, init, (0, 0))])
    path.write_bytes(debian(["stress-ng"]).initrd.read_bytes() + more)
    return path


@pytest.mark.parametrize("mode", MODES)
def test_stress_ng_finds_nothing_wrong(mode, initrd):
    with machine_of(mode, harts=HARTS, memory="2G") as machine:
        machine.boot(debian_kernel(), initrd, QUICK_CMDLINE)
        stop = machine.run(seconds=SECONDS)
        lines = machine.console.output.decode().replace("\r\n", "\n").splitlines()
    assert stop.reason is vm.StopReason.POWER_OFF, lines[-10:]
    assert [line for line in lines if line.endswith(": ok")] == [f"{name}: ok" for name in STRESSORS], lines
