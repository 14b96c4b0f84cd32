"""Writes the sources that follow from the uop table: python generate.py OUTPUT_DIRECTORY

    uop_enum.pxi            the opcodes, and how many slots each takes
    threaded_handlers.pxi   one handler per uop, each ending in a call of the next: gcc makes it a jump
    switch_loop.pxi         the same semantics as one loop over a switch
    single_handlers.pxi     the same as functions that do one uop and return a Status

Run by path before anything is compiled.
"""

import re
import runpy
import sys
from pathlib import Path

UOPS = runpy.run_path(str(Path(__file__).parent.parent / "uops.py"))["UOPS"]

LOAD = re.compile(r"rd = load(s|boxed|)(\d+)\(rs1 \+ imm\)")
STORE = re.compile(r"store(\d+)\(rs1 \+ imm, rs2\)")
RESERVE = re.compile(r"rd = (reserve|conditional)(\d+)\(.*\)")
ATOMIC = re.compile(r"rd = atomic(\d+) (\w+)\(rs1, rs2\)")
EXCHANGE = re.compile(r"rd = exchange(\d+)\(rs1, rs2, rd\)")
BRANCH = re.compile(r"branch if (.*)")

OPERANDS = {
    "rs1": "cpu.regs[uop.rs1]",
    "rs2": "cpu.regs[uop.rs2]",
    "rs3": "cpu.regs[uop[1].rs1]",
    "imm": "<uint64_t><int64_t>uop.imm",
    "wide": "<uint64_t>uop[1].handler",
}


def constant(row) -> str:
    return "UOP_" + row.name.upper().replace(".", "_")


def expression(text: str) -> str:
    return re.sub(r"\b(rs1|rs2|rs3|imm|wide)\b", lambda match: f"({OPERANDS[match[1]]})", text)


def load_kind(prefix: str, bits: int) -> str:
    extension = {"": "", "s": " | SIGNED", "boxed": " | BOXED"}[prefix]
    return f"{bits // 8}{extension}"


def loaded(prefix: str, bits: int) -> str:
    if prefix == "s":
        return f"<uint64_t><int64_t>(<int{bits}_t*>(address + entry.addend))[0]"
    value = f"(<uint{bits}_t*>(address + entry.addend))[0]"
    return f"0x{2**64 - 2**bits:X}ULL | {value}" if prefix == "boxed" else value


ADDRESS = ["address = cpu.regs[uop.rs1] + <uint64_t><int64_t>uop.imm", "entry = entry_of(cpu, address)"]


