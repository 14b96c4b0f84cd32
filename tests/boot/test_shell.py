"""`machine.shell()` in Debian's busybox: what a command prints and how it ends, whatever the shell looks like."""

import pytest

import vm
from tests.boot.linux import load_linux
from vm.testing import Shell

pytestmark = pytest.mark.network


@pytest.fixture(scope="module")
def shell():
    with vm.Machine() as machine:
        load_linux(machine, "exec sh")
        yield machine.shell()


@pytest.mark.parametrize("command, output", [
    ("echo one; echo two >&2", "one\ntwo\n"),
    ("printf 'no newline'", "no newline"),
    ("true", ""),
    ("for i in 1 2; do\n  echo \"'$i'\"\ndone\n", "'1'\n'2'\n"),
    ("printf 'a\\rb\\r\\n'", "a\rb\r\n"),
    (r"echo 'back\slash' \' \" '%s' '\0101'", "back\\slash ' \" %s \\0101\n"),
    ("echo é 漢 \t.", "é 漢 .\n"),
    ("cat", ""),
    ("printf '\\377\\001'", "\udcff\x01"),
    ("echo " + "x" * 5000, "x" * 5000 + "\n"),
], ids=lambda value: value[:20])
def test_output_is_what_the_command_prints(shell, command, output):
    """Also where the command is longer than the shell's line, which busybox wraps as it echoes it."""
    assert shell.run(command).output == output


@pytest.mark.parametrize("command, status", [("true", 0), ("false", 1), ("(exit 42)", 42), ("no-such-command", 127),
                                             ("if", 2), ("echo )", 2), ("echo ${unset?}", 2),
                                             ("kill -9 $(sh -c 'echo $PPID; exec sleep 9') & wait $!; kill -l 9", 0),
                                             ("sh -c 'kill -9 $$'", 137)])
def test_status_is_the_commands(shell, command, status):
    """POSIX.1-2017, XCU 2.8.2: 127 for a command that is not found, more than 128 for one that a signal ended."""
    assert shell.run(command).status == status


def test_output_is_shown_as_it_comes(shell):
    """In pieces, which together are the output; the console's mirror is as before."""
    shown, mirror = [], shell.machine.console.mirror
    output = shell.run("echo one; printf two", show=shown.append).output_bytes
    assert b"".join(shown) == output == b"one\ntwo"
    assert len(shown) > 1 and shell.machine.console.mirror is mirror


def test_check_raises_with_what_was_printed(shell):
    with pytest.raises(vm.CommandFailed, match="status 3(.|\n)*reason") as error:
        shell.run("echo reason; (exit 3)", check=True)
    assert (error.value.command, error.value.status) == ("echo reason; (exit 3)", 3)
    assert error.value.output == "reason\n"
    assert shell.run("echo fine", check=True).output == "fine\n"


def test_directory_and_variables_stay(shell):
    shell.run("cd /proc; x='a  b'")
    assert shell.run('echo "$PWD $x"; cd /').output == "/proc a  b\n"


@pytest.mark.parametrize("setting", ["PS1='C:\\> '", "PS1=", "PS1='two\nlines # '", "PS1='\\033[1mbold\\033[0m$ '",
                                     "stty -echo", "stty echo", "set -x", "set +x"])
def test_prompt_and_echo_do_not_matter(shell, setting):
    """Of this shell, and of one that somebody finds on the same console."""
    shell.run(setting)
    assert "one\n" in shell.run("echo one").output
    assert Shell(shell.machine).run("echo two; false").status == 1


def test_a_command_that_prints_a_mark_is_told_from_its_end(shell):
    assert shell.run("printf '\\0350 %016d\\035' 1").output == f"\x1d0 {1:016}\x1d"


def test_a_command_that_does_not_end_is_out_of_time_and_the_shell_can_be_used_when_it_does(shell):
    with pytest.raises(vm.ExpectTimeout, match="'sleep 1' did not end in 0.5 seconds of the guest"):
        shell.run("sleep 1", seconds=0.5)
    assert shell.run("echo then").output == "then\n"


def test_a_command_that_does_not_end_is_interrupted_by_ctrl_c():
    """The console is the terminal of a session of its own."""
    with vm.Machine() as machine:
        machine.boot(*vm.images.debian())
        shell = machine.shell()
        with pytest.raises(vm.ExpectTimeout):
            shell.run("sleep 1000", seconds=0.5)
        machine.console.send("\x03")
        assert shell.run("echo then").output == "then\n"


def test_every_machine_does_the_same():
    def steps() -> int:
        with vm.Machine() as machine:
            load_linux(machine, "exec sh")
            machine.shell().run("echo 1")
            return machine.steps
    assert steps() == steps()


def test_a_login_is_answered():
    """busybox login asks for a name and a password."""
    with vm.Machine() as machine:
        load_linux(machine, "mkdir -p /etc; echo 'root:x:0:0::/:/bin/sh' > /etc/passwd\n"
                            "echo 'root:$1$abc$BXBqpb9BZcZhXLgbee.0s/:1::::::' > /etc/shadow\n"
                            "while true; do login; done")
        shell = machine.shell("root", "password")
        assert shell.run("echo $USER").output == "root\n"


def test_a_panic_ends_the_wait():
    with vm.Machine() as machine:
        load_linux(machine, "exit 1")
        with pytest.raises(vm.UnexpectedOutput, match="Kernel panic"):
            machine.shell()


def test_a_panic_ends_a_command_and_a_reset_brings_another_kernel():
    with vm.Machine() as machine:
        load_linux(machine, "exec sh")
        shell = machine.shell()
        assert shell.run("echo not a Kernel panic - not syncing").status == 0
        with pytest.raises(vm.UnexpectedOutput, match="Kernel panic"):
            shell.run("printf half; echo c > /proc/sysrq-trigger")
        machine.reset()
        assert machine.shell().run("echo again").output == "again\n"


def test_without_a_shell_the_wait_ends():
    with vm.Machine() as machine:
        load_linux(machine, "while true; do sleep 1; done")
        with pytest.raises(vm.ExpectTimeout, match="no shell of the guest answered in 10 seconds of its time"):
            machine.shell(seconds=10)
