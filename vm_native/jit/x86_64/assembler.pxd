# x86-64 machine code, byte by byte: one function per shape of instruction, opcodes as constants.
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint32_t, uint64_t

cdef struct Emitter:
    uint8_t* at             # where the next byte goes, in the writable mapping
    intptr_t executable     # what to add to a writable address for the one it is executed at
    bint by_others          # other threads may run a jump while it is made to lead elsewhere

cdef enum Register:
    RAX = 0
    RCX
    RDX
    RBX
    RSP
    RBP
    RSI
    RDI
    R8
    R9
    R10
    R11
    R12
    R13
    R14
    R15
    NO_INDEX = -1

cdef enum:                  # xmm registers, those that have a name
    XMM0 = 0
    XMM1
    XMM2

cdef enum:                  # mask registers
    K1 = 1
    K2
    K3
    K4
    K5

cdef enum Width:            # of an operation on general registers
    W32 = 0                 # clears the upper half of the register that it writes
    W64 = 1
    WIG = 0                 # Intel's word for VEX instructions to which it is nothing

cdef enum Precision:
    SINGLE = 0
    DOUBLE = 1
    HALF = 2                # a single, for what computes

cdef enum:
    NO_SOURCE = 0           # of VEX instructions with two operands

cdef enum Condition:        # inverted by its lowest bit
    IF_OVERFLOW = 0x0
    IF_BELOW = 0x2
    IF_NOT_BELOW = 0x3
    IF_EQUAL = 0x4
    IF_NOT_EQUAL = 0x5
    IF_NOT_ABOVE = 0x6
    IF_ABOVE = 0x7
    IF_NEGATIVE = 0x8
    IF_UNORDERED = 0xA
    IF_ORDERED = 0xB
    IF_LESS = 0xC
    IF_NOT_LESS = 0xD
    IF_NOT_GREATER = 0xE
    IF_GREATER = 0xF

# An opcode: the byte, the map it stands in (none, 0F, 0F38, 0F3A) << 8, the mandatory prefix (none, 66, F3, F2) << 12.
cdef enum:
    MAP_0F = 1 << 8
    MAP_0F38 = 2 << 8
    MAP_0F3A = 3 << 8
    PREFIX_66 = 1 << 12
    PREFIX_F3 = 2 << 12
    PREFIX_F2 = 3 << 12
    BYTE = 1 << 16          # has an 8-bit register: always with a REX prefix, or spl to dil would be ah to bh
    LOCK = 1 << 17
    YMM = 1 << 18           # of VEX instructions: on 256 bits
    # An instruction with one of the next four, or with an xmm register from 16 on, is written as EVEX
    ZMM = 1 << 20           # on 512 bits
    EVEX = 1 << 21
    MASK_SHIFT = 24         # the number of the mask register that says which elements are written, in three bits
    ZEROING = 1 << 27       # others become 0, and do not stay as they are
    EVEX_WIDE = 1 << 22     # W, where it is EVEX

