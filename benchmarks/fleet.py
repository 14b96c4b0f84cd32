"""A parser inside Debian, one machine for each input, ours beside QEMU: `python -m benchmarks.fleet`.

An awk under Debian's kernel waits for a line, takes it apart as arithmetic and prints its value. There are three ways
to let each input have a machine that nothing has touched: forks of a snapshot of that moment, by a fleet; a boot for
each; and for each a QEMU that begins with the state that `savevm` has kept. All are given the same inputs, and every
answer is compared with Python's. Of boots and of QEMU only some are run, and the time of all of them follows from
these: the table says so.
"""

import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import click
from rich.console import Console
from rich.table import Table

import vm
from vm.bench.contenders import QEMU, not_installed
from vm.bench.errors import RunFailed
from vm.errors import VmError
from vm.images.busybox import CMDLINE, debian_kernel, opensbi, userspace_initrd

MEMORY = "128M"
READY, ANSWER = b"parser: ready", re.compile(rb"value (-?\d+)\r?\n")
STATE = "ready"
QEMU_SECONDS = 120
PARSER = r"""
busybox stty -echo
busybox awk '
function peek() { return substr(text, at, 1) }
function factor(   value, digits) {
    if (peek() == "(") { at++; value = expression(); at++; return value }
    digits = ""
    while (peek() ~ /[0-9]/) { digits = digits peek(); at++ }
    return digits + 0
}
function term(   value) {
    value = factor()
    while (peek() == "*") { at++; value *= factor() }
    return value
}
function expression(   value, operator) {
    value = term()
    while ((operator = peek()) == "+" || operator == "-") {
        at++
        value += operator == "+" ? term() : -term()
    }
    return value
}
BEGIN { print "parser: ready"; fflush() }
{ text = $0; at = 1; printf "value %.0f\n", expression(); fflush() }
' < /dev/console
"""


def inputs(count: int) -> list[str]:
    dice = random.Random(1)

    def expression(depth: int) -> str:
        if depth == 0 or dice.random() < 0.3:
            return str(dice.randrange(90))           # products of 8 are whole in a double
        inner = f"{expression(depth - 1)}{dice.choice('+-*')}{expression(depth - 1)}"
        return f"({inner})" if dice.random() < 0.5 else inner

    return [expression(3) for _ in range(count)]


def expected(text: str) -> int:
    value: int = eval(text, {"__builtins__": {}})       # of our own making
    return value


def booted() -> vm.Machine:
    """Where the parser waits for its first line."""
    machine = vm.Machine(memory=MEMORY)
    machine.boot(debian_kernel(), initrd=userspace_initrd(PARSER), cmdline=CMDLINE)
    machine.console.expect(READY, seconds=300)
    machine.run(seconds=0.1)
    return machine


def parse(machine: vm.Machine, text: str) -> int:
    """What a fleet runs."""
    machine.console.send(f"{text}\n")
    return int(machine.console.expect(ANSWER)[1])


class Measured(NamedTuple):
    """Seconds for so many of the inputs, and what was made ready before."""

    seconds: float
    count: int
    before: float = 0.0


def refuse_wrong(who: str, texts: list[str], answers: list[int]) -> None:
    for text, answer in zip(texts, answers, strict=True):
        if answer != expected(text):
            raise RunFailed(f"{who}: {text} is {answer}, not {expected(text)}")


def measure_fleet(snapshot: vm.Snapshot, workers: int, executor: str, texts: list[str]) -> Measured:
    start = time.perf_counter()
    with vm.Fleet(snapshot, workers, executor, record="never", chunk=8) as fleet:
        answers = [result.get() for result in fleet.map(parse, texts)]
        seconds = time.perf_counter() - start
    refuse_wrong(f"{workers} {executor}", texts, answers)
    return Measured(seconds, len(texts))


def measure_boots(texts: list[str]) -> Measured:
    start = time.perf_counter()
    answers = []
    for text in texts:
        with booted() as machine:
            answers.append(parse(machine, text))
    refuse_wrong("boots", texts, answers)
    return Measured(time.perf_counter() - start, len(texts))


# --- QEMU ------------------------------------------------------------------------------------------------------------

