"""The pytest plugin, in projects of its own: pytest's `pytester` runs pytest in each."""

import tomllib
from pathlib import Path

import pytest

from tests.testing.plugin import PLUGIN, lines, replay, run
from vm.images.cache import cache_directory

pytest_plugins = ["pytester"]

CACHE = cache_directory()           # pytester has another HOME


# --- The fixtures ----------------------------------------------------------------------------------------------------

def test_the_package_says_where_the_plugin_is():
    project = tomllib.loads(Path(__file__).parents[2].joinpath("pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"vm": "vm.testing.plugin"}


def test_each_test_has_a_machine_of_its_own_that_has_printed_what_it_is_to_wait_for(project):
    project.makepyfile("""
        import pytest
        seen = []

        @pytest.mark.parametrize("number", range(3))
        def test_one(machine, number):
            assert machine.console.output == b"ready>" and machine not in seen
            assert all(other.steps > machine.steps for other in seen)
            seen.append(machine)
            machine.console.send("abc")
            machine.console.expect(" abc", seconds=1)
            machine.memory.write(0x8010_0000, b"mine")

        def test_they_are_closed_and_the_same_at_the_beginning(machine):
            assert machine.memory.read(0x8010_0000, 4) == bytes(4)
            assert len(seen) == 3 and all("closed" in repr(one) for one in seen)
    """)
    run(project).assert_outcomes(passed=4)


def test_a_program_is_started_once_in_a_session(project):
    project.makepyfile("""
        import pytest
        built = []

        def board():
            import vm
            built.append(vm.Machine(memory="2M", harts=2))
            built[-1].load("build/echo.elf")
            return built[-1]

        pytestmark = pytest.mark.vm(build=board, until="ready>")

        @pytest.mark.parametrize("number", range(5))
        def test_one(machine, number):
            assert len(built) == 1 and built[0] is not machine and len(machine.harts) == 2
    """)
    run(project).assert_outcomes(passed=5)


def test_the_closest_mark_counts(project):
    project.makepyfile("""
        import pytest
        from vm.devices import UART

        pytestmark = pytest.mark.vm(memory="4M", harts=2)

        def size(machine):
            return machine.board.ram.size >> 20

        def test_module(machine):
            assert (size(machine), len(machine.harts), machine.console.output) == (4, 2, b"ready>")

        @pytest.mark.vm(memory="8M", until=None)
        def test_function(machine):
            assert (size(machine), len(machine.harts), machine.steps) == (8, 2, 0)

        class TestClass:
            pytestmark = pytest.mark.vm(harts=1, setup=lambda machine: machine.attach(UART(), 0x1100_0000))

            def test_method(self, machine):
                assert (size(machine), len(machine.harts)) == (4, 1)
                assert 0x1100_0000 in [placed.address for placed in machine.board.devices.values()]
    """)
    run(project).assert_outcomes(passed=3)


def test_without_a_program_the_machine_is_empty(pytester):
    pytester.makepyfile("""
        def test_one(machine):
            machine.memory.write(0x8000_0000, (0x6F).to_bytes(4, "little"))         # j .
            machine.harts[0].pc = 0x8000_0000
            assert machine.run(instructions=7).steps == 7
    """)
    run(pytester).assert_outcomes(passed=1)


def test_a_project_may_have_a_fixture_of_that_name(project):
    project.makepyfile("""
        import pytest

        @pytest.fixture
        def machine():
            return 5

        def test_one(machine):
            assert machine == 5
    """)
    run(project).assert_outcomes(passed=1)


@pytest.mark.network
def test_linux(pytester, monkeypatch, capfd):
    """Each test finds the shell, and nothing of what another has done."""
    monkeypatch.setenv("VM_CACHE", str(CACHE))
    pytester.makepyfile("""
        import pytest
        steps = []

        @pytest.mark.parametrize("number", range(3))
        def test_shell(linux, number):
            steps.append(linux.steps)
            assert len(set(steps)) == 1
            shell = linux.shell()
            assert shell.run("ls /root/file").status == 1
            assert shell.run("uname -m; touch /root/file", check=True).output == "riscv64\\n"

        @pytest.mark.vm_linux(packages=["bash"], harts=2)
        def test_package(linux):
            assert linux.shell().run("nproc; bash -c 'echo ${BASH_VERSINFO[0]}'").output.split() == ["2", "5"]

        def test_failure(linux):
            linux.shell().run("echo now; false", check=True)
    """)
    result = run(pytester)
    result.assert_outcomes(passed=4, failed=1)
    assert lines(result, "linux: console")[-2].endswith("now")
    printed, code = replay(result, capfd, "linux")
    assert "now\r\n" in printed and code == 0


# --- What is loaded --------------------------------------------------------------------------------------------------

def test_a_run_that_asks_for_no_machine_loads_nothing_of_it(pytester):
    pytester.makepyfile("""
        import sys

        def test_one():
            loaded = {name for name in sys.modules if name.partition(".")[0] in ("vm", "vm_native", "numpy", "click")}
            assert loaded == {"vm", "vm.errors", "vm.lazy", "vm.shell", "vm.testing", "vm.testing.plugin"}

        def test_failure():
            assert 1 == 2
    """)
    pytester.runpytest_subprocess(*PLUGIN).assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("mode", ["load", "each"])
def test_workers_of_xdist(project, mode):
    """Every worker starts the program once, and all tests find the same."""
    pytest.importorskip("xdist")
    project.makepyfile("""
        import os
        from pathlib import Path

        import pytest
        import vm

        def board():
            with open(os.environ["PYTEST_XDIST_WORKER"], "x") as file:
                file.write(str(os.getpid()))
            machine = vm.Machine(memory="2M")
            machine.load("build/echo.elf")
            return machine

        @pytest.mark.vm(build=board, until="ready>")
        @pytest.mark.parametrize("number", range(20))
        def test_one(machine, number):
            assert Path(os.environ["PYTEST_XDIST_WORKER"]).read_text() == str(os.getpid())
            machine.console.send("abc")
            machine.console.expect(" abc", seconds=1)
            with open("steps", "a") as file:
                print(machine.steps, file=file)
            assert number != 7
    """)
    result = project.runpytest_subprocess(*PLUGIN, "-n", "2", "--dist", mode)
    times = 2 if mode == "each" else 1
    result.assert_outcomes(passed=19 * times, failed=times)
    assert lines(result, "machine: console")[-1] == "ready> abc"
    assert (project.path / "gw0").exists() and (project.path / "gw1").exists()
    assert len(set((project.path / "steps").read_text().split())) == 1


# --- Limits ----------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("call", ["run()", "run(seconds=9)", "console.expect('never', seconds=9)",
                                  "run(until=lambda machine: False)", "shell(seconds=9)"])
