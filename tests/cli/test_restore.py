"""`vm restore` and `vm boot --from`: a machine goes on, and what is wrong is said in one line."""

import pytest

import vm as package
from tests.assembler import assemble_elf
from vm.cli.restore import machine_from
from vm.devices import BlockDevice

# Prints a letter by HTIF, then exits with 7.
PROGRAM = """
    la   t0, tohost
    li   t1, 0x0101000000000000 | 'A'
    sd   t1, 0(t0)
1:  ld   t2, 0(t0)
    bnez t2, 1b
    li   t1, 7 << 1 | 1
    sd   t1, 0(t0)
2:  j    2b
    .balign 8
    .global tohost
tohost:
    .dword 0
"""


@pytest.fixture
def saved(tmp_path):
    with package.Machine(memory="2M") as machine:
        machine.load(assemble_elf(PROGRAM))
        machine.run(instructions=2)
        machine.snapshot().save(tmp_path / "machine.vmsnap")
    return str(tmp_path / "machine.vmsnap")


@pytest.mark.parametrize("command", [("restore",), ("boot", "--from")])
@pytest.mark.parametrize("engine", [(), ("--engine", "interpreter")])
def test_goes_on_to_the_end(vm, saved, command, engine):
    result = vm(*command, saved, *engine)
    assert (result.returncode, result.stdout) == (7, b"A")


@pytest.fixture
def saved_in_real_time(tmp_path):
    def save(threads: bool) -> str:
        with package.Machine(memory="2M", harts=2, clock="real", threads=threads) as machine:
            machine.load(assemble_elf("csrr t0, mhartid; 1: bnez t0, 1b\n" + PROGRAM))
            machine.run(instructions=2)
            machine.snapshot().save(tmp_path / "machine.vmsnap")
        return str(tmp_path / "machine.vmsnap")
    return save


@pytest.mark.parametrize("threads", [True, False])
@pytest.mark.parametrize("option, then", [((), None), (("--threads",), True), (("--no-threads",), False)])
def test_harts_get_threads_or_take_turns(vm, saved_in_real_time, threads, option, then):
    path = saved_in_real_time(threads)
    result = vm("restore", path, *option)
    assert (result.returncode, result.stdout) == (7, b"A")
    with machine_from(path, {"threads": then}, (), (), ()) as machine:
        assert ("in threads" in repr(machine)) == (threads if then is None else then)


@pytest.mark.parametrize("option", ["--threads", "--no-threads"])
def test_boot_from_a_file_takes_threads(option, vm, saved_in_real_time):
    assert vm("boot", "--from", saved_in_real_time(option == "--no-threads"), option).returncode == 7


def test_threads_are_refused_for_a_virtual_clock(vm, saved):
    result = vm("restore", saved, "--threads")
    assert result.returncode == 2 and result.stderr.count(b"\n") == 1
    assert b"the snapshot is of a machine with a virtual clock" in result.stderr


def test_not_a_snapshot(vm, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"something else")
    result = vm("restore", str(path))
    assert result.returncode != 0
    said = f"vm: {path}: not a file with a snapshot; name one that Snapshot.save has written\n"
    assert result.stderr.decode() == said


def test_other_options_of_boot_are_refused(vm, saved):
    result = vm("boot", "--from", saved, "--memory", "1G", "--harts", "2")
    assert result.returncode == 2
    assert b"--from FILE has its own --memory, --harts" in result.stderr


def test_disks_are_asked_for(vm, tmp_path):
    image = tmp_path / "disk.img"
    image.write_bytes(bytes(4096))
    path = str(tmp_path / "machine.vmsnap")
    with package.Machine(memory="2M") as machine:
        machine.attach(BlockDevice(image, discard=True))
        machine.load(assemble_elf(PROGRAM))
        machine.snapshot().save(path)
    result = vm("restore", path)
    assert result.returncode == 2
    assert b"the machine had 1 disk, and 0 are given: say --disk FILE for each" in result.stderr
    assert vm("restore", path, "--disk", f"{image},discard").returncode == 7


def test_a_text_that_never_comes_saves_nothing(vm, tmp_path):
    kernel = assemble_elf("1: j 1b")
    path = tmp_path / "machine.vmsnap"
    result = vm("boot", "--kernel", str(kernel), "--clock", "virtual", "--memory", "4M", "--timeout", "0.5",
                "--snapshot-at", "login:", str(path))
    assert result.returncode == 124
    assert b"nothing was saved" in result.stderr and not path.exists()