cdef enum Opcode:
    ADD = 0x03
    OR = 0x0B
    AND = 0x23
    SUB = 0x2B
    XOR = 0x33
    CMP = 0x3B
    TEST = 0x85
    XCHG = 0x87
    MOV = 0x8B
    MOV_TO = 0x89           # register into register or memory
    MOV8_TO = 0x88 | BYTE
    MOV16_TO = 0x89 | PREFIX_66
    LEA = 0x8D
    INC8 = 0xFE | BYTE      # the register field is 0
    ADD8_TO = 0x00 | BYTE
    OR8_TO = 0x08 | BYTE
    MOVSXD = 0x63
    IMUL = 0xAF | MAP_0F
    MOVZX8 = 0xB6 | MAP_0F | BYTE
    MOVZX16 = 0xB7 | MAP_0F
    MOVSX8 = 0xBE | MAP_0F | BYTE
    MOVSX16 = 0xBF | MAP_0F
    SETCC = 0x90 | MAP_0F | BYTE        # + condition; the register field is 0
    CMOVCC = 0x40 | MAP_0F              # + condition
    BTS = 0xAB | MAP_0F                 # these three: register names the bit of register or memory
    BTR = 0xB3 | MAP_0F
    BTC = 0xBB | MAP_0F
    POPCNT = 0xB8 | MAP_0F | PREFIX_F3
    TZCNT = 0xBC | MAP_0F | PREFIX_F3
    LZCNT = 0xBD | MAP_0F | PREFIX_F3
    LOCK_XADD = 0xC1 | MAP_0F | LOCK
    LOCK_CMPXCHG = 0xB1 | MAP_0F | LOCK
    # VEX
    ANDN = 0xF2 | MAP_0F38
    BZHI = 0xF5 | MAP_0F38
    SHLX = 0xF7 | MAP_0F38 | PREFIX_66
    SARX = 0xF7 | MAP_0F38 | PREFIX_F3
    SHRX = 0xF7 | MAP_0F38 | PREFIX_F2
    VMOVAPS = 0x28 | MAP_0F
    VMOVUPS_TO = 0x11 | MAP_0F
    VMOVSD = 0x10 | MAP_0F | PREFIX_F2
    VMOVSD_TO = 0x11 | MAP_0F | PREFIX_F2
    VMOVSS = 0x10 | MAP_0F | PREFIX_F3
    VMOVSS_TO = 0x11 | MAP_0F | PREFIX_F3
    VMOVQ = 0x6E | MAP_0F | PREFIX_66   # general register into xmm
    VMOVQ_TO = 0x7E | MAP_0F | PREFIX_66
    VSQRTSD = 0x51 | MAP_0F | PREFIX_F2
    VADDSD = 0x58 | MAP_0F | PREFIX_F2
    VMULSD = 0x59 | MAP_0F | PREFIX_F2
    VSUBSD = 0x5C | MAP_0F | PREFIX_F2
    VMINSD = 0x5D | MAP_0F | PREFIX_F2
    VDIVSD = 0x5E | MAP_0F | PREFIX_F2
    VMAXSD = 0x5F | MAP_0F | PREFIX_F2
    VSQRTSS = 0x51 | MAP_0F | PREFIX_F3
    VADDSS = 0x58 | MAP_0F | PREFIX_F3
    VMULSS = 0x59 | MAP_0F | PREFIX_F3
    VSUBSS = 0x5C | MAP_0F | PREFIX_F3
    VMINSS = 0x5D | MAP_0F | PREFIX_F3
    VDIVSS = 0x5E | MAP_0F | PREFIX_F3
    VMAXSS = 0x5F | MAP_0F | PREFIX_F3
    VUCOMISD = 0x2E | MAP_0F | PREFIX_66
    VCOMISD = 0x2F | MAP_0F | PREFIX_66
    VUCOMISS = 0x2E | MAP_0F
    VCOMISS = 0x2F | MAP_0F
    VCVTSI2SD = 0x2A | MAP_0F | PREFIX_F2
    VCVTSI2SS = 0x2A | MAP_0F | PREFIX_F3
    VCVTTSD2SI = 0x2C | MAP_0F | PREFIX_F2
    VCVTTSS2SI = 0x2C | MAP_0F | PREFIX_F3
    VCVTSD2SI = 0x2D | MAP_0F | PREFIX_F2
    VCVTSS2SI = 0x2D | MAP_0F | PREFIX_F3
    VCVTSD2SS = 0x5A | MAP_0F | PREFIX_F2
    VCVTSS2SD = 0x5A | MAP_0F | PREFIX_F3
    VANDPS = 0x54 | MAP_0F
    VORPS = 0x56 | MAP_0F
    VXORPS = 0x57 | MAP_0F
    VPCMPEQB = 0x74 | MAP_0F | PREFIX_66
    VPCMPEQD = 0x76 | MAP_0F | PREFIX_66
    VFMADD231 = 0xB9 | MAP_0F38 | PREFIX_66         # these four: the width says the precision
    VFMSUB231 = 0xBB | MAP_0F38 | PREFIX_66
    VFNMADD231 = 0xBD | MAP_0F38 | PREFIX_66
    VFNMSUB231 = 0xBF | MAP_0F38 | PREFIX_66
    VPUNPCKLBW = 0x60 | MAP_0F | PREFIX_66
    VPADDUSB = 0xDC | MAP_0F | PREFIX_66
    VPSHUFB = 0x00 | MAP_0F38 | PREFIX_66
    VCVTPH2PS = 0x13 | MAP_0F38 | PREFIX_66
    VAESIMC = 0xDB | MAP_0F38 | PREFIX_66
    VAESENC = 0xDC | MAP_0F38 | PREFIX_66
    VAESENCLAST = 0xDD | MAP_0F38 | PREFIX_66
    VAESDEC = 0xDE | MAP_0F38 | PREFIX_66
    VAESDECLAST = 0xDF | MAP_0F38 | PREFIX_66
    # VEX, with a constant of one byte behind them
    RORX = 0xF0 | MAP_0F3A | PREFIX_F2
    VPSHUFD = 0x70 | MAP_0F | PREFIX_66
    VCMPSD = 0xC2 | MAP_0F | PREFIX_F2
    VROUNDSS = 0x0A | MAP_0F3A | PREFIX_66
    VROUNDSD = 0x0B | MAP_0F3A | PREFIX_66
    VPEXTRQ = 0x16 | MAP_0F3A | PREFIX_66   # the register field is the xmm register's
    VPINSRQ = 0x22 | MAP_0F3A | PREFIX_66
    VCVTPS2PH = 0x1D | MAP_0F3A | PREFIX_66     # the register field is the source
    VPCLMULQDQ = 0x44 | MAP_0F3A | PREFIX_66

