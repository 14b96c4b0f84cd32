"""`--share`: what it makes of a description, and what it says of one that makes no sense."""

import pytest

import vm as package
from tests.assembler import assemble_elf
from tests.cli.conftest import assert_fails_with_one_line
from tests.cli.test_restore import PROGRAM
from vm.cli.share import open_share, open_shares
from vm.devices import SharedFolder
from vm.errors import ConfigurationError


def test_settings(tmp_path):
    folder = open_share(f"{tmp_path},read-only,owner=1000:100,tag=home")
    assert (folder.path, folder.tag, folder.read_only, folder.owner) == (str(tmp_path), "home", True, (1000, 100))
    folder.close()
    folder = open_share(str(tmp_path))
    assert (folder.tag, folder.read_only, folder.owner) == ("share", False, (0, 0))
    folder.close()


def test_a_path_with_commas(tmp_path):
    odd = tmp_path / "a,b,read-write"
    odd.mkdir()
    folder = open_share(f"{odd},read-only")
    assert folder.path == str(odd) and folder.read_only
    folder.close()


def test_two_of_one_tag(tmp_path):
    with pytest.raises(ConfigurationError, match="another has the tag 'share'; say tag=NAME for one of them"):
        open_shares([str(tmp_path), str(tmp_path)])
    for folder in open_shares([str(tmp_path), f"{tmp_path},tag=two"]):
        folder.close()


@pytest.mark.parametrize("text, message", [
    ("gone", "gone: cannot be shared (No such file or directory); name a folder"),
    (".,readonly", "no such folder, and 'readonly' is none of read-only, tag=NAME, owner=UID:GID"),
    (".,owner=me", "owner=me: write it as owner=1000:1000"), (".,owner=9999999999:0", "owner="),
    (".,tag=", "tag=''"), (".,tag=one,tag=two", "tag is said twice"), ("", "--share: name a folder"),
])
def test_what_makes_no_sense(vm, tmp_path, text, message):
    program = tmp_path / "program"
    program.write_bytes(bytes(4))
    process = vm("run", "--address", "0x80000000", "--share", text, str(program))
    assert message in assert_fails_with_one_line(process, code=2)


@pytest.mark.network
def test_debian_mounts_them(vm, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "file").write_text("what is shared\n")
    result = vm("boot", "debian", "--net", "none", "--share", str(tmp_path), "--share",
                f"{tmp_path / 'data'},read-only,tag=data", "--run",
                "cat /mnt/data/file > /mnt/share/copy; cat /mnt/share/copy; rm /mnt/data/file")
    assert result.returncode == 1 and b"what is shared" in result.stdout and b"Read-only file system" in result.stdout
    assert (tmp_path / "copy").read_text() == "what is shared\n"


def test_folders_of_a_snapshot_are_asked_for(vm, tmp_path):
    path, shared = str(tmp_path / "machine.vmsnap"), tmp_path / "shared"
    shared.mkdir()
    with package.Machine(memory="2M") as machine:
        machine.attach(SharedFolder(shared))
        machine.load(assemble_elf(PROGRAM))
        machine.run(instructions=2)
        machine.snapshot().save(path)
    result = vm("restore", path)
    assert result.returncode == 2
    assert b"the machine had 1 shared folder, and 0 are given: say --share DIR for each" in result.stderr
    for command in (("restore", path), ("boot", "--from", path)):
        result = vm(*command, "--share", str(shared))
        assert (result.returncode, result.stdout) == (7, b"A")
