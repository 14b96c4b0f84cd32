"""Ways to break the machine: trap rules as edits of the sources, and instruction rows as lines behind the table.

Each must be visible to a program, thus to Spike beside it. An edit names a text that stands once in its file.
"""

from __future__ import annotations

from random import Random
from typing import NamedTuple

from vm_native.ir.uops import UOPS
from vm_native.riscv.instructions import NOTHING, ROWS, Row

INSTRUCTIONS = "vm_native/riscv/instructions/__init__.py"
RISCV, MEMORY, ATOMICS = "vm_native/riscv/", "vm_native/softmmu.pyx", "vm_native/atomics.pyx"


class Mutation(NamedTuple):
    """`old` is replaced by `new` in `file`; an empty `old` means: append."""

    name: str
    file: str
    old: str
    new: str


def rule(name: str, file: str, old: str, new: str) -> Mutation:
    return Mutation(name, file if "/" in file else RISCV + file, old, new)


RULES = [
    rule("traps in M-mode are delegated too", "privilege.pyx",
         "if hart.state.privilege != MACHINE and hart.state.medeleg >>", "if hart.state.medeleg >>"),
    rule("stval is not written", "privilege.pyx", "hart.state.stval = value", "hart.state.stval = 0"),
    rule("SPP is not set", "privilege.pyx", "    status |= MSTATUS_SPP\n", "    status |= 0\n"),
    rule("SPIE is not set", "privilege.pyx", "        status |= MSTATUS_SPIE\n", "        status |= 0\n"),
    rule("MPP is always M", "privilege.pyx",
         "status |= <uint64_t>hart.state.privilege << MSTATUS_MPP_SHIFT",
         "status |= <uint64_t>MACHINE << MSTATUS_MPP_SHIFT"),
    rule("exceptions are vectored", "privilege.pyx",
         "if tvec & MTVEC_MODE_VECTORED and cause & MCAUSE_INTERRUPT else", "if tvec & MTVEC_MODE_VECTORED else"),
    rule("mret to S-mode leaves MPRV", "privilege.pyx", "if previous != MACHINE:", "if previous == 0:"),
    rule("mret does not set MPIE", "privilege.pyx",
         "hart.state.mstatus = status | MSTATUS_MPIE", "hart.state.mstatus = status"),
    rule("mret leaves MPP", "privilege.pyx",
         "~(MSTATUS_MIE | MSTATUS_MPP | MSTATUS_MPV |", "~(MSTATUS_MIE | MSTATUS_MPV |"),
    rule("sret leaves MPRV", "privilege.pyx",
         "(MSTATUS_SIE | MSTATUS_SPP | MSTATUS_MPRV |", "(MSTATUS_SIE | MSTATUS_SPP |"),
    rule("software interrupts before external ones", "interrupts.pyx",
         "IRQ_SEI, IRQ_SSI, IRQ_STI, IRQ_SGEI", "IRQ_SSI, IRQ_SEI, IRQ_STI, IRQ_SGEI"),
    rule("MIE does not mask in M-mode", "privilege.pyx",
         "(privilege < MACHINE or hart.state.mstatus & MSTATUS_MIE)", "True"),
    rule("SIE masks in U-mode", "privilege.pyx",
         "privilege > SUPERVISOR or privilege == SUPERVISOR and not hart.state.mstatus",
         "privilege > SUPERVISOR or not hart.state.mstatus"),
    rule("floating-point CSRs without FS", "csr.pyx", "return is_on(hart, MSTATUS_FS)", "return True"),
    rule("scounteren is not asked", "csr.pyx",
         "return hart.state.privilege == SUPERVISOR or hart.state.scounteren >> counter & 1", "return True"),
    rule("mcounteren is not asked", "csr.pyx", "if not hart.state.mcounteren >> counter & 1:", "if False:"),
    rule("TVM does not guard satp", "csr.pyx",
         "return hart.state.privilege == MACHINE or hart.state.virtual or not hart.state.mstatus & MSTATUS_TVM",
         "return True"),
    rule("the reserved MPP is kept", "csrs.py",
         'F("MPP", "12:11", legal={"U": 0, "S": 1, "M": 3})', 'F("MPP", "12:11")'),
    rule("sie shows what is not delegated", "csrs.py", 'view="mie", through="mideleg"', 'view="mie"'),
    rule("sip shows what is not delegated", "csrs.py", 'view="mip", through="mideleg",', 'view="mip",'),
    rule("epc keeps bit 0", "csrs.py", 'F("HALFWORD", 1, needs="Zca")', 'F("HALFWORD", 1, needs="Zca"), F("BYTE", 0)'),
    rule("fflags lose NV", "csrs.py", 'F("FFLAGS", "4:0")', 'F("FFLAGS", "3:0")'),
    rule("a write of fcsr leaves FS", "csr.pyx", "    make_dirty(hart, MSTATUS_FS_DIRTY)\n", ""),
    rule("SD is not shown", "csr.pyx", "return status | MSTATUS_SD", "return status"),
    rule("ecall from M-mode can be delegated", "csrs.py", ' for row in CAUSES if row.name != "ECALL_FROM_M"]',
         " for row in CAUSES]"),
    rule("S-mode executes pages of U-mode", "mmu.pyx",
         "or access != EXECUTE and stage.status & MSTATUS_SUM != 0",
         "or access == EXECUTE or stage.status & MSTATUS_SUM != 0"),
    rule("SUM is always on", "mmu.pyx",
         "or access != EXECUTE and stage.status & MSTATUS_SUM != 0", "or access != EXECUTE"),
    rule("U-mode reaches every page", "mmu.pyx",
         "        return pte & PTE_U != 0\n", "        return True\n"),
    rule("MXR is always on", "mmu.pyx",
         "or (pte & PTE_X and stage.status & MSTATUS_MXR) != 0", "or pte & PTE_X != 0"),
    rule("superpages may be misaligned", "mmu.pyx", "if page_of(pte) & offset_mask:", "if False:"),
    rule("reserved bits of a page table entry", "mmu.pyx", " or pte & PTE_RESERVED:", ":"),
    rule("writable but not readable pages", "mmu.pyx",
         "PTE_W and not is_shadow_stack(stage, pte):", "PTE_W and False:"),
    rule("ADUE the other way", "mmu.pyx",
         "return stage.envcfg & MENVCFG_ADUE != 0", "return stage.envcfg & MENVCFG_ADUE == 0"),
    rule("a store leaves D", "mmu.pyx", "PTE_A | (PTE_D if ON_ANY_PAGE[access] == WRITE else 0)", "PTE_A"),
    rule("locked PMP entries do not bind M-mode", "pmp.pyx",
         "if privilege == MACHINE and not hart.state.pmpcfg[i] & PMPCFG_L:", "if privilege == MACHINE:"),
    rule("a PMP entry that covers an access in part", "pmp.pyx",
         "            if hart.pmp_low[i] > physical or hart.pmp_high[i] < end:\n                return False\n", ""),
    rule("no PMP entry means access", "pmp.pyx", "return privilege == MACHINE\n", "return True\n"),
    rule("ecall is always from U-mode", "helpers.pyx", "ECALL_FROM_U + hart.state.privilege", "ECALL_FROM_U"),
    rule("TSR does not guard sret", "helpers.pyx",
         "hart.state.virtual else hart.state.mstatus & MSTATUS_TSR", "hart.state.virtual else 0"),
    rule("TW does not guard wfi", "helpers.pyx",
         "mstatus & MSTATUS_TW:\n        return illegal(cpu, uop)\n    if",
         "mstatus & 0:\n        return illegal(cpu, uop)\n    if"),
    rule("TVM does not guard sfence.vma", "helpers.pyx",
         "hart.state.virtual else hart.state.mstatus & MSTATUS_TVM", "hart.state.virtual else 0"),
    rule("mret in S-mode", "helpers.pyx",
         "if hart.state.privilege != MACHINE:\n        return illegal",
         "if hart.state.privilege == USER:\n        return illegal"),
    rule("csrrs with x0 writes", "helpers.pyx", "writes = operation == 1 or rs1 != 0", "writes = True"),
    rule("the value of ebreak", "helpers.pyx", "trap(cpu, BREAKPOINT, cpu.state.pc)", "trap(cpu, BREAKPOINT, 0)"),
    rule("the value of an illegal instruction", "helpers.pyx",
         "trap(cpu, ILLEGAL_INSTRUCTION, word_of(uop))", "trap(cpu, ILLEGAL_INSTRUCTION, 0)"),
    rule("dynamic rounding mode 5 and 6", "helpers.pyx", "if rounding > RMM:", "if rounding > 6:"),
    rule("amocas.q with odd registers", "helpers.pyx", "if rd & 1 or rs2 & 1:", "if rs2 & 1:"),
    rule("cbo.zero clears half a block", "helpers.pyx",
         "(physical - region.base), 0, 64)", "(physical - region.base), 0, 32)"),
    rule("cbo.zero needs no enable", "helpers.pyx",
         "refusal = envcfg_refusal(hart_of(cpu), MENVCFG_CBZE)", "refusal = 0"),
    rule("faults of a cache block are those of a load", "helpers.pyx",
         "    cpu.trap_cause = STORE_PAGE if cpu.trap_cause == LOAD_PAGE else STORE_ACCESS\n", ""),
    rule("a jump to half a word without C", "helpers.pyx", "if target & 3 and not", "if target & 1 and not"),
    rule("a store-conditional leaves the reservation", ATOMICS, "    cpu.reserved_host = 0\n", ""),
    rule("lr.w is not sign-extended", ATOMICS,
         "<uint64_t><int64_t><int32_t>load32(host)", "<uint64_t>load32(host)"),
    rule("unsigned atomic minimum is signed", ATOMICS,
         "((unsigned_type)old < (unsigned_type)value ? old : value)", "(old < value ? old : value)"),
    rule("amocas compares with what was written to x0", ATOMICS,
         "if uop.rd != cpu.front_end.sink else 0", "if True else 0"),
    rule("a load across pages does not translate the second", MEMORY,
         "translate_address(cpu, piece[i].address, access,",
         "translate_address(cpu, address if access == READ else piece[i].address, access,"),
    rule("a store across pages does not translate the second", MEMORY,
         "translate_address(cpu, piece[i].address, access,",
         "translate_address(cpu, address if access == WRITE else piece[i].address, access,"),
    rule("singles loaded misaligned are not boxed", MEMORY, "return value | BOX32", "return value"),
]  # fmt: skip