class Form:
    """What differs between the forms: how a handler goes on, branches and gives up. Bodies are lists of lines."""

    def body(self, row) -> list[str]:
        semantics = row.semantics
        if match := LOAD.fullmatch(semantics):
            prefix, bits = match[1], int(match[2])
            return [
                *ADDRESS,
                f"if unlikely(not hits(entry.read_tag, address, {bits // 8})):",
                *indent(self.load_miss(load_kind(prefix, bits))),
                f"cpu.regs[uop.rd] = {loaded(prefix, bits)}",
                *self.go_on(row),
            ]
        if match := STORE.fullmatch(semantics):
            bits = int(match[1])
            return [
                *ADDRESS,
                f"if unlikely(not hits(entry.write_tag, address, {bits // 8})):",
                *indent(self.store_miss(bits // 8)),
                f"(<uint{bits}_t*>(address + entry.addend))[0] = <uint{bits}_t>cpu.regs[uop.rs2]",
                *self.go_on(row),
            ]
        if match := RESERVE.fullmatch(semantics):
            function = {"reserve": "reserve", "conditional": "store_conditional"}[match[1]]
            return self.attempt(f"{function}(cpu, uop, budget, {int(match[2]) // 8})", row)
        if match := ATOMIC.fullmatch(semantics):
            return self.attempt(f"atomic(cpu, uop, budget, ATOMIC_{match[2].upper()}, {int(match[1]) // 8})", row)
        if match := EXCHANGE.fullmatch(semantics):
            return self.attempt(f"exchange(cpu, uop, budget, {int(match[1]) // 8})", row)
        if match := BRANCH.fullmatch(semantics):
            condition = expression(match[1])
            return [f"if {condition}:", *indent(self.follow(0)), "else:", *indent(self.follow(1))]
        if semantics == "jump; rd = next":
            return ["cpu.regs[uop.rd] = block_of(uop).links[1].pc", *self.follow(0)]
        if semantics == "jump (rs1 + imm); rd = next":
            return [
                "pc = (cpu.regs[uop.rs1] + <uint64_t><int64_t>uop.imm) & ~<uint64_t>1",
                "cpu.regs[uop.rd] = block_of(uop).links[1].pc",
                *self.jump(),
            ]
        if semantics == "fall":
            return self.follow(1)
        if semantics == "nothing":
            return self.go_on(row)
        if semantics == "call":
            return self.attempt("call_helper(cpu, uop, budget)", row)
        if semantics == "call; leave":
            return [
                "if call_helper(cpu, uop, budget) == CONTINUE:",
                "    step_over(cpu, uop)",
                "return",
            ]
        assert semantics.startswith("rd = "), f"{row.name}: semantics not understood: {semantics}"
        return [f"cpu.regs[uop.rd] = <uint64_t>({expression(semantics[5:])})", *self.go_on(row)]


class Threaded(Form):
    def go_on(self, row) -> list[str]:
        return [f"(<Handler>uop[{row.slots}].handler)(cpu, uop + {row.slots}, budget)"]

    def load_miss(self, kind):
        return [f"load_and_go_on(cpu, uop, budget, address, {kind})", "return"]

    def store_miss(self, size):
        return [f"store_and_go_on(cpu, uop, budget, address, {size})", "return"]

    def attempt(self, call, row):
        return [f"if {call} == CONTINUE:", *indent(self.go_on(row))]

    def follow(self, way):
        return [f"follow(cpu, &block_of(uop).links[{way}], budget)"]

    def jump(self):
        return ["jump(cpu, pc, budget)"]

    def text(self) -> str:
        lines = []
        for row in UOPS:
            body = self.body(row)
            lines.append(f"cdef void h_{constant(row)[4:].lower()}(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:")
            lines.append(f"    # {row.semantics}")
            if "address" in body[0]:
                lines += ["    cdef uint64_t address", "    cdef TlbEntry* entry"]
            if body[0].startswith("pc ="):
                lines.append("    cdef uint64_t pc")
            lines += indent(body) + ["", ""]
        lines.append("cdef void* handlers[UOP_COUNT]")
        lines += [f"handlers[{constant(row)}] = <void*>h_{constant(row)[4:].lower()}" for row in UOPS]
        return "\n".join(lines) + "\n"


class Switch(Form):
    def go_on(self, row) -> list[str]:
        return [f"uop += {row.slots}"]

    def load_miss(self, kind):
        return [f"if load_slowly(cpu, uop, budget, address, {kind}) != CONTINUE:", "    return", "uop += 1", "continue"]

    def store_miss(self, size):
        return [
            f"if store_slowly(cpu, uop, budget, address, {size}) != CONTINUE:", "    return", "uop += 1", "continue",
        ]

    def attempt(self, call, row):
        return [f"if {call} != CONTINUE:", "    return", *self.go_on(row)]

    def follow(self, way):
        return [f"block = next_by_link(cpu, &block_of(uop).links[{way}], budget)", *self.enter()]

    def jump(self):
        return ["block = next_by_pc(cpu, pc, budget)", *self.enter()]

    def enter(self):
        return ["if block == NULL:", "    return", "budget -= block.steps", "uop = block.uops"]

    def text(self) -> str:
        lines = [
            "cdef void run_switch(Cpu* cpu, Block* block, int64_t budget) noexcept nogil:",
            "    cdef Uop* uop = block.uops",
            "    cdef uint64_t address, pc",
            "    cdef TlbEntry* entry",
            "    cdef int opcode",
            "    while True:",
            "        opcode = <int><intptr_t>uop.handler",
        ]
        for index, row in enumerate(UOPS):
            lines.append(f"        {'elif' if index else 'if'} opcode == {constant(row)}:  # {row.semantics}")
            lines += indent(self.body(row), 3)
        return "\n".join(lines) + "\n"


class Single(Form):
    """A uop by itself, for engines that run some in another way. The ends of blocks are those engines' business."""

    def go_on(self, row) -> list[str]:
        return ["return CONTINUE"]

    def load_miss(self, kind):
        return [f"return load_slowly(cpu, uop, budget, address, {kind})"]

    def store_miss(self, size):
        return [f"return store_slowly(cpu, uop, budget, address, {size})"]

    def attempt(self, call, row):
        return [f"return {call}"]

    def text(self) -> str:
        lines = []
        names = []
        for row in UOPS:
            if row.semantics.startswith(("branch", "jump", "fall")):
                names.append("NULL")
                continue
            body = self.body(row) if row.semantics != "call; leave" else ["return leave_by_call(cpu, uop, budget)"]
            names.append(f"s_{constant(row)[4:].lower()}")
            lines.append(f"cdef int {names[-1]}(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:")
            lines.append(f"    # {row.semantics}")
            text = "\n".join(body)
            if "address" in text:
                lines += ["    cdef uint64_t address", "    cdef TlbEntry* entry"]
            lines += indent(body) + [""]
        lines += ["cdef SingleHandler[UOP_COUNT] singles", ""]
        lines += [f"singles[{index}] = {name}" for index, name in enumerate(names)]
        return "\n".join(lines) + "\n"


def indent(lines: list[str], levels: int = 1) -> list[str]:
    return ["    " * levels + line for line in lines]


def enumeration() -> str:
    lines = ["cdef enum:"] + [f"    {constant(row)} = {index}" for index, row in enumerate(UOPS)]
    lines += [f"    UOP_COUNT = {len(UOPS)}", ""]
    return "\n".join(lines)


def write_if_changed(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def main(output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    write_if_changed(output / "uop_enum.pxi", enumeration())
    write_if_changed(output / "threaded_handlers.pxi", Threaded().text())
    write_if_changed(output / "switch_loop.pxi", Switch().text())
    write_if_changed(output / "single_handlers.pxi", Single().text())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
