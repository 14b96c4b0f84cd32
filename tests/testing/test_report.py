"""What the report of a failing test says of its machines, whose lines it shows, and the recording that it leaves."""

import re

import pytest

from tests.testing.plugin import lines, replay, run
from vm.cli import main

pytest_plugins = ["pytester"]


# --- The report ------------------------------------------------------------------------------------------------------

def test_failure_shows_console_harts_and_a_recording_that_can_be_replayed(project, capfd):
    project.makepyfile("""
        import vm

        def test_one(machine):
            machine.console.send("abc")
            machine.console.expect("abc", seconds=1)
            machine.console.send("q")
            assert machine.run().reason is vm.StopReason.POWER_OFF
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    assert lines(result, "machine: console") == ["ready> abc"]
    stands = lines(result, "machine: where it stands")
    assert re.match(r"last run: exit, exit code 3, \d+ steps$", stands[0])
    assert re.match(r"hart 0: pc 0x800000[0-9a-f]{2} trap, started$", stands[2])   # behind the store at `quit`
    printed, code = replay(result, capfd)
    assert (printed.split(), code) == (["abc"], 3)


def test_trap_shows_its_cause(project):
    project.makepyfile("""
        def test_one(machine):
            machine.console.send("t")
            machine.console.expect("never")
    """)
    result = run(project)
    stands = lines(result, "machine: where it stands")
    assert stands[0].startswith("last run: trap-loop") and "illegal instruction" in stands[0].lower()


def test_program_that_is_never_ready_fails_every_test_at_once(project):
    project.makepyfile("""
        import pytest

        pytestmark = pytest.mark.vm(until="no such text", seconds=0.01)

        @pytest.mark.parametrize("number", range(2))
        def test_one(machine, number):
            pass
    """)
    result = run(project)
    result.assert_outcomes(errors=2)
    assert lines(result, "machine: console") == ["ready> "]
    result.stdout.fnmatch_lines(["*did not print 'no such text' in 0.01 seconds of its time*"])


def test_machine_that_cannot_be_built_is_tried_once(project):
    project.makepyfile("""
        import pytest
        tried = []

        def board():
            tried.append(1)
            raise OSError("no such board")

        pytestmark = pytest.mark.vm(build=board)

        @pytest.mark.parametrize("number", range(3))
        def test_one(machine, number):
            pass

        def test_count():
            assert len(tried) == 1
    """)
    result = run(project)
    result.assert_outcomes(errors=3, passed=1)
    assert lines(result, "machine: console") is None
    result.stdout.fnmatch_lines(["E *OSError: no such board"])
    shown = re.findall(r"^(\S+?\.pyx?):\d+: ", result.stdout.str(), re.M)
    assert shown == 3 * ["test_machine_that_cannot_be_built_is_tried_once.py"], shown       # the function's line


def test_passing_and_expected_failures_leave_nothing(project, tmp_path):
    project.makepyfile("""
        import pytest

        def test_pass(machine):
            machine.console.send("a")

        @pytest.mark.xfail
        def test_expected(machine):
            assert False
    """)
    run(project, f"--basetemp={tmp_path / 'base'}").assert_outcomes(passed=1, xfailed=1)
    assert list(tmp_path.rglob("*.vmlog")) == []


def test_recordings_share_the_snapshot_that_they_begin_with(project, tmp_path, capfd):
    project.makepyfile("""
        import pytest

        @pytest.mark.parametrize("key", ["a", "b"])
        def test_one(machine, key):
            machine.console.send(key)
            machine.console.expect(key)
            assert False
    """)
    run(project, f"--basetemp={tmp_path / 'base'}").assert_outcomes(failed=2)
    first, second = (tmp_path / "base").rglob("beginning.vmsnap")
    assert first.samefile(second)
    printed = []
    for folder in sorted(file.parent for file in (first, second)):
        with pytest.raises(SystemExit):
            main(["replay", str(folder)])
        printed.append(capfd.readouterr().out.split()[-1])
    assert printed == ["a", "b"]


@pytest.mark.parametrize("call, what", [
    ("restore(machine.snapshot())", "restore"),
    ("load('build/echo.elf')", "load"),
    ("attach(vm.devices.UART(), 0x1100_0000)", "attach"),
    ("keep_history()", "record"),
    ("record()", "record"),
])
def test_recording_gives_way_to_what_cannot_be_part_of_one(project, call, what):
    """A test may do what it likes with its machine."""
    if what == "attach":
        project.makeini("[pytest]\nvm_memory = 2M\n")
    project.makepyfile(f"""
        import vm

        def test_one(machine):
            machine.{call}
            assert False
    """)
    result = run(project)
    assert lines(result, "machine: recording") == [f"none: the test called {what}(), which cannot be part of one"]


def test_recording_can_be_left_out(project):
    project.makepyfile("def test_one(machine):\n    assert machine.inputs.history is None and False")
    result = run(project, "-o", "vm_record=never")
    result.assert_outcomes(failed=1)
    assert lines(result, "machine: console") and lines(result, "machine: recording") is None


def test_real_time_has_no_recording(project):
    project.makepyfile("""
        import pytest

        @pytest.mark.vm(clock="real")
        def test_one(machine):
            machine.console.send("a")
            machine.console.expect(" a", timeout=60)
            assert False
    """)
    result = run(project)
    assert lines(result, "machine: recording") == ["none: a machine with clock='real' cannot be recorded"]


def test_closed_machine_is_reported_as_well(project, capfd):
    project.makepyfile("""
        def test_one(machine):
            machine.console.send("a")
            machine.console.expect("a")
            machine.close()
            assert False
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    assert lines(result, "machine: console") == ["ready> a"]
    assert replay(result, capfd) == (" a", 0)


def test_console_is_shown_without_what_moves_the_cursor(project):
    project.makepyfile(r"""
        def test_one(machine):
            machine.console.send("\x1b[31mred\x1b[0m\x07\n")
            machine.console.expect("\x07\n", seconds=1)
            assert False
    """)
    assert lines(run(project), "machine: console") == ["ready> red"]


# --- Whose lines are shown -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call, error", [
    ("console.expect('never', seconds=0.001)", "ExpectTimeout"),
    ("run(seconds=-1)", "ConfigurationError"),
    ("load('missing.elf')", "LoadError"),
    ("memory.read(0, 'eight')", "TypeError"),
    ("attach(vm.devices.UART())", "ConfigurationError"),
    ("harts[0].virtual.read(0, 4)", "BusError"),
    ("shell(seconds=0.001)", "ExpectTimeout"),
    ("boot(b'no kernel')", "LoadError"),
])
def test_traceback_has_only_lines_of_the_test(project, call, error):
    project.makepyfile(f"""
        import vm

        def test_one(machine):
            machine.console.send("s")
            machine.{call}
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    report = result.stdout.str()
    shown = set(re.findall(r"^(\S+?\.pyx?):\d+: ", report, re.M))
    assert len(shown) == 1 and shown.pop().startswith("test_") and error in report, report


def test_traceback_has_the_lines_of_a_device(project):
    """What a device of the project raises comes through our frames, which are not shown."""
    project.makepyfile(device="""
        from vm.devices import Device, reads

        class Broken(Device):
            @reads(0)
            def value(self) -> int:
                return {}["what is it"]
    """, test_one="""
        import pytest
        from device import Broken

        PROGRAM = b"".join(word.to_bytes(4, "little") for word in (0x110002B7, 0x0002A303))     # lui t0; lw t1, (t0)

        def build():
            import vm
            machine = vm.Machine(memory="2M")
            machine.attach(Broken(), 0x1100_0000)
            machine.load(PROGRAM, address=0x8000_0000)
            return machine

        @pytest.mark.vm(build=build)
        def test_one(machine):
            machine.run()
    """)
    report = run(project).stdout.str()
    assert re.findall(r"^(\S+?\.pyx?):\d+: ", report, re.M) == ["test_one.py", "device.py"], report


def test_all_frames_are_there_when_asked_for(project):
    project.makepyfile("def test_one(machine):\n    machine.run(seconds=-1)")
    report = run(project, "--full-trace").stdout.str()
    assert "runner.py" in report