# --- Rows ------------------------------------------------------------------------------------------------------------

OPERANDS = {uop.name: uop.operands for uop in UOPS}
SEMANTICS = {uop.name: uop.semantics for uop in UOPS}
SCALAR = [row for row in ROWS if not row.vector]       # what the tests are about that shall find a mutation
PLAIN = {row.uop for row in ROWS if row.uop in OPERANDS and not row.rounds}
# Reads no operand, or has fields that are ignored.
FIELDLESS = {NOTHING, "li"}


def other_uops(row: Row) -> list[str]:
    """Uops that could stand in the row by their operands, and mean something else."""
    if row.rounds or row.uop not in PLAIN - FIELDLESS:
        return []
    return sorted(
        name for name in PLAIN if OPERANDS[name] == OPERANDS[row.uop] and SEMANTICS[name] != SEMANTICS[row.uop]
    )


def ways(row: Row, random: Random) -> list[tuple[str, str]]:
    """What can be broken in a row: a name, and the keyword that changes it."""
    found = [("is missing", "extensions=('Nothing',)")]
    bit = random.choice([bit for bit in range(2, 8 * row.length) if row.mask >> bit & 1])
    found.append((f"has match bit {bit} flipped", f"match={row.match ^ 1 << bit:#x}"))
    if others := other_uops(row):
        other = random.choice(others)
        found += [(f"does {other}", f"uop={other!r}")] * 2
    if row.pieces and row.uop and row.uop != NOTHING:
        index = random.randrange(len(row.pieces))
        piece = row.pieces[index]
        pieces = [*row.pieces]
        pieces[index] = piece._replace(target=piece.target + 1)
        found.append((f"has immediate bit {piece.target} one higher", f"pieces={tuple(pieces)!r}"))
    if row.sign_bit >= 0 and row.uop and row.uop != NOTHING:
        found.append(("does not extend the sign", "sign_bit=-1"))
    reads_word = row.helper and not row.operation               # such helpers find the registers themselves
    if {"rd", "rs1"} <= row.registers.keys() and not row.base and not reads_word and row.uop not in FIELDLESS:
        registers = dict(row.registers)
        (target, low), (source, high) = registers["rd"], registers["rs1"]
        if low and high:
            registers |= {"rd": (target, high), "rs1": (source, low)}
            found.append(("has rd and rs1 exchanged", f"registers={registers!r}"))
    return found


def break_row(row: Row, random: Random) -> Mutation:
    """One way to break the row; the tests, which read the table too, see the broken row."""
    what, change = random.choice(ways(row, random))
    place = f"ROWS[{ROWS.index(row)}]"
    lines = f"\n\n{place} = BY_NAME[{row.name!r}] = {place}._replace({change})\n"
    return Mutation(f"{row.name} {what}", INSTRUCTIONS, "", lines)


def draw(random: Random, count: int) -> list[Mutation]:
    """As many mutations, of rows and of rules about half each, none twice."""
    rules = min(len(RULES), sum(random.random() < 0.5 for _ in range(count)))
    found = random.sample(RULES, rules) + [break_row(row, random) for row in random.sample(SCALAR, count - rules)]
    random.shuffle(found)
    return found
