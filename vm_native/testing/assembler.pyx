"""The functions of the emitter one by one.

>>> Assembler().op(OPCODES["add"], WIDTHS[64], 0, 3).hex()
'4803c3'
"""
from libc.stdint cimport int32_t, int64_t, uint8_t
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport VADDPS, VPADDD, VPADDQ
from vm_native.jit.x86_64.avx512 cimport VPERMW, VPMULLQ, under

OPCODES = {
    "add": ADD, "or": OR, "and": AND, "sub": SUB, "xor": XOR, "cmp": CMP, "test": TEST, "xchg": XCHG, "mov": MOV,
    "mov to": MOV_TO, "mov8 to": MOV8_TO, "add8 to": ADD8_TO, "mov16 to": MOV16_TO, "lea": LEA, "movsxd": MOVSXD,
    "imul": IMUL, "movzx8": MOVZX8, "movzx16": MOVZX16, "movsx8": MOVSX8, "movsx16": MOVSX16,
    "sete": SETCC | IF_EQUAL, "cmovb": CMOVCC | IF_BELOW, "bts": BTS, "btr": BTR, "btc": BTC, "popcnt": POPCNT,
    "tzcnt": TZCNT, "lzcnt": LZCNT, "lock xadd": LOCK_XADD, "lock cmpxchg": LOCK_CMPXCHG,
    "andn": ANDN, "shlx": SHLX, "sarx": SARX, "shrx": SHRX, "vmovaps": VMOVAPS, "vmovsd": VMOVSD,
    "vmovsd to": VMOVSD_TO, "vmovss": VMOVSS, "vmovss to": VMOVSS_TO, "vmovq": VMOVQ, "vmovq to": VMOVQ_TO,
    "vmovups to": VMOVUPS_TO,
    "vsqrtsd": VSQRTSD, "vaddsd": VADDSD, "vmulsd": VMULSD, "vsubsd": VSUBSD, "vminsd": VMINSD, "vdivsd": VDIVSD,
    "vmaxsd": VMAXSD, "vsqrtss": VSQRTSS, "vaddss": VADDSS, "vmulss": VMULSS, "vsubss": VSUBSS, "vminss": VMINSS,
    "vdivss": VDIVSS, "vmaxss": VMAXSS, "vucomisd": VUCOMISD, "vcomisd": VCOMISD, "vucomiss": VUCOMISS,
    "vcomiss": VCOMISS, "vcvtsi2sd": VCVTSI2SD, "vcvtsi2ss": VCVTSI2SS, "vcvttsd2si": VCVTTSD2SI,
    "vcvttss2si": VCVTTSS2SI, "vcvtsd2si": VCVTSD2SI, "vcvtss2si": VCVTSS2SI, "vcvtsd2ss": VCVTSD2SS,
    "vcvtss2sd": VCVTSS2SD, "vandps": VANDPS, "vorps": VORPS, "vxorps": VXORPS, "vpcmpeqb": VPCMPEQB,
    "vpcmpeqd": VPCMPEQD,
    "vfmadd231": VFMADD231, "vfmsub231": VFMSUB231, "vfnmadd231": VFNMADD231, "vfnmsub231": VFNMSUB231,
    "vpunpcklbw": VPUNPCKLBW, "vpaddusb": VPADDUSB, "vpshufb": VPSHUFB, "vcvtph2ps": VCVTPH2PS, "vaesimc": VAESIMC,
    "vaesenc": VAESENC, "vaesenclast": VAESENCLAST, "vaesdec": VAESDEC, "vaesdeclast": VAESDECLAST,
}

WITH_CONSTANT = {
    "rorx": RORX, "vpshufd": VPSHUFD, "vcmpsd": VCMPSD, "vroundss": VROUNDSS, "vroundsd": VROUNDSD,
    "vpextrq": VPEXTRQ, "vpinsrq": VPINSRQ, "vpclmulqdq": VPCLMULQDQ, "vcvtps2ph": VCVTPS2PH,
}

# As EVEX, and what is added to them: by the bits of registers, and where elements that a mask turns off become 0.
AS_EVEX = {"vaddps": VADDPS, "vpaddd": VPADDD, "vpaddq": VPADDQ, "vpermw": VPERMW, "vpmullq": VPMULLQ}
LENGTHS = {128: EVEX, 256: EVEX | YMM, 512: ZMM}
IN_ZEROES = ZEROING


