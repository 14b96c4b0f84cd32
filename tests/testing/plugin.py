"""How tests run pytest with the plugin, in projects of their own, and read what it prints."""

import re
from importlib import import_module
from importlib.metadata import entry_points

import pytest

from vm.cli import main

# By name where nobody has installed the package anew since it has a plugin.
PLUGIN = () if entry_points(group="pytest11", name="vm") else ("-p", "vm.testing.plugin")
# pytester forgets what the project inside has loaded; but NumPy cannot be loaded twice, and classes must stay the same.
for module in ("vm.machine", "vm.saving", "vm.shell", "vm.testing.machines", "vm.testing.report", "vm.cli.replay"):
    import_module(module)
# Prints "ready> " and then what it reads; q ends it with the exit code 3, t with a trap, s lets it spin.
ECHO = """
    la   s0, text
    li   s1, 0x10000000         # the UART
1:  lbu  t0, 0(s0)
    beqz t0, listen
    sb   t0, 0(s1)
    addi s0, s0, 1
    j    1b
listen:
    lbu  t0, 5(s1)              # the line status: bit 0 says that there is something to read
    andi t0, t0, 1
    beqz t0, listen
    lbu  t0, 0(s1)
    li   t1, 'q'
    beq  t0, t1, quit
    li   t1, 't'
    beq  t0, t1, trap
    li   t1, 's'
    beq  t0, t1, spin
    sb   t0, 0(s1)
    j    listen
quit:
    li   t0, 0x100000           # the test device
    li   t1, 0x33333            # a failure, of code 3
    sw   t1, 0(t0)
trap:
    unimp
spin:
    j    spin
text:
    .asciz "ready> "
"""


def run(project, *arguments):
    return project.runpytest_inprocess(*PLUGIN, "-p", "no:cacheprovider", *arguments)


def lines(result, title):
    """Those of a section of the report."""
    found = re.search(rf"^-+ {re.escape(title)} -+\n(.*?)(?=^[-=_]{{5,}})", result.stdout.str(), re.M | re.S)
    return found[1].splitlines() if found else None


def replay(result, capfd, machine="machine"):
    """What the command that the report names prints, and its exit code."""
    (command,) = lines(result, f"{machine}: recording")
    _, name, folder = command.split()
    capfd.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([name, folder])
    return capfd.readouterr().out, ended.value.code
