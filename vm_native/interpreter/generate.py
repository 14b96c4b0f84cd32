"""The handlers of all dispatch forms, made from the uop table: `sources` gives them, setup.py writes and compiles them.

    threaded_handlers.pxi   one handler per uop, each ending in a call of the next: gcc makes it a jump
    threaded_pairs.pxi      one handler per fused pair
    switch_loop.pxi         the same semantics as one loop over a switch
    switch_pairs.pxi        the numbers that stand for pairs in that switch
    single_handlers.pxi     the same as functions that do one uop and return a Status
    threaded_form.pxi       what enters the threaded form in the table of forms, where it is built
"""

import re

from vm_native.ir.generate import as_text, indent
from vm_native.ir.pairs import Pair, read_pairs
from vm_native.ir.semantics import (
    VIEWS,
    Assign,
    Atomic,
    Branch,
    Call,
    Conditional,
    Exchange,
    Fall,
    Jump,
    JumpIndirect,
    Load,
    Order,
    Probe,
    Reserve,
    Store,
)
from vm_native.ir.uops import UOPS, UopRow

SWITCH_PAIRS = 256              # gcc's time on one function grows faster than the function: 1,024 pairs take minutes
PAIRS = read_pairs(UOPS)


def lower(row: UopRow) -> str:
    return row.constant[4:].lower()


def pair_handler(pair: Pair) -> str:
    """Says the pair and what it passes, as a name of C: f_addi_bne_rs1."""
    return "_".join(("f", lower(pair.first), lower(pair.second), *filter(None, [pair.passed])))


def is_term(expression: str) -> bool:
    """Whether it is one operand or call, which needs no parentheses in front of anything."""
    while "(" in expression:
        expression = re.sub(r"\([^()]*\)", "", expression)
    return re.fullmatch(r"(<\w+>)*\w+", expression) is not None


def load_kind(load: Load) -> str:
    extension = {"": "", "signed": " | SIGNED", "boxed": " | BOXED"}[load.extension]
    return f"{load.bits // 8}{extension}"


def loaded(load: Load) -> str:
    bits = load.bits
    if load.extension == "signed":
        return f"<uint64_t><int64_t><int{bits}_t>load{bits}(<void*>(address + entry.addend))"
    value = f"load{bits}(<void*>(address + entry.addend))"
    return f"BOX{bits} | {value}" if load.extension == "boxed" else value


class Half:
    """A uop in a handler, `start` cells behind where `uop` points; `passed` is an operand that stands in the local
    `value`.
    """

    def __init__(self, row: UopRow, start: int = 0, passed: str | None = None, passes: bool = False):
        cell = f"uop[{start}]" if start else "uop"
        second_cell = f"uop[{start + 1}]"
        self.row = row
        self.uop = f"uop + {start}" if start else "uop"
        self.next = f"uop + {start + row.cells}"
        self.passes = passes
        self.rd = f"cpu.state.regs[{cell}.rd]"
        self.operands = {                       # terms: none needs parentheses in an expression
            "rs1": f"cpu.state.regs[{cell}.rs1]",
            "rs2": f"cpu.state.regs[{cell}.rs2]",
            "rs3": f"cpu.state.regs[{second_cell}.rs1]",
            "imm": f"<uint64_t><int64_t>{cell}.imm",
            "wide": f"<uint64_t>{second_cell}.handler",
        }
        if passed:
            self.operands[passed] = "value"

    def expression(self, text: str) -> str:
        """In Cython: operands by where they stand, views by the functions of arithmetic/floating.pxd that read them."""
        text = re.sub(rf"\b({'|'.join(VIEWS)})\(", r"\1_of(", text)
        return re.sub(r"\b(rs1|rs2|rs3|imm|wide)\b", lambda match: self.operands[match[1]], text)

    def assigned(self, meaning: Assign) -> str:
        expression = self.expression(meaning.expression)
        if meaning.view:
            return f"{meaning.view}_image({expression})"
        return f"<uint64_t>{expression}" if is_term(meaning.expression) else f"<uint64_t>({expression})"

    def result(self, expression: str) -> list[str]:
        if self.passes:
            return [f"value = {expression}", f"{self.rd} = value"]
        return [f"{self.rd} = {expression}"]

    def address(self) -> list[str]:
        return [f"address = {self.operands['rs1']} + {self.operands['imm']}", "entry = entry_of(cpu, address)"]