def by_mask(mask):
    """What is added for a mask register."""
    return under(mask)


CONTROL_WORD = {"ldmxcsr": LDMXCSR, "stmxcsr": STMXCSR}

WIDTHS = {32: W32, 64: W64}


cdef class Assembler:
    """Each method gives the bytes of one instruction, as the function of that name emits it."""
    cdef uint8_t[32] buffer
    cdef Emitter emitter

    cdef Emitter* start(self) noexcept:
        self.emitter.at = self.buffer
        return &self.emitter

    cdef bytes emitted(self):
        return self.buffer[:self.emitter.at - self.buffer]

    def op(self, int opcode, Width width, int reg, int rm):
        op(self.start(), opcode, width, reg, rm)
        return self.emitted()

    def op_memory(self, int opcode, Width width, int reg, int base, int index, int32_t disp):
        op_memory(self.start(), opcode, width, reg, base, index, disp)
        return self.emitted()

    def op_indexed(self, int opcode, Width width, int reg, int base, int index, int shift, int32_t disp):
        op_indexed(self.start(), opcode, width, reg, base, index, shift, disp)
        return self.emitted()

    def vex(self, int opcode, Width width, int reg, int source, int rm):
        vex(self.start(), opcode, width, reg, source, rm)
        return self.emitted()

    def vex_memory(self, int opcode, Width width, int reg, int source, int base, int index, int32_t disp):
        vex_memory(self.start(), opcode, width, reg, source, base, index, disp)
        return self.emitted()

    def vex_constant(self, int opcode, Width width, int reg, int source, int rm, int value):
        vex_constant(self.start(), opcode, width, reg, source, rm, value)
        return self.emitted()

    def move_control_word(self, int operation, int base, int32_t disp):
        move_control_word(self.start(), operation, base, disp)
        return self.emitted()

    def op_constant(self, int operation, Width width, int rm, int32_t value):
        op_constant(self.start(), operation, width, rm, value)
        return self.emitted()

    def op_constant_memory(self, int operation, Width width, int base, int32_t disp, int32_t value):
        op_constant_memory(self.start(), operation, width, base, disp, value)
        return self.emitted()

    def store_constant(self, int size, int base, int index, int32_t disp, int32_t value):
        store_constant(self.start(), size, base, index, disp, value)
        return self.emitted()

    def shift_constant(self, int operation, Width width, int rm, int count):
        shift_constant(self.start(), operation, width, rm, count)
        return self.emitted()

    def shift_cl(self, int operation, Width width, int rm):
        shift_cl(self.start(), operation, width, rm)
        return self.emitted()

    def bit_constant(self, int operation, Width width, int rm, int bit):
        bit_constant(self.start(), operation, width, rm, bit)
        return self.emitted()

    def unary(self, int operation, Width width, int rm):
        unary(self.start(), operation, width, rm)
        return self.emitted()

    def bswap(self, int reg):
        bswap(self.start(), reg)
        return self.emitted()

    def sign_into_rdx(self, Width width):
        sign_into_rdx(self.start(), width)
        return self.emitted()

    def load_constant(self, int reg, int64_t value):
        load_constant(self.start(), reg, value)
        return self.emitted()

    def push(self, int reg):
        push(self.start(), reg)
        return self.emitted()

    def pop(self, int reg):
        pop(self.start(), reg)
        return self.emitted()

    def jump_register(self, int reg):
        jump_register(self.start(), reg)
        return self.emitted()

    def jump_memory(self, int base, int32_t disp):
        jump_memory(self.start(), base, disp)
        return self.emitted()

    def call_register(self, int reg):
        call_register(self.start(), reg)
        return self.emitted()

    def jump(self, int distance):
        """`distance` from the start of the instruction."""
        jump(self.start(), self.buffer + distance)
        return self.emitted()

    def jump_if(self, int condition, int distance):
        """`distance` from the start of the instruction."""
        jump_if(self.start(), condition, self.buffer + distance)
        return self.emitted()

    def call(self, int distance):
        """`distance` from the start of the instruction."""
        call(self.start(), self.buffer + distance)
        return self.emitted()