def test_guest_timeout_ends_whatever_runs(project, call):
    """The program spins for ever, and no limit of the call comes before that of the mark."""
    project.makepyfile(f"""
        import pytest

        @pytest.mark.guest_timeout(0.001)
        def test_one(machine):
            end = machine.clock.now_ns() + 1_000_000
            machine.console.send("s")
            try:
                machine.{call}
            except Exception:                   # a test cannot miss it
                pass
            finally:
                print("on time:", machine.clock.now_ns() == end)
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the guest of `machine` has run for 0.001 seconds of its time*guest_timeout*",
                                 "on time: True"])
    assert lines(result, "machine: console") == ["ready> "]
    assert lines(result, "machine: where it stands")[0].startswith("last run: deadline")


def test_guest_timeout_in_real_time(project):
    project.makepyfile("""
        import pytest

        @pytest.mark.vm(clock="real")
        @pytest.mark.guest_timeout(0.01)
        def test_one(machine):
            machine.console.send("s")
            machine.run()
    """)
    result = run(project)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*the guest of `machine` has run for 0.01 seconds of its time*"])


def test_guest_timeout_leaves_alone_what_keeps_within_it(project):
    project.makepyfile("""
        import pytest
        import vm

        pytestmark = pytest.mark.guest_timeout(seconds=0.001)

        def test_own_limit_comes_first(machine):
            machine.console.send("s")
            assert machine.run(seconds=0.0005).reason is vm.StopReason.DEADLINE
            with pytest.raises(vm.ExpectTimeout):
                machine.console.expect("never", seconds=0.0004)

        def test_end_comes_first(machine):
            machine.console.send("q")
            assert machine.run().exit_code == 3

        def waiting():
            machine = vm.Machine(memory="2M")
            machine.load(bytes.fromhex("73 00 50 10 6f f0 df ff"), address=0x8000_0000)     # wfi; j .-4
            return machine

        @pytest.mark.vm(build=waiting)
        def test_who_waits_for_nothing_is_idle_as_ever(machine):
            assert machine.run().reason is vm.StopReason.IDLE
            assert machine.clock.now_ns() < 100
            assert machine.run(seconds=0.0009).reason is vm.StopReason.DEADLINE
            assert machine.run().reason is vm.StopReason.IDLE
    """)
    run(project).assert_outcomes(passed=3)


# --- Mistakes in a project -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("mark, message", [
    ("vm('64M')", "mark vm of *test_one: its arguments have names"),
    ("vm(build=print, memory='4M')", "mark vm of *test_one: build= makes the whole machine; memory= is for those*"),
    ("vm(xyz=3)", "mark vm of *test_one: it has no xyz=; it has program, until, *memory, harts, *"),
    ("vm(memry='4M')", "mark vm of *test_one: it has no memry=; did you mean memory=?"),
    ("vm(build=print)", "mark vm: build=<built-in function print> has returned None, and no vm.Machine"),
    ("vm(build=5)", "mark vm of *test_one: build=5: it is a function"),
    ("vm(setup='x')", "mark vm of *test_one: setup='x': it is a function"),
    ("vm(memory='a lot')", "*memory size 'a lot'*"),
    ("vm(program='missing.elf')", "*missing.elf*"),
    ("guest_timeout", "mark guest_timeout of *test_one: it takes one number of guest seconds, above 0"),
    ("guest_timeout(-1)", "mark guest_timeout of *: it takes one number*"),
    ("guest_timeout('1')", "mark guest_timeout of *: it takes one number*"),
])
def test_mark_that_says_no_machine(project, mark, message):
    project.makepyfile(f"""
        import pytest

        @pytest.mark.{mark}
        def test_one(machine):
            pass
    """)
    result = run(project, "--strict-markers")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E *{message}*"])
    result.stdout.no_fnmatch_line("*vm/*.py:*")             # none of our lines


@pytest.mark.parametrize("option, message", [
    ("vm_record=always", "*vm_record = always: it is failed or never"),
    ("vm_harts=two", "*vm_harts = two: a whole number is wanted"),
])
def test_ini_file_that_says_no_machine(project, option, message):
    project.makepyfile("def test_one(machine):\n    pass")
    result = run(project, "-o", option)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"E *{message}"])
    result.stdout.no_fnmatch_line("*vm/*.py:*")
