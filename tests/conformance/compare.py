"""Compares our hart with Spike's records, one step after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import capstone

import vm
from tests.conformance.encoding import slot_of
from tests.conformance.image import BASE, Image
from tests.conformance.ours import F_NAMES, X_NAMES, Ours
from tests.conformance.rules import ADOPTED, BLOCK_ADDRESS, CAUSES, PORTIONS, U64, UNSEEN, csr_masks
from tests.conformance.spike import Record, Trap
from vm_native.riscv.hart import NativeHart
from vm_native.riscv.instructions import immediate_of

SLOTS = {name: number for number, name in enumerate(X_NAMES + F_NAMES)}
SHOWN = 12                  # steps before a difference that are printed
SYSTEM = 0x73
MACHINE, SUPERVISOR = 3, 1
MSTATUS, FS = 0x300, 3 << 13
PMPCFG0, PMPADDR0 = 0x3A0, 0x3B0
TOR, NA4, NAPOT = 1, 2, 3
PAGE, BLOCK = 4096, 64
BOX = 0xFFFF_FFFF_0000_0000
STORE_FAULTS = (7, 15)
CALLS = (3, 8, 9, 11)       # breakpoints and environment calls: instructions whose work is a trap
TRAP_CSRS = {MACHINE: (0x342, 0x341, 0x343), SUPERVISOR: (0x142, 0x141, 0x143)}

DISASSEMBLER = capstone.Cs(capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC)


class Difference(AssertionError):
    """Our hart did something else than Spike's. The message shows the way there."""


def disassemble(word: int, pc: int) -> str:
    size = 4 if word & 3 == 3 else 2
    for instruction in DISASSEMBLER.disasm((word & (1 << 8 * size) - 1).to_bytes(size, "little"), pc, 1):
        return f"{instruction.mnemonic} {instruction.op_str}"
    return f".{'word' if size == 4 else 'half'} {word:#x}"


def effects(record: Record) -> list[str]:
    """What a record says in words."""
    found = [f"{name}={value:#x}" for name, value in record.registers]
    found += [f"csr {number:#x}={value:#x}" for number, value in record.csrs]
    found += [f"v{number}={value:#x}" for number, value in record.vectors]
    found += [f"[{address:#x}]={value:#0{2 + 2 * size}x}" for address, size, value in record.stores]
    if record.interrupt is not None:
        found.insert(0, f"after {record.interrupt.cause:#x}")
    if record.trap is not None:
        found.append(f"trap {record.trap.cause} value {record.trap.value:#x}")
    return found


def describe(record: Record) -> str:
    mode = "?" if record.privilege is None else "USHM"[record.privilege]
    text = disassemble(record.word, record.pc)
    return f"{mode} {record.pc:016x} {record.word:08x} {text:<32} {' '.join(effects(record))}"


def is_floating(word: int) -> bool:
    """Whether an instruction works on f registers, judged by its opcode (unprivileged, "Instruction Listings")."""
    return word & 0x7F in (0x07, 0x27, 0x43, 0x47, 0x4B, 0x4F, 0x53) or word & 3 in (0, 2) and word >> 13 & 3 == 1


def spurious_failure(records: Sequence[Record], index: int, after: list[int]) -> bool:
    """Whether a store-conditional succeeded on one side only, where rule SPURIOUS_FAILURE permits it."""
    word = records[index].word
    if word & 0x7F != 0x2F or word >> 27 != 3 or not records[index].registers:
        return False
    name, result = records[index].registers[0]
    load = records[index - 1].word
    paired = load & 0x7F == 0x2F and load >> 27 == 2 and not (load ^ word) & 0xFF000
    paired = paired and load >> 7 & 31 != load >> 15 & 31
    return not paired and after[SLOTS[name]] != result


def pmp_borders(hart: NativeHart) -> set[int]:
    """Where ranges of the first eight PMP entries begin and end (privileged 3.7.1.1)."""
    found: set[int] = set()
    settings, before = hart.read_csr(PMPCFG0), 0
    for entry in range(8):
        address = hart.read_csr(PMPADDR0 + entry) << 2
        kind = settings >> 8 * entry + 3 & 3
        if kind == TOR:
            found |= {before, address}
        elif kind == NA4:
            found |= {address, address + 4}
        elif kind == NAPOT:
            size = 2 * ((address >> 2 ^ (address >> 2) + 1) + 1 << 1)
            found |= {address & -size, (address & -size) + size}
        before = address
    return found