class Qemu:
    """A process whose serial line is its standard streams, and whose monitor is a socket."""

    def __init__(self, folder: Path, *arguments: str):
        self._monitor = folder / "monitor"
        self._monitor.unlink(missing_ok=True)
        self._output = b""
        self._process = subprocess.Popen(
            [QEMU, "-M", "virt", "-m", MEMORY, "-display", "none", "-serial", "stdio", "-net", "none",
             "-monitor", f"unix:{self._monitor},server,nowait", "-bios", opensbi()["fw_dynamic.bin"],
             "-kernel", debian_kernel(), "-initrd", userspace_initrd(PARSER), "-append", CMDLINE,
             "-drive", f"if=none,format=qcow2,file={folder / 'state.qcow2'}", *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def expect(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        assert self._process.stdout is not None
        deadline = time.monotonic() + QEMU_SECONDS
        while not (match := pattern.search(self._output)):
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece or time.monotonic() > deadline:
                raise RunFailed(f"QEMU has not printed {pattern.pattern!r}\n{self._output[-2000:].decode()}")
            self._output += piece
        return match

    def send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(data)
        self._process.stdin.flush()

    def order(self, command: str) -> None:
        """To the monitor; done when it asks for the next."""
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self._monitor))
            heard = b""
            for line in ("", f"{command}\n"):
                monitor.sendall(line.encode())
                prompts = heard.count(b"(qemu) ") + 1
                while heard.count(b"(qemu) ") < prompts:
                    heard += monitor.recv(1 << 16)
            if b"Error" in heard:
                raise RunFailed(f"QEMU: {command}: {heard.decode()}")

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def qemu_state() -> Iterator[Path]:
    """A folder with the state in which the parser waits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / "state.qcow2", "1G"], check=True)
        qemu = Qemu(folder)
        try:
            qemu.expect(re.compile(READY))
            time.sleep(1)
            qemu.order(f"savevm {STATE}")
        finally:
            qemu.end()
        yield folder


def measure_qemu(texts: list[str]) -> Measured:
    begin = time.perf_counter()
    with qemu_state() as folder:
        start = time.perf_counter()
        answers = []
        for text in texts:
            qemu = Qemu(folder, "-loadvm", STATE)
            try:
                qemu.send(f"{text}\n".encode())
                answers.append(int(qemu.expect(ANSWER)[1]))
            finally:
                qemu.end()
        refuse_wrong("QEMU", texts, answers)
        return Measured(time.perf_counter() - start, len(texts), start - begin)


@click.command()
@click.option("--inputs", "count", default=10_000, show_default=True, help="Of a fleet.")
@click.option("--few", default=5, show_default=True, help="Of boots and of QEMU; the rest is computed.")
def main(count: int, few: int) -> None:
    """Time a parser inside Debian on 10,000 inputs."""
    texts = inputs(count)
    start = time.perf_counter()
    with booted() as machine:
        snapshot = machine.snapshot()
    boot = time.perf_counter() - start
    measured = {}
    try:
        for workers, executor in ((1, "threads"), (1, "processes"), (2, "threads"), (2, "processes")):
            click.echo(f"a fleet of {workers} {executor}", err=True)
            measured[f"forks, {workers} {executor}"] = measure_fleet(snapshot, workers, executor,
                                                                     texts)._replace(before=boot)
        click.echo("a boot for each", err=True)
        measured["a boot for each"] = measure_boots(texts[:few])
        if not_installed(QEMU) is None:
            click.echo("QEMU, -loadvm", err=True)
            measured["qemu -loadvm for each"] = measure_qemu(texts[:few])
    except VmError as error:
        raise click.ClickException(str(error)) from error
    table = Table("machines", "measured", "made ready, s", "inputs/s", f"{count:,} inputs, s",
                  title="A parser inside Debian")
    for name, one in measured.items():
        speed = one.count / one.seconds
        scaled = "" if one.count == count else " (computed)"
        table.add_row(name, f"{one.count:,} in {one.seconds:.1f} s", f"{one.before:.1f}", f"{speed:,.1f}",
                      f"{count / speed:,.0f}{scaled}")
    Console(width=None if sys.stdout.isatty() else 110).print(table)


if __name__ == "__main__":
    main()