class Form:
    """What differs between the forms: how a handler goes on, branches and gives up. Bodies are lists of lines."""

    def straight(self, half: Half) -> list[str] | None:
        """What a uop does that always goes on with the next one, or in a slow path of its own; None for the others."""
        match half.row.meaning:
            case Load(bits) as load:
                return [
                    *half.address(),
                    f"if unlikely(not hits(entry.read_tag, address, {bits // 8})):",
                    *indent(self.load_miss(half, load_kind(load))),
                    *half.result(loaded(load)),
                ]
            case Store(bits):
                return [
                    *half.address(),
                    f"if unlikely(not hits(entry.write_tag, address, {bits // 8})):",
                    *indent(self.store_miss(half, bits // 8)),
                    "if unlikely(cpu.marks != NULL):",
                    "    announce_store(cpu.marks, address + <uint64_t>entry.addend, <uint64_t>cpu)",
                    f"store{bits}(<void*>(address + entry.addend), <uint{bits}_t>{half.operands['rs2']})",
                ]
            case Assign() as meaning:
                return half.result(half.assigned(meaning))
        return None

    def body(self, half: Half) -> list[str]:
        uop = half.uop
        lines = self.straight(half)
        if lines is not None:
            return [*lines, *self.go_on(half)]
        match half.row.meaning:
            case Reserve(bits):
                return self.attempt(f"reserve(cpu, {uop}, budget, {bits // 8})", half)
            case Conditional(bits):
                return self.attempt(f"store_conditional(cpu, {uop}, budget, {bits // 8})", half)
            case Atomic(bits, operation):
                return self.attempt(f"atomic(cpu, {uop}, budget, ATOMIC_{operation.upper()}, {bits // 8})", half)
            case Exchange(bits):
                return self.attempt(f"exchange(cpu, {uop}, budget, {bits // 8})", half)
            case Branch(condition):
                test = f"if {half.expression(condition)}:"
                return [test, *indent(self.follow(half, 0)), "else:", *indent(self.follow(half, 1))]
            case Jump():
                return [f"{half.rd} = block_of({uop}).exits[1].pc", *self.follow(half, 0)]
            case JumpIndirect():
                return [
                    f"pc = ({half.operands['rs1']} + {half.operands['imm']}) & ~<uint64_t>1",
                    f"{half.rd} = block_of({uop}).exits[1].pc",
                    *self.jump(),
                ]
            case Fall():
                return self.follow(half, 1)
            case Order():
                return ["order_memory()", *self.go_on(half)]
            case Probe(name):
                return self.attempt(f"probe_{name}(cpu, {uop}, budget)", half)
            case Call(exits=False):
                return self.attempt(f"call_helper(cpu, {uop}, budget)", half)
            case Call(exits=True):
                return [f"if call_helper(cpu, {uop}, budget) == CONTINUE:", f"    step_over(cpu, {uop})", "return"]
        raise AssertionError(f"{half.row.name}: no handler for {half.row.meaning}")

    def fused(self, pair: Pair) -> list[str]:
        """The first uop, then the second; a slow path of the first goes on with the second's own handler."""
        first = self.straight(Half(pair.first, passes=pair.passed is not None))
        assert first is not None, f"{pair.first.name} may not go on with the next uop: it cannot begin a pair"
        return [*first, *self.body(Half(pair.second, pair.first.cells, pair.passed))]


class Threaded(Form):
    def go_on(self, half) -> list[str]:
        return [f"go_on(cpu, {half.next}, budget)"]

    def load_miss(self, half, kind):
        return [f"load_and_go_on(cpu, {half.uop}, budget, address, {kind})", "return"]

    def store_miss(self, half, size):
        return [f"store_and_go_on(cpu, {half.uop}, budget, address, {size})", "return"]

    def attempt(self, call, half):
        return [f"if {call} == CONTINUE:", *indent(self.go_on(half))]

    def follow(self, half, number):
        return [f"follow(cpu, &block_of({half.uop}).exits[{number}], budget)"]

    def jump(self):
        return ["jump(cpu, pc, budget)"]

    def handler(self, name: str, comment: str, body: list[str]) -> list[str]:
        lines = [f"cdef void {name}(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:", f"    # {comment}"]
        text = "\n".join(body)
        for local, type in (("address", "uint64_t"), ("entry", "TlbEntry*"), ("value", "uint64_t"), ("pc", "uint64_t")):
            if f"{local} = " in text:
                lines.append(f"    cdef {type} {local}")
        return [*lines, *indent(body), "", ""]

    def text(self) -> str:
        lines = []
        for row in UOPS:
            lines += self.handler(f"h_{lower(row)}", row.semantics, self.body(Half(row)))
        lines.append("cdef void* handlers[UOP_COUNT]")
        lines += [f"handlers[{row.constant}] = <void*>h_{lower(row)}" for row in UOPS]
        return as_text(lines)

    def pairs_text(self) -> str:
        lines = []
        for pair in PAIRS:
            lines += self.handler(pair_handler(pair), str(pair), self.fused(pair))
        lines += [enter_pair(pair, f"<void*>{pair_handler(pair)}") for pair in PAIRS]
        return as_text(lines)


class Switch(Form):
    pairs = PAIRS[:SWITCH_PAIRS]

    def go_on(self, half) -> list[str]:
        return [f"uop = {half.next}"]

    def load_miss(self, half, kind):
        return self.miss(half, f"load_slowly(cpu, {half.uop}, budget, address, {kind})")

    def store_miss(self, half, size):
        return self.miss(half, f"store_slowly(cpu, {half.uop}, budget, address, {size})")

    def miss(self, half, call):
        return [f"if {call} != CONTINUE:", "    return", *self.go_on(half), "continue"]

    def attempt(self, call, half):
        return [f"if {call} != CONTINUE:", "    return", *self.go_on(half)]

    def follow(self, half, number):
        return [f"block = next_by_exit(cpu, &block_of({half.uop}).exits[{number}], budget)", *self.enter()]

    def jump(self):
        return ["block = next_by_pc(cpu, pc, budget)", *self.enter()]

    def enter(self):
        return ["if block == NULL:", "    return", "budget -= block.steps", "uop = block.uops"]

    def text(self) -> str:
        lines = [
            "cdef void run_switch(Cpu* cpu, Block* block, int64_t budget) noexcept nogil:",
            "    cdef Uop* uop = block.uops",
            "    cdef uint64_t address, pc, value",
            "    cdef TlbEntry* entry",
            "    cdef int opcode",
            "    while True:",
            "        opcode = <int><intptr_t>uop.handler",
        ]
        for index, row in enumerate(UOPS):
            lines.append(f"        {'elif' if index else 'if'} opcode == {row.constant}:  # {row.semantics}")
            lines += indent(self.body(Half(row)), 3)
        for number, pair in enumerate(self.pairs, len(UOPS)):
            lines.append(f"        elif opcode == {number}:  # {pair}")
            lines += indent(self.fused(pair), 3)
        return as_text(lines)

    def pairs_text(self) -> str:
        return as_text(enter_pair(pair, f"<void*>{n}") for n, pair in enumerate(self.pairs, len(UOPS)))


def enter_pair(pair: Pair, handler: str) -> str:
    relation = {None: "UNRELATED", "rs1": "IN_RS1", "rs2": "IN_RS2"}[pair.passed]
    return f"enter_pair(&pairs, {pair.first.constant}, {pair.second.constant}, {relation}, {handler})"


class Single(Form):
    """A uop by itself, for engines that run some in another way. The ends of blocks are those engines' business."""

    def go_on(self, half) -> list[str]:
        return ["return CONTINUE"]

    def load_miss(self, half, kind):
        return [f"return load_slowly(cpu, uop, budget, address, {kind})"]

    def store_miss(self, half, size):
        return [f"return store_slowly(cpu, uop, budget, address, {size})"]

    def attempt(self, call, half):
        return [f"return {call}"]

    def text(self) -> str:
        lines = []
        names = []
        for row in UOPS:
            exits_by_call = row.meaning == Call(exits=True)
            if row.ends_block and not exits_by_call:
                names.append("NULL")
                continue
            body = ["return exit_by_call(cpu, uop, budget)"] if exits_by_call else self.body(Half(row))
            names.append(f"s_{lower(row)}")
            lines.append(f"cdef int {names[-1]}(Cpu* cpu, Uop* uop, int64_t budget) noexcept nogil:")
            lines.append(f"    # {row.semantics}")
            text = "\n".join(body)
            if "address" in text:
                lines += ["    cdef uint64_t address", "    cdef TlbEntry* entry"]
            lines += indent(body) + [""]
        lines += ["cdef SingleHandler[UOP_COUNT] singles", ""]
        lines += [f"singles[{index}] = {name}" for index, name in enumerate(names)]
        return as_text(lines)


THREADED_FORM = """\
from vm_native.interpreter cimport threaded
threaded_form.run_block = threaded.run_block
threaded_form.handler_of = threaded.handler_of
threaded_form.pairs = &threaded.pairs
"""


def sources(threaded: bool) -> dict[str, str]:
    """Texts by file name; `threaded`: calls in tail position become jumps here, so that form works."""
    return {
        "threaded_handlers.pxi": Threaded().text(),
        "threaded_pairs.pxi": Threaded().pairs_text(),
        "threaded_form.pxi": THREADED_FORM if threaded else "",
        "switch_loop.pxi": Switch().text(),
        "switch_pairs.pxi": Switch().pairs_text(),
        "single_handlers.pxi": Single().text(),
    }
