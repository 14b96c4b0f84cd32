"""What the page shows of a machine, as JSON: what it is, and how its harts stand. Registers are hexadecimal text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vm.display import hexadecimal, printable
from vm.privilege import Privilege
from vm_native.riscv.registers import X_NAMES

if TYPE_CHECKING:
    from vm.hart import Hart
    from vm.machine import Machine

# Of traps and translation, which are what one asks of a guest that does not go on.
CSRS = ("mstatus", "mtvec", "mepc", "mcause", "mtval", "mip", "mie", "stvec", "sepc", "scause", "stval", "satp")


def facts(machine: Machine) -> list[str]:
    """What does not change, for people."""
    count = len(machine.harts)
    return [type(machine.board).__name__.lower(), f"{count} hart{'s' * (count > 1)}", repr(machine.memory)[1:-1],
            f"{machine.clock.kind} clock", "interpreter" if machine.compiler is None else "jit"]


def state(machine: Machine) -> dict[str, Any]:
    """Of this moment, between two slices or two runs."""
    return {"ns": machine.clock.now_ns(), "steps": machine.steps,
            "harts": [hart_state(machine, hart) for hart in machine.harts]}


def hart_state(machine: Machine, hart: Hart) -> dict[str, Any]:
    symbol = machine.lookup(hart.pc)
    return {
        "state": hart.state,
        "privilege": Privilege(hart.privilege).letter,
        "pc": hexadecimal(hart.pc),
        "symbol": printable(symbol) if symbol else "",
        "steps": hart.steps,
        "x": [(name, hexadecimal(value)) for name, value in zip(X_NAMES, hart.x, strict=True)],
        "csrs": [(name, hexadecimal(hart.csr[name])) for name in CSRS if name in hart.csr],
    }
