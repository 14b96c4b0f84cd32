# The instruction table as C rows; instructions/generate.py writes them, by the names that stand in quotes here, and
# decode.pyx takes those of one hart.
from libc.stdint cimport int8_t, int16_t, int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_PIECES = 8
    WIDE_BUCKETS = 256      # instructions of 32 bits, by bits 6:2 and 14:12
    NARROW_BUCKETS = 32     # of 16 bits, by bits 1:0 and 15:13

cdef enum:                  # operands: index into DecodeRow.registers
    RD = 0
    RS1 = 1
    RS2 = 2
    RS3 = 3

cdef enum RowKind:          # what the decoder does beyond filling a uop
    KIND_PLAIN "VM_KIND_PLAIN"              # fill a uop, no more
    KIND_NOTHING "VM_KIND_NOTHING"            # a step without a uop
    KIND_BRANCH "VM_KIND_BRANCH"
    KIND_JUMP "VM_KIND_JUMP"
    KIND_INDIRECT "VM_KIND_INDIRECT"
    KIND_PC_RELATIVE "VM_KIND_PC_RELATIVE"        # auipc: a constant, as the block's pc is known
    KIND_FP_CONSTANT "VM_KIND_FP_CONSTANT"        # fli: the immediate is the number of a constant
    KIND_HELPER "VM_KIND_HELPER"

cdef struct RegisterField:
    uint8_t used
    uint8_t shift           # of the field in the instruction
    uint8_t mask            # 0: fixed
    uint8_t base            # added to the field: 0 x, 8 x', 32 f, 40 f'; or the fixed register

cdef struct ImmediatePiece:
    uint8_t source
    uint8_t target
    uint32_t mask

# As generated, `helper` and `operation` are indices into HELPER_NAMES and OPERATION_NAMES.
cdef struct DecodeRow "vm_decode_row":
    uint32_t mask
    uint32_t match
    uint16_t opcode         # uop, unless it is a helper
    uint8_t kind
    uint8_t cells           # of its uop
    uint64_t needs[2]       # extensions, a bit each: of every word that is not 0 one must be on
    int32_t helper          # index into the front end's helpers
    int16_t operation       # where the uop does not serve every rounding mode; of fli the format; or -1
    int16_t opcode_rtz      # uop for round-towards-zero, or -1
    uint8_t length
    uint8_t exact_only      # the uop does not work on this host
    uint8_t fused           # a multiply-add, for which not every host has an instruction
    uint8_t rounds          # has a rounding mode in bits 14:12
    uint8_t lossless        # which changes nothing
    uint8_t uses_f          # illegal while mstatus.FS is Off
    uint8_t writes_f        # makes mstatus.FS Dirty
    uint8_t droppable       # does nothing if rd is x0
    uint8_t nonzero         # reserved if the immediate is 0
    uint16_t vector         # number of what says the rest of a vector instruction, or 0
    uint32_t exit_bits     # the block ends behind the helper if one of these bits of the instruction is set
    int32_t at_most         # reserved if the immediate is greater; -1: no limit
    int32_t constant        # the immediate of a row without pieces
    uint8_t piece_count
    int8_t sign_bit
    ImmediatePiece pieces[MAX_PIECES]
    RegisterField registers[4]
    uint32_t excluded[3]    # bit i: register i makes the row not match: rd, rs1, rs2

cdef struct DecodeTable:
    DecodeRow* rows
    int row_count
    uint16_t* wide          # row numbers, bucket after bucket
    uint16_t wide_start[WIDE_BUCKETS + 1]
    uint16_t* narrow
    uint16_t narrow_start[NARROW_BUCKETS + 1]
    int illegal_helper
    int dirty_helper        # turns mstatus.FS to Dirty and repeats the instruction
    int checked_jump_helper  # jumps and branches where IALIGN is 32, and jumps that expect a landing pad
    int landing_helper      # where one is expected
    int pause_helper        # where harts have threads
    int csr_helper          # accesses to registers of control and status
    int status_csr_helper   # of them, writes of mstatus and sstatus
    int enable_helper       # turns interrupts on
    int operate_helper      # floating point by way of the exact path
    bint compressed         # IALIGN is 16
    bint vectors            # mstatus.VS may be Dirty
