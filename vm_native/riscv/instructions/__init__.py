"""The instruction set: one row per instruction. The decoder, tools, tests and documentation read it.

ROWS are in the order of the manual: unprivileged, then privileged; compressed instructions come last, as their rows
stand for others. To add an instruction is to add its row to the file of its extension, in the notation of row.py. The
table reads both ways: `encode` assembles single instructions.
"""

from vm_native.riscv.instructions import (  # noqa: F401, I001
    rv64i, zifencei_zicsr, zimop_zicond, zicfiss, m, a, cmo, f_d, zfh, zfa, zb, zk, v, zvk, privileged, hypervisor, c,
)
from vm_native.riscv.instructions.encode import encode, immediate_of
from vm_native.riscv.instructions.pattern import Piece
from vm_native.riscv.instructions.row import BY_NAME, FP_CONSTANT, NOTHING, PC_RELATIVE, ROWS, Row

__all__ = ["BY_NAME", "FP_CONSTANT", "NOTHING", "PC_RELATIVE", "ROWS", "Piece", "Row", "encode", "immediate_of"]
