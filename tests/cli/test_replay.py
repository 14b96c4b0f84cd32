"""`vm replay`: a folder with a recorded run, and what is wrong with one."""

import pytest

import vm as package
from tests.assembler import assemble_elf
from vm.devices import BlockDevice
from vm.run_folder import BEGINNING, LOG, save_run

# Prints what it reads; at a `q` it powers off.
ECHO = """
    li   s0, 0x10000000         # the UART
    li   s1, 0x100000           # the test device
    li   s2, 'q'
1:  lbu  t0, 5(s0)
    andi t0, t0, 1
    beqz t0, 1b
    lbu  t0, 0(s0)
    sb   t0, 0(s0)
    bne  t0, s2, 1b
    li   t0, 0x5555
    sw   t0, 0(s1)
"""


def recorded(folder, typed, *devices):
    """A run of the program, from its first prompt on."""
    with package.Machine(memory="2M") as machine:
        for device in devices:
            machine.attach(device)
        machine.load(assemble_elf(ECHO))
        machine.console.send(">")
        machine.console.expect(">")
        begin = machine.snapshot()
        with machine.record() as recording:
            for letter in typed:
                machine.console.send(letter)
                machine.console.expect(letter)
                machine.run(instructions=10)
        folder.mkdir()
        save_run(folder, begin, recording.log)
    return str(folder)


@pytest.mark.parametrize("engine", [(), ("--engine", "interpreter")])
@pytest.mark.parametrize("typed", ["abc", "abq"])
def test_shows_what_was_printed_then(vm, tmp_path, typed, engine):
    folder = recorded(tmp_path / "run", typed)
    for path in (folder, f"{folder}/{LOG}"):
        result = vm("replay", path, *engine)
        assert (result.returncode, result.stdout.strip()) == (0, typed.encode())


def test_log_of_another_run(vm, tmp_path):
    """Said in a line, with the step at which it shows."""
    folder = recorded(tmp_path / "run", "abc")
    other = package.Snapshot.load(f"{folder}/{BEGINNING}").machine()
    other.harts[0].x[9] += 1
    other.snapshot().save(f"{folder}/{BEGINNING}")
    result = vm("replay", folder)
    assert result.returncode == 1
    assert result.stderr.startswith(b"vm: the log does not fit: hart 0") and result.stderr.count(b"\n") == 1


@pytest.mark.parametrize("lost, message", [
    (LOG, "no recorded run; name a folder with beginning.vmsnap and run.vmlog in it, as a failing test leaves it"),
    (BEGINNING, "a log needs the snapshot that it begins with, and there is no "),
])
def test_something_is_missing(vm, tmp_path, lost, message):
    folder = recorded(tmp_path / "run", "abc")
    (tmp_path / "run" / lost).unlink()
    result = vm("replay", folder)
    assert result.returncode == 1
    assert message in result.stderr.decode() and result.stderr.count(b"\n") == 1


def test_disks_are_asked_for(vm, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    folder = recorded(tmp_path / "run", "abc", BlockDevice(image))
    result = vm("replay", folder)
    assert result.returncode == 2 and b"say --disk FILE for each" in result.stderr
    assert vm("replay", folder, "--disk", f"{image},discard").returncode == 0
