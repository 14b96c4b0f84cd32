"""Floating-point operations from Python: the exact path, and uops as the interpreter performs them."""
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from vm_native.arithmetic cimport operations
from vm_native.arithmetic.float_rules cimport RMM, RNE
from vm_native.arithmetic.floating cimport (
    HostEnvironment, collect_flags, has_fma, host_rounds, restore_environment, save_environment,
)
from vm_native.interpreter.single cimport run_uop
from vm_native.ir.block cimport Block, Uop, UopInfo
from vm_native.machine cimport Cpu

from vm_native.arithmetic.operations import OPERATIONS
from vm_native.ir.uops import UOPS

OPCODES = {row.name: number for number, row in enumerate(UOPS) if row.only_writes_rd}

HAS_FMA = has_fma()
"""Whether the host has the fused multiply-add instructions; without them that family is left to the exact path."""


def operate(str name, int rounding_mode, uint64_t a, uint64_t b=0, uint64_t c=0):
    """Register image and fflags bits of one instruction on the exact path, in any rounding mode (0 to 4, as in frm)."""
    cdef uint32_t flags = 0
    cdef int operation = OPERATIONS[name]
    cdef uint64_t result
    if not 0 <= rounding_mode <= RMM:
        raise ValueError(f"rounding mode {rounding_mode} is reserved")
    with nogil:
        result = operations.operate(operation, rounding_mode, a, b, c, &flags)
    return result, flags


def perform_uop(str name, uint64_t a, uint64_t b=0, uint64_t c=0, int rounding_mode=RNE):
    """Register image and fflags bits of a uop that only writes rd, on the host's FPU; rs1 to rs3 hold a, b and c.

    ValueError: the host does not have the rounding mode.
    """
    if not host_rounds(rounding_mode):
        raise ValueError(f"rounding mode {rounding_mode} is not one of the host's")
    cdef int opcode = OPCODES[name]
    cdef Cpu* cpu = <Cpu*>calloc(1, sizeof(Cpu))
    cdef Block block
    cdef UopInfo[2] info
    cdef Uop[3] uops                    # the pointer to the block stands in front
    cdef HostEnvironment host
    cdef uint32_t flags
    cdef uint64_t result
    if cpu == NULL:
        raise MemoryError("no room for a hart")
    info[0].opcode = <uint16_t>opcode
    block.info = info
    (<Block**>uops)[0] = &block
    uops[1].cell = 0
    uops[1].rd, uops[1].rs1, uops[1].rs2, uops[2].rs1 = 1, 2, 3, 4
    cpu.state.regs[2], cpu.state.regs[3], cpu.state.regs[4] = a, b, c
    with nogil:
        save_environment(&host, rounding_mode)
        run_uop(cpu, &uops[1], 0)
        flags = collect_flags()
        restore_environment(&host)
    result = cpu.state.regs[1]
    free(cpu)
    return result, flags
