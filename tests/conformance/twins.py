"""Two of our machines beside each other: where they are not the same."""

import numpy

from tests.conformance.frame import SIZE
from tests.conformance.image import BASE
from tests.conformance.ours import F_NAMES, X_NAMES, Ours
from vm_native.riscv.registers import CSR_NUMBERS


def state(ours: Ours) -> dict[str, object]:
    """What can be seen of a machine, but for RAM."""
    found: dict[str, object] = {"steps": ours.machine.steps, "console": ours.machine.console.output}
    for hart, native in zip(ours.machine.harts, ours.machine._natives, strict=True):
        prefix = f"hart {hart.id} " if hart.id else ""
        seen = {"pc": hart.pc, "privilege": hart.privilege, "state": hart.state, "hart_steps": hart.steps}
        seen |= zip(X_NAMES + F_NAMES, ours.registers(hart), strict=True)
        seen |= {name: native.read_csr(number) for name, number in CSR_NUMBERS.items()}
        found |= {prefix + name: value for name, value in seen.items()}
    return found


def shown(value: object) -> str:
    return f"{value:#x}" if isinstance(value, int) else str(value)


def differences(expected: Ours, found: Ours) -> list[str]:
    """Where two machines are not the same."""
    wanted, got = state(expected), state(found)
    problems = [f"{name} is {shown(got[name])}, not {shown(wanted[name])}" for name in wanted
                if wanted[name] != got[name]]
    offsets = differing_bytes(expected, found)
    if len(offsets):
        problems.append(f"RAM differs in {len(offsets)} bytes from {BASE + int(offsets[0]):#x} on")
    return problems


def differing_bytes(expected: Ours, found: Ours) -> numpy.ndarray:
    """Offsets in the image."""
    memories = [ours.machine.memory.array(BASE, (SIZE,), numpy.uint8) for ours in (expected, found)]
    return numpy.flatnonzero(memories[0] != memories[1])


def copy_memory(source: Ours, to: Ours) -> None:
    """Make RAM of one machine what it is in another."""
    for offset in differing_bytes(source, to):
        to.machine.memory.write(BASE + int(offset), source.machine.memory.read(BASE + int(offset), 1))
