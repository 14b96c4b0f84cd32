"""Debian's kernel mounts folders of this host: its 9P driver is the oracle of the server."""

import hashlib
import os
import stat

import pytest

import vm
from vm.devices import SharedFolder
from vm.images import debian
from vm.stop import StopReason

pytestmark = pytest.mark.network

DATA = hashlib.shake_256(b"what is shared").digest(3_000_001)
DIGEST = hashlib.sha256(DATA).hexdigest()


def filled(folder):
    folder.mkdir()
    (folder / "data").write_bytes(DATA)
    (folder / "secret-link").symlink_to("/etc/hostname")
    return folder


def booted(*folders, **options):
    machine = vm.Machine(memory="256M", **options)
    for folder in folders:
        machine.attach(folder)
    machine.boot(*debian())
    return machine, machine.shell()


@pytest.fixture(scope="module")
def guest(tmp_path_factory):
    folder = filled(tmp_path_factory.mktemp("host") / "shared")
    other = folder.parent / "other"
    other.mkdir()
    machine, shell = booted(SharedFolder(folder), SharedFolder(other, tag="fixed", read_only=True))
    with machine:
        yield folder, lambda command: shell.run(f"cd /mnt/share; {command}", seconds=600)


def test_folders_are_mounted(guest):
    folder, run = guest
    mounts = run("grep 9p /proc/mounts").output
    assert "share /mnt/share 9p rw" in mounts and "fixed /mnt/fixed 9p" in mounts and "msize=512000" in mounts
    assert run("ls").output.split() == ["data", "secret-link"]
    assert run("sha256sum < data").output.split()[0] == DIGEST
    result = run("touch /mnt/fixed/x")
    assert result.status and "Read-only file system" in result.output
    assert os.listdir(folder.parent / "other") == []


def test_owners_and_times(guest):
    folder, run = guest
    run("umask 027; echo text > owned; chmod 640 data; touch -d @1000000000 owned")
    assert run("stat -c '%U:%G %a %s %Y' owned data").output.splitlines()[0] == "root:root 640 5 1000000000"
    found = (folder / "owned").stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), found.st_mtime) == (
        os.geteuid(), os.getegid(), 0o640, 1_000_000_000)
    assert stat.S_IMODE((folder / "data").stat().st_mode) == 0o640
    assert run("chown root:root owned").status == 0
    assert run("chmod 4755 owned").status != 0
    run("rm owned")


def test_a_link_is_followed_in_the_guest(guest):
    """To the guest's own files."""
    _, run = guest
    assert run("readlink secret-link; cat secret-link 2>&1").output.splitlines()[0] == "/etc/hostname"
    assert run("ln -s /etc/passwd mine; cat mine; rm mine").output.startswith("root:x:0:0")
    assert run("ls /mnt/share/.. | grep -c passwd").output == "0\n"


def test_a_thousand_files(guest):
    folder, run = guest
    run("mkdir many; i=0; while [ $i -lt 1000 ]; do echo $i > many/file$i; i=$((i+1)); done")
    assert sorted(os.listdir(folder / "many")) == sorted(f"file{number}" for number in range(1000))
    assert (folder / "many" / "file777").read_text() == "777\n"
    assert run("ls many | wc -l; cat many/* | sort -n | sha256sum").output.split()[:2] == [
        "1000", hashlib.sha256("".join(f"{number}\n" for number in range(1000)).encode()).hexdigest()]
    assert run("rm -r many; ls").output.split() == ["data", "secret-link"]


def test_what_programs_do_with_files(guest):
    """Append, truncate, hard links, renames over others and of folders, files that are deleted while they are open."""
    folder, run = guest
    run("echo one > log; echo two >> log; printf xyz | dd of=log bs=1 seek=4 conv=notrunc 2>/dev/null")
    assert (folder / "log").read_bytes() == b"one\nxyz\n"
    run("truncate -s 6 log; mkdir -p a/b; ln log a/b/hard; mv log a/moved; mv a c")
    assert (folder / "c" / "moved").read_bytes() == b"one\nxy" and (folder / "c" / "b" / "hard").stat().st_nlink == 2
    run("echo new > index.lock; mv index.lock c/moved")
    assert (folder / "c" / "moved").read_bytes() == b"new\n"
    result = run("exec 3<>c/moved; rm c/moved; echo more >&3; stat -L -c %s /proc/self/fd/3; exec 3>&-; ls c/b")
    assert result.output.split() == ["5", "hard"]
    run("rm -r c")
    assert sorted(os.listdir(folder)) == ["data", "secret-link"]


def test_what_the_host_changes_is_seen(guest):
    folder, run = guest
    (folder / "note").write_text("first\n")
    assert run("cat note").output == "first\n"
    (folder / "note").write_text("other\n")
    assert run("cat note").output == "other\n"
    (folder / "note").unlink()
    assert run("cat note").status != 0


