"""`vm snapshot`: what a file holds, and what is said of one that is damaged."""

import pytest

import vm as package
from vm.snapshots.file import SnapshotFile
from vm.snapshots.layout import HEADER_BYTES, Region
from vm.snapshots.writer import write

RAM = [Region("ram", 1 << 20)]


@pytest.fixture
def files(tmp_path):
    base, path = tmp_path / "base.vmsnap", tmp_path / "next.vmsnap"
    write(base, None, RAM, [(0, 3, b"text" * 2048)])
    with SnapshotFile(base) as parent:
        write(path, None, RAM, [(0, 9, b"more" * 1024)], parent)
        return base, path


def test_info(vm, files):
    base, path = files
    with SnapshotFile(path) as file:
        identity = file.identity.hex()
    result = vm("snapshot", "info", str(path))
    assert (result.returncode, result.stdout.decode().splitlines()) == (0, [
        f"identity  {identity}", "machine   none that this vm knows",
        "memory    ram: 1,048,576 bytes, 3 pages of it not zero",
        f"file      {path}: {path.stat().st_size:,} bytes, 1 pages",
        f"file      {base}: {base.stat().st_size:,} bytes, 2 pages"])


def test_info_of_a_machine(vm, tmp_path):
    with package.Machine(memory="2M", isa="rv64gc", harts=2, threads=True) as machine:
        machine.snapshot().save(tmp_path / "machine.vmsnap")
    shown = vm("snapshot", "info", str(tmp_path / "machine.vmsnap")).stdout.decode().splitlines()[1]
    assert shown.startswith("machine   ")
    for argument in ("memory=2097152", "harts=2", "threads=True", "clock='real'", "isa='rv64gc'"):
        assert argument in shown


def test_verify(vm, files):
    base, path = files
    assert vm("snapshot", "verify", str(path)).stdout.decode() == f"{path}: whole, and the 1 that it needs\n"
    data = bytearray(base.read_bytes())
    data[HEADER_BYTES] ^= 1
    base.write_bytes(data)
    result = vm("snapshot", "verify", str(path))
    assert result.returncode == 1 and result.stderr.count(b"\n") == 1
    assert result.stderr.decode().startswith(f"vm: {base}: damaged: the bytes of ram from 0x0 on")


def test_a_file_that_is_not_there(vm, tmp_path):
    result = vm("snapshot", "info", str(tmp_path / "none"))
    assert (result.returncode, result.stderr.decode()) == (1, f"vm: {tmp_path / 'none'}: No such file or directory\n")
