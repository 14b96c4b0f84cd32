"""What a line of uop semantics says, as a small tree: the only parser of the language that uops.py describes."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

VIEWS = ("single", "double", "half", "bits16", "bits32", "bits64")
"""Ways to see a register as something else than 64 bits."""


@dataclass(frozen=True)
class Assign:
    """rd becomes the value of an expression over the operands, seen as `view` ("": all 64 bits)."""

    expression: str
    view: str = ""


@dataclass(frozen=True)
class Load:
    bits: int
    extension: str          # "", "signed", "boxed"


@dataclass(frozen=True)
class Store:
    bits: int


@dataclass(frozen=True)
class Reserve:
    bits: int


@dataclass(frozen=True)
class Conditional:
    bits: int


@dataclass(frozen=True)
class Atomic:
    bits: int
    operation: str


@dataclass(frozen=True)
class Exchange:
    bits: int


@dataclass(frozen=True)
class Branch:
    condition: str


@dataclass(frozen=True)
class Jump:
    pass


@dataclass(frozen=True)
class JumpIndirect:
    pass


@dataclass(frozen=True)
class Fall:
    pass


@dataclass(frozen=True)
class Call:
    exits: bool


@dataclass(frozen=True)
class Order:
    pass


@dataclass(frozen=True)
class Probe:
    name: str               # of the function vm_native.probes.records.probe_NAME


MemoryAccess = Load | Store | Reserve | Conditional | Atomic | Exchange
Meaning = Assign | MemoryAccess | Branch | Jump | JumpIndirect | Fall | Call | Order | Probe

EXTENSIONS = {"": "", "s": "signed", "boxed": "boxed"}
FORMS: list[tuple[str, Callable[..., Meaning]]] = [
    (r"rd = load(s|boxed|)(\d+)\(rs1 \+ imm\)", lambda extension, bits: Load(int(bits), EXTENSIONS[extension])),
    (r"store(\d+)\(rs1 \+ imm, rs2\)", lambda bits: Store(int(bits))),
    (r"rd = reserve(\d+)\(rs1\)", lambda bits: Reserve(int(bits))),
    (r"rd = conditional(\d+)\(rs1, rs2\)", lambda bits: Conditional(int(bits))),
    (r"rd = atomic(\d+) (\w+)\(rs1, rs2\)", lambda bits, operation: Atomic(int(bits), operation)),
    (r"rd = exchange(\d+)\(rs1, rs2, rd\)", lambda bits: Exchange(int(bits))),
    (r"rd = (.+)", Assign),
    (rf"({'|'.join(VIEWS)})\(rd\) = (.+)", lambda view, expression: Assign(expression, view)),
    (r"branch if (.+)", Branch),
    (r"jump; rd = next", Jump),
    (r"jump \(rs1 \+ imm\); rd = next", JumpIndirect),
    (r"fall", Fall),
    (r"call", lambda: Call(exits=False)),
    (r"call; exit", lambda: Call(exits=True)),
    (r"order", Order),
    (r"probe (\w+)", Probe),
]


@cache
def parse(semantics: str) -> Meaning:
    for pattern, make in FORMS:
        if match := re.fullmatch(pattern, semantics):
            return make(*match.groups())
    raise ValueError(f"semantics not understood: {semantics}")