def block_in_parts(record: Record, before: list[int], hart: NativeHart) -> bool:
    """Whether a PMP entry covers a block that is zeroed in part: rule BLOCK_IN_PARTS."""
    mask, match = BLOCK_ADDRESS
    if record.word & mask != match:
        return False
    offset = before[record.word >> 15 & 31] & PAGE - BLOCK
    return any(BASE <= border and offset < border % PAGE < offset + BLOCK for border in pmp_borders(hart))


def trap_loop(records: Sequence[Record]) -> bool:
    """Whether Spike, too, is caught in a trap whose handler cannot be fetched; our machine stops there."""
    return all(record.trap is not None and record.trap.pc == records[0].pc for record in records)


class Lockstep:
    """One comparison. `adopted` tells afterwards whether our hart was given values of Spike's."""

    def __init__(self, ours: Ours):
        self.ours = ours
        self.adopted = False
        self.steady = 0                             # steps before the first such value
        self.executed: Counter[int] = Counter()     # words; if they trapped, only where a trap is their work
        extensions = ours.machine.isa.extensions
        self.masks = csr_masks(extensions)
        self.single = "F" in extensions and "D" not in extensions       # f registers of 32 bits, kept boxed in ours
        self.states: list[tuple[int, int, list[int]]] = []      # after each step: pc, privilege, registers
        self.cut_short = False                      # a rule ended the comparison
        self.causes: Counter[int] = Counter()       # what our hart raised, as its own cause register had it

    def compare(self, image: Image, records: Sequence[Record]) -> int:
        """Run `image` beside the records of the same on Spike; how many steps agreed. Raises Difference."""
        ours, hart = self.ours, self.ours.native
        ours.load(image)
        before = ours.registers()
        for index, record in enumerate(records):
            entry = record.interrupt.pc if record.interrupt else record.pc
            privilege = hart.privilege
            problems = []
            if hart.pc != entry:
                problems.append(f"pc is {hart.pc:#x}")
            if record.privilege not in (None, privilege) and not record.interrupt:
                problems.append(f"privilege is {'USHM'[privilege]}")
            if not problems:
                if block_in_parts(record, before, hart):
                    self.cut_short = True
                    return index
                status = hart.read_csr(MSTATUS) if record.trap or is_floating(record.word) else None
                partial = self.partial_store(record, before)
                stop = ours.step()
                if partial:
                    ours.machine.memory.write(*partial)
                    self.adopted = True
                after = ours.registers()
                if status is not None and all(number != MSTATUS for number, _ in record.csrs):
                    self.take_back_dirty(status)
                if stop.reason is vm.StopReason.TRAP_LOOP and trap_loop(records[index : index + 2]):
                    self.cut_short = True
                    return index
                if stop.reason is not vm.StopReason.BUDGET:
                    problems.append(f"the machine stopped: {stop.reason.value}")
                if spurious_failure(records, index, after):
                    self.cut_short = True
                    return index
                problems += self.differences(record, before, after)
                before = ours.registers() if self.adopted else after
            if problems:
                self.fail(records, index, problems)
            self.states.append((hart.pc, hart.privilege, before))
            self.steady += not self.adopted
            if record.trap is None or record.trap.cause in CALLS:
                self.executed[record.word] += 1
            self.agreed(record)
        return len(records)

    def agreed(self, record: Record) -> None:
        """For comparisons that do more: our hart has done this step, and is as Spike's is."""

    def rows(self) -> Counter[str]:
        """How often each row of the instruction table was executed."""
        found: Counter[str] = Counter()
        for word, count in self.executed.items():
            row = self.ours.recogniser.row(word)
            if row is not None:
                found[row.name] += count
        return found

    def differences(self, record: Record, before: list[int], after: list[int]) -> list[str]:
        """What is wrong after a step."""
        hart = self.ours.native
        problems = []
        if record.trap is not None:
            problems += self.trap_differences(record.trap, record.word, hart.privilege)
        if record.interrupt is not None:
            # Where both came, the handler of the interrupt could not be fetched: that one was in S-mode.
            mode = hart.privilege if record.trap is None else SUPERVISOR
            problems += self.trap_differences(record.interrupt, record.word, mode)
        wanted = list(before)
        for name, value in record.registers:
            wanted[SLOTS[name]] = value | BOX if self.single and name[0] == "f" else value
        if wanted != after:
            csr = record.word >> 20
            if record.word & 0x7F == SYSTEM and record.registers:
                name, value = record.registers[0]
                if csr in ADOPTED or not (value ^ after[SLOTS[name]]) & self.masks.get(csr, U64):
                    hart.write_x(SLOTS[name], value)
                    after[SLOTS[name]] = value
                    self.adopted = True
            names = X_NAMES + F_NAMES
            problems += [f"{names[slot]} is {after[slot]:#x}" for slot in range(64) if wanted[slot] != after[slot]]
        for number, value in record.csrs:
            if number in UNSEEN:
                continue
            found = hart.read_csr(number)
            mask = self.masks.get(number, U64)
            if found is None or (found ^ value) & mask and number not in ADOPTED:
                problems.append(f"csr {number:#x} is {found if found is None else hex(found)}")
        for address, size, value in record.stores:
            found = self.ours.memory_at(address, size)
            if found is not None and found != value:
                problems.append(f"[{address:#x}] is {found:#0{2 + 2 * size}x}")
        return problems

    def trap_differences(self, trap: Trap, word: int, mode: int) -> list[str]:
        hart = self.ours.native
        if mode not in TRAP_CSRS:
            return ["there was no trap"]
        numbers = TRAP_CSRS[mode]
        found = Trap(*(hart.read_csr(number) for number in numbers))
        self.causes[found.cause] += 1
        mask, match = CAUSES.get((found.cause, trap.cause), (0, 1))
        if word & mask == match:
            hart.write_csr(numbers[0], trap.cause)
            self.adopted = True
            found = found._replace(cause=trap.cause)
        mask, match = BLOCK_ADDRESS
        if word & mask == match and found.value & ~63 == trap.value:
            hart.write_csr(numbers[2], trap.value)
            self.adopted = True
            found = found._replace(value=trap.value)
        if found.cause in PORTIONS and found.value != trap.value and (found.value - trap.value) & U64 < 8:
            hart.write_csr(numbers[2], trap.value)
            self.adopted = True
            found = found._replace(value=trap.value)
        if found == trap:
            return []
        return [f"trap registers are cause {found.cause:#x} pc {found.pc:#x} value {found.value:#x}"]

    def partial_store(self, record: Record, before: list[int]) -> tuple[int, bytes] | None:
        """Rule PARTIAL_STORE: the bytes that Spike stored before the fault, and their physical address."""
        if record.trap is None or record.trap.cause not in STORE_FAULTS:
            return None
        row = self.ours.recogniser.row(record.word)
        if row is None or not row.pieces or "rs2" not in row.registers:
            return None
        start = before[slot_of(row, record.word, "rs1")] + immediate_of(row, record.word)
        size = record.trap.value - (start & U64)
        if not 0 < size < 8:
            return None
        physical = self.ours.native.translate(start & U64, "write")
        return physical, before[slot_of(row, record.word, "rs2")].to_bytes(8, "little")[:size]

    def take_back_dirty(self, status: int) -> None:
        """Rule IMPRECISE_DIRTY: what mstatus.FS was before, it is again."""
        hart = self.ours.native
        now = hart.read_csr(MSTATUS)
        if now & FS == FS != status & FS:
            hart.write_csr(MSTATUS, now & ~FS | status & FS)
            self.adopted = True

    def fail(self, records: Sequence[Record], index: int, problems: list[str]) -> None:
        way = "\n".join(describe(record) for record in records[max(0, index - SHOWN) : index + 1])
        raise Difference(
            f"step {index}: ours differs from Spike in the last of these steps\n{way}\n    ours: {'; '.join(problems)}"
        )