def test_memory_that_is_a_file(guest):
    """dd and sha256sum read; a program's text is mapped: busybox runs from the folder."""
    folder, run = guest
    assert run("mkdir bin; cp /bin/busybox bin; bin/busybox echo mapped; rm -r bin").output == "mapped\n"


def test_large_writes(guest):
    folder, run = guest
    run("dd if=data of=copy bs=1M 2>/dev/null; cat data >> copy")
    assert (folder / "copy").read_bytes() == DATA * 2
    run("rm copy")


# --- Snapshots and logs ----------------------------------------------------------------------------------------------

def test_a_snapshot_has_open_files(tmp_path):
    folder = filled(tmp_path / "shared")
    machine, shell = booted(SharedFolder(folder))
    with machine:
        shell.run("cd /mnt/share; exec 3>>log; echo one >&3; exec 4<data; head -c 1000 <&4 >/dev/null; sync")
        snapshot = machine.snapshot()
        snapshot.save(tmp_path / "open.vmsnap")
        assert shell.run("echo two >&3; sync; sha256sum < data").output.split()[0] == DIGEST
        twin = machine.fork()
    assert (folder / "log").read_text() == "one\ntwo\n"
    with twin:
        twin.shell().run("echo twin >&3; sync")     # a table of fids of its own
    assert (folder / "log").read_text().startswith("one\ntwo\ntwin")
    loaded = vm.Snapshot.load(tmp_path / "open.vmsnap")
    with pytest.raises(vm.SnapshotError, match="is a SharedFolder, which a file cannot make: give one"):
        loaded.machine()
    with loaded.machine(devices={"virtio0": SharedFolder(folder)}) as again:
        shell = again.shell()
        assert shell.run("sha256sum < data; echo 3rd >&3; sync").output.split()[0] == DIGEST
        assert (folder / "log").read_text()[4:8] == "3rd\n"     # where the log ended then
    (folder / "data").unlink()
    with loaded.machine(devices={"virtio0": SharedFolder(folder)}) as again:
        assert "Stale file handle" in again.shell().run("cat <&4 2>&1 >/dev/null").output
        assert sorted(again.shell().run("ls -1 /mnt/share").output.split()) == ["log", "secret-link"]


WORK = "cd /mnt/share; sha256sum data; date > when; ls -l when; mkdir made; mv when made; cat made/*; rm -r made; ls"


@pytest.mark.parametrize("engine", ["auto", "interpreter"])
def test_a_recorded_run_is_replayed_without_the_folder(tmp_path, engine):
    folder = filled(tmp_path / "shared")
    machine, shell = booted(SharedFolder(folder))
    with machine:
        before = machine.snapshot()
        with machine.record() as recording:
            result = shell.run(WORK)
        steps = machine.steps
    assert result.output.startswith(DIGEST)
    (folder / "data").write_text("something else")
    with before.machine(engine=engine) as again:
        again.replay(recording.log)
        while again.run().reason is not StopReason.REPLAYED:
            pass
        assert again.steps == steps and result.output in again.console.output.decode().replace("\r\n", "\n")
        assert sorted(os.listdir(folder)) == ["data", "secret-link"]       # nothing is done on the host
        assert again.shell().run("ls -1 /mnt/share; cat /mnt/share/data").output == \
            "data\nsecret-link\nsomething else"


def test_a_recorded_run_is_the_same_as_another(tmp_path):
    """To the step, as far as the host says the same: times of access do not change any more."""
    folder = filled(tmp_path / "shared")
    machine, shell = booted(SharedFolder(folder))
    with machine:
        shell.run("ls /mnt/share; cat /mnt/share/data > /dev/null")
        snapshot = machine.snapshot()
    runs = []
    for records in (False, True):
        with snapshot.machine() as again:
            recording = again.record() if records else None
            again.console.send("cd /mnt/share; cat data data | sha256sum; ls; echo done | tr a-z A-Z\n")
            again.console.expect("DONE")
            runs.append((again.steps, again.console.output))
            if recording is not None:
                recording.stop()
    assert runs[0] == runs[1]


def test_backwards_and_forwards_again(tmp_path):
    folder = filled(tmp_path / "shared")
    machine, shell = booted(SharedFolder(folder))
    with machine, machine.keep_history():
        shell.run("cd /mnt/share; sha256sum data")
        here = machine.steps
        shell.run("echo made > made; sha256sum made")
        there = machine.steps
        (folder / "made").unlink()
        machine.step_back(there - here)
        assert machine.run(instructions=there - here).steps == there - here == machine.steps - here
        assert not (folder / "made").exists()       # what the guest did again was not done on the host
        assert shell.run("echo after > after; cat after").output == "after\n"
        assert (folder / "after").read_text() == "after\n"
