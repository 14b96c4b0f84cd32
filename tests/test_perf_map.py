"""The map that Linux `perf` reads: lines "START SIZE name", in hexadecimal, as perf's jit-interface.txt has them."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import vm
from vm.bench.guests.build import elf
from vm.perf_map import PerfMap

PROGRAM = str(elf("recursion"))


@pytest.fixture
def perf_file():
    path = Path(f"/tmp/perf-{os.getpid()}.map")
    yield path
    path.unlink(missing_ok=True)


def entries(path: Path) -> list[tuple[int, int, str]]:
    found = [re.fullmatch(r"([0-9a-f]+) ([0-9a-f]+) (.+)", line).groups() for line in path.read_text().splitlines()]
    return [(int(start, 16), int(size, 16), name) for start, size, name in found]


def run(**options):
    with vm.Machine(memory="64M", engine="jit", **options) as machine:
        machine.load(PROGRAM)
        machine.run(instructions=1_000_000)
        return {(host, len(code)) for _, _, _, host, code, _ in machine.compiler.traces()}


def test_every_trace_is_named_after_its_guest_symbol(perf_file):
    traces = run(perf_map=True)
    lines = entries(perf_file)
    assert traces and traces <= {(start, size) for start, size, _ in lines}
    names = {name.partition("+")[0] for _, _, name in lines}
    assert "fibonacci" in names


def test_no_lines_overlap_after_several_machines(perf_file):
    """Their code may stand at the same addresses, one after the other."""
    for _ in range(3):
        run(perf_map=True)
    lines = sorted(entries(perf_file))
    assert all(start + size <= following for (start, size, _), (following, _, _) in zip(lines, lines[1:], strict=False))


def test_threads_may_enter_at_once(perf_file):
    names = PerfMap()
    interval = sys.getswitchinterval()

    def enter(thread):
        for turn in range(100):
            names.update([(1, 0x1000 * turn + 0x100 * thread, 0x100 + 0x80 * (turn % 3))], hex)

    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(enter, range(4)))
    finally:
        sys.setswitchinterval(interval)
    lines = entries(perf_file)
    assert lines and all(start + size <= following for (start, size, _), (following, _, _)
                         in zip(lines, lines[1:], strict=False))


def test_no_file_unless_asked_for(perf_file):
    run()
    assert not perf_file.exists()


def test_environment_asks_for_it(perf_file, monkeypatch):
    monkeypatch.setenv("VM_PERF_MAP", "1")
    run()
    assert perf_file.exists()


def test_command_line_asks_for_it():
    command = [sys.executable, "-c", "from vm.cli import main; main()", "run", "--perf-map", "--engine", "jit", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        assert process.wait(timeout=120) == 0
    path = Path(f"/tmp/perf-{process.pid}.map")
    try:
        assert entries(path)
    finally:
        path.unlink()


def test_new_code_takes_the_place_of_old():
    found = PerfMap()
    for start, size, name in ((100, 10, "a"), (110, 10, "b"), (120, 10, "c"), (105, 10, "d")):
        found.enter(start, size, name)
    assert [(start, *found._places[start]) for start in found._starts] == [(105, 10, "d"), (120, 10, "c")]


def perf_works() -> bool:
    try:
        return subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", "/dev/null", "true"], check=False,
                              capture_output=True, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not perf_works(), reason="perf is not installed, or may not measure here")
def test_perf_names_compiled_code(tmp_path):
    """The oracle itself: code memory must look to perf like a compiler's, not like a file that it cannot find."""
    data = tmp_path / "perf.data"
    script = tmp_path / "guest.py"
    script.write_text(f"""
import os, vm
print(os.getpid(), flush=True)
with vm.Machine(memory="64M", engine="jit", perf_map=True) as machine:
    machine.load({PROGRAM!r})
    machine.run()
""")
    recorded = subprocess.run(["perf", "record", "-q", "-e", "cpu-clock", "-o", data, sys.executable, script],
                              check=True, capture_output=True, timeout=120)
    path = Path(f"/tmp/perf-{int(recorded.stdout)}.map")
    try:
        names = {name for _, _, name in entries(path)}
        report = subprocess.run(["perf", "report", "-i", data, "--stdio", "--sort", "symbol"], check=True,
                                capture_output=True, text=True, timeout=120).stdout
    finally:
        path.unlink()
    assert set(re.findall(r"\[\.\] (\S+)", report)) & names