cdef enum ControlWord:      # 0F AE /n, of memory: MXCSR
    LDMXCSR = 2
    STMXCSR = 3

cdef enum Arithmetic:       # instructions with a constant, 81 /n
    ADD_CONSTANT = 0
    OR_CONSTANT = 1
    AND_CONSTANT = 4
    SUB_CONSTANT = 5
    XOR_CONSTANT = 6
    CMP_CONSTANT = 7

cdef enum Shift:            # C1 /n, D3 /n by cl
    ROL = 0
    ROR = 1
    SHL = 4
    SHR = 5
    SAR = 7

cdef enum BitTest:          # 0F BA /n
    BT_CONSTANT = 4
    BTS_CONSTANT = 5
    BTR_CONSTANT = 6
    BTC_CONSTANT = 7

cdef enum Unary:            # F7 /n
    NOT = 2
    NEG = 3
    MUL_HIGH = 4            # rdx:rax = rax * operand, unsigned
    IMUL_HIGH = 5
    DIV = 6
    IDIV = 7

cdef void op(Emitter* e, int opcode, Width width, int reg, int rm) noexcept nogil
cdef void op_memory(Emitter* e, int opcode, Width width, int reg, int base, int index, int32_t disp) noexcept nogil
cdef void op_indexed(
    Emitter* e, int opcode, Width width, int reg, int base, int index, int shift, int32_t disp
) noexcept nogil
cdef void op_absolute(Emitter* e, int opcode, Width width, int reg, int32_t address) noexcept nogil
cdef void op_literal(Emitter* e, int opcode, Width width, int reg, const uint8_t* literal) noexcept nogil
cdef void vex(Emitter* e, int opcode, Width width, int reg, int source, int rm) noexcept nogil
cdef void vex_memory(
    Emitter* e, int opcode, Width width, int reg, int source, int base, int index, int32_t disp
) noexcept nogil
cdef void vex_memory_constant(
    Emitter* e, int opcode, Width width, int reg, int source, int base, int32_t disp, int value
) noexcept nogil
cdef void vex_literal(Emitter* e, int opcode, int reg, int source, const uint8_t* literal) noexcept nogil
cdef void vex_literal_constant(
    Emitter* e, int opcode, int reg, int source, const uint8_t* literal, int value
) noexcept nogil
cdef void vex_constant(Emitter* e, int opcode, Width width, int reg, int source, int rm, int value) noexcept nogil
cdef void move_control_word(Emitter* e, int operation, int base, int32_t disp) noexcept nogil
cdef void op_constant(Emitter* e, int operation, Width width, int rm, int32_t value) noexcept nogil
cdef void op_constant_memory(
    Emitter* e, int operation, Width width, int base, int32_t disp, int32_t value
) noexcept nogil
cdef void store_constant(Emitter* e, int size, int base, int index, int32_t disp, int32_t value) noexcept nogil
cdef void shift_constant(Emitter* e, int operation, Width width, int rm, int count) noexcept nogil
cdef void shift_cl(Emitter* e, int operation, Width width, int rm) noexcept nogil
cdef void bit_constant(Emitter* e, int operation, Width width, int rm, int bit) noexcept nogil
cdef void unary(Emitter* e, int operation, Width width, int rm) noexcept nogil
cdef void bswap(Emitter* e, int reg) noexcept nogil
cdef void sign_into_rdx(Emitter* e, Width width) noexcept nogil
cdef void load_constant(Emitter* e, int reg, int64_t value) noexcept nogil
cdef uint64_t* load_pointer(Emitter* e, int reg, const void* address) noexcept nogil
cdef void push(Emitter* e, int reg) noexcept nogil
cdef void pop(Emitter* e, int reg) noexcept nogil
cdef void order_stores(Emitter* e) noexcept nogil
cdef void ret(Emitter* e) noexcept nogil
cdef void trap(Emitter* e) noexcept nogil

# Jumps with a 32-bit displacement. They return where that stands, for `patch`; `target` may be NULL until then.
cdef uint8_t* jump(Emitter* e, const uint8_t* target) noexcept nogil
cdef uint8_t* jump_if(Emitter* e, int condition, const uint8_t* target) noexcept nogil
cdef uint8_t* call(Emitter* e, const uint8_t* target) noexcept nogil
cdef void jump_register(Emitter* e, int reg) noexcept nogil
cdef void jump_memory(Emitter* e, int base, int32_t disp) noexcept nogil
cdef void call_register(Emitter* e, int reg) noexcept nogil
cdef void patch(uint8_t* displacement, intptr_t executable, const uint8_t* target) noexcept nogil

cdef inline uint8_t* here(Emitter* e) noexcept nogil:
    # The executable address of the next byte.
    return e.at + e.executable
