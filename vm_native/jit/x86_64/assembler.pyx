"""x86-64 machine code, byte by byte. Intel's Software Developer's Manual, volume 2, chapter 2: prefixes, ModRM, VEX."""
from libc.stdint cimport int32_t, int64_t, intptr_t, uint8_t, uint64_t

cdef enum:
    FETCHED = 16            # bytes of code that the host fetches at a time, at a multiple of it

cdef uint8_t[5] ORDER_STORES = [0xF0, 0x83, 0x0C, 0x24, 0x00]


cdef void emit_byte(Emitter* e, int byte) noexcept nogil:
    e.at[0] = <uint8_t>byte
    e.at += 1


cdef void emit_int32(Emitter* e, int32_t value) noexcept nogil:
    (<int32_t*>e.at)[0] = value
    e.at += 4


cdef void emit_prefixes(Emitter* e, int opcode, Width width, int reg, int index, int rm) noexcept nogil:
    """Legacy prefixes, REX, escape bytes and the opcode."""
    cdef int prefix = opcode >> 12 & 3
    cdef int map_ = opcode >> 8 & 3
    cdef int rex = 0x40 | width << 3 | (reg >> 3 & 1) << 2 | (index >> 3 & 1) << 1 | (rm >> 3 & 1)
    if opcode & LOCK:
        emit_byte(e, 0xF0)
    if prefix:
        emit_byte(e, 0x66 if prefix == 1 else 0xF3 if prefix == 2 else 0xF2)
    if rex != 0x40 or opcode & BYTE:
        emit_byte(e, rex)
    if map_:
        emit_byte(e, 0x0F)
    if map_ == 2:
        emit_byte(e, 0x38)
    elif map_ == 3:
        emit_byte(e, 0x3A)
    emit_byte(e, opcode & 0xFF)


cdef void emit_vex(Emitter* e, int opcode, Width width, int reg, int source, int index, int rm) noexcept nogil:
    cdef int prefix = opcode >> 12 & 3
    cdef int map_ = opcode >> 8 & 3
    cdef int last = (~source & 15) << 3 | (opcode & YMM) >> 16 | prefix
    if width != W64 and map_ == 1 and not (index >> 3 & 1) and not (rm >> 3 & 1):
        emit_byte(e, 0xC5)
        emit_byte(e, (~reg >> 3 & 1) << 7 | last)
    else:
        emit_byte(e, 0xC4)
        emit_byte(e, (~reg >> 3 & 1) << 7 | (~index >> 3 & 1) << 6 | (~rm >> 3 & 1) << 5 | map_)
        emit_byte(e, width << 7 | last)
    emit_byte(e, opcode & 0xFF)


cdef inline bint needs_evex(int opcode, int registers) noexcept nogil:
    return registers & 16 or opcode & (ZMM | EVEX | 7 << MASK_SHIFT)


cdef void emit_evex(Emitter* e, int opcode, Width width, int reg, int source, int index, int rm) noexcept nogil:
    """As emit_vex. Where rm is an xmm register its fifth bit stands in the place of the index's fourth."""
    emit_byte(e, 0x62)
    emit_byte(e, (~reg >> 3 & 1) << 7 | (~(index | rm >> 1) >> 3 & 1) << 6 | (~rm >> 3 & 1) << 5
              | (~reg >> 4 & 1) << 4 | opcode >> 8 & 3)
    emit_byte(e, (width == W64 or opcode & EVEX_WIDE != 0) << 7 | (~source & 15) << 3 | 1 << 2 | opcode >> 12 & 3)
    emit_byte(e, (opcode & ZEROING != 0) << 7 | (2 if opcode & ZMM else 1 if opcode & YMM else 0) << 5
              | (~source >> 4 & 1) << 3 | opcode >> MASK_SHIFT & 7)
    emit_byte(e, opcode & 0xFF)


cdef inline void emit_modrm(Emitter* e, int reg, int rm) noexcept nogil:
    emit_byte(e, 0xC0 | (reg & 7) << 3 | (rm & 7))


cdef void emit_address(Emitter* e, int reg, int base, int index, int shift, int32_t disp) noexcept nogil:
    """[base + (index << shift) + disp]; base is a register, index one or NO_INDEX."""
    cdef int mode = 2
    if disp == 0 and (base & 7) != 5:       # rbp and r13 need a displacement
        mode = 0
    elif -128 <= disp <= 127:
        mode = 1
    if index != NO_INDEX or (base & 7) == 4:    # rsp and r12 need a SIB byte
        emit_byte(e, mode << 6 | (reg & 7) << 3 | 4)
        emit_byte(e, shift << 6 | (index & 7 if index != NO_INDEX else 4) << 3 | (base & 7))
    else:
        emit_byte(e, mode << 6 | (reg & 7) << 3 | (base & 7))
    if mode == 1:
        emit_byte(e, disp)
    elif mode == 2:
        emit_int32(e, disp)


cdef void emit_evex_address(Emitter* e, int reg, int base, int index, int32_t disp) noexcept nogil:
    """The same behind EVEX, where a displacement of one byte would count in operands."""
    cdef int mode = 0 if disp == 0 and (base & 7) != 5 else 2
    if index != NO_INDEX or (base & 7) == 4:
        emit_byte(e, mode << 6 | (reg & 7) << 3 | 4)
        emit_byte(e, (index & 7 if index != NO_INDEX else 4) << 3 | (base & 7))
    else:
        emit_byte(e, mode << 6 | (reg & 7) << 3 | (base & 7))
    if mode:
        emit_int32(e, disp)


cdef inline int index_bits(int index) noexcept nogil:
    return 0 if index == NO_INDEX else index


cdef void op(Emitter* e, int opcode, Width width, int reg, int rm) noexcept nogil:
    emit_prefixes(e, opcode, width, reg, 0, rm)
    emit_modrm(e, reg, rm)


cdef void op_memory(Emitter* e, int opcode, Width width, int reg, int base, int index, int32_t disp) noexcept nogil:
    op_indexed(e, opcode, width, reg, base, index, 0, disp)


cdef void op_indexed(
    Emitter* e, int opcode, Width width, int reg, int base, int index, int shift, int32_t disp
) noexcept nogil:
    emit_prefixes(e, opcode, width, reg, index_bits(index), base)
    emit_address(e, reg, base, index, shift, disp)


cdef void op_absolute(Emitter* e, int opcode, Width width, int reg, int32_t address) noexcept nogil:
    """Of memory at an address in the first or the last 2 GiB."""
    emit_prefixes(e, opcode, width, reg, 0, 0)
    emit_byte(e, (reg & 7) << 3 | 4)
    emit_byte(e, 0x25)              # a SIB byte without base and index
    emit_int32(e, address)


cdef void op_literal(Emitter* e, int opcode, Width width, int reg, const uint8_t* literal) noexcept nogil:
    """Of what stands at an executable address, relative to rip."""
    emit_prefixes(e, opcode, width, reg, 0, 0)
    emit_byte(e, (reg & 7) << 3 | 5)
    emit_int32(e, <int32_t>(literal - (here(e) + 4)))


cdef void vex(Emitter* e, int opcode, Width width, int reg, int source, int rm) noexcept nogil:
    if needs_evex(opcode, reg | source | rm):
        emit_evex(e, opcode, width, reg, source, 0, rm)
    else:
        emit_vex(e, opcode, width, reg, source, 0, rm)
    emit_modrm(e, reg, rm)


cdef void vex_memory(
    Emitter* e, int opcode, Width width, int reg, int source, int base, int index, int32_t disp
) noexcept nogil:
    if needs_evex(opcode, reg | source):
        emit_evex(e, opcode, width, reg, source, index_bits(index), base)
        emit_evex_address(e, reg, base, index, disp)
    else:
        emit_vex(e, opcode, width, reg, source, index_bits(index), base)
        emit_address(e, reg, base, index, 0, disp)


cdef void vex_memory_constant(
    Emitter* e, int opcode, Width width, int reg, int source, int base, int32_t disp, int value
) noexcept nogil:
    vex_memory(e, opcode, width, reg, source, base, NO_INDEX, disp)
    emit_byte(e, value)


cdef void vex_literal(Emitter* e, int opcode, int reg, int source, const uint8_t* literal) noexcept nogil:
    """The last operand is the constant at an executable address, relative to rip."""
    emit_literal(e, opcode, reg, source, literal, 0)


cdef void vex_literal_constant(
    Emitter* e, int opcode, int reg, int source, const uint8_t* literal, int value
) noexcept nogil:
    emit_literal(e, opcode, reg, source, literal, 1)
    emit_byte(e, value)


cdef void emit_literal(
    Emitter* e, int opcode, int reg, int source, const uint8_t* literal, int behind
) noexcept nogil:
    """`behind`: how many bytes of the instruction follow."""
    if needs_evex(opcode, reg | source):
        emit_evex(e, opcode, WIG, reg, source, 0, 0)
    else:
        emit_vex(e, opcode, WIG, reg, source, 0, 0)
    emit_byte(e, (reg & 7) << 3 | 5)
    emit_int32(e, <int32_t>(literal - (here(e) + 4 + behind)))


cdef void vex_constant(Emitter* e, int opcode, Width width, int reg, int source, int rm, int value) noexcept nogil:
    vex(e, opcode, width, reg, source, rm)
    emit_byte(e, value)


cdef void move_control_word(Emitter* e, int operation, int base, int32_t disp) noexcept nogil:
    op_memory(e, 0xAE | MAP_0F, W32, operation, base, NO_INDEX, disp)


cdef void op_constant(Emitter* e, int operation, Width width, int rm, int32_t value) noexcept nogil:
    if -128 <= value <= 127:
        op(e, 0x83, width, operation, rm)
        emit_byte(e, value)
    else:
        op(e, 0x81, width, operation, rm)
        emit_int32(e, value)


cdef void op_constant_memory(
    Emitter* e, int operation, Width width, int base, int32_t disp, int32_t value
) noexcept nogil:
    if -128 <= value <= 127:
        op_memory(e, 0x83, width, operation, base, NO_INDEX, disp)
        emit_byte(e, value)
    else:
        op_memory(e, 0x81, width, operation, base, NO_INDEX, disp)
        emit_int32(e, value)


cdef void store_constant(Emitter* e, int size, int base, int index, int32_t disp, int32_t value) noexcept nogil:
    """A sign-extended constant into `size` bytes of memory."""
    if size == 1:
        op_memory(e, 0xC6, W32, 0, base, index, disp)
        emit_byte(e, value)
    elif size == 2:
        op_memory(e, 0xC7 | PREFIX_66, W32, 0, base, index, disp)
        emit_byte(e, value)
        emit_byte(e, value >> 8)
    else:
        op_memory(e, 0xC7, W64 if size == 8 else W32, 0, base, index, disp)
        emit_int32(e, value)


cdef void shift_constant(Emitter* e, int operation, Width width, int rm, int count) noexcept nogil:
    op(e, 0xC1, width, operation, rm)
    emit_byte(e, count)


cdef void shift_cl(Emitter* e, int operation, Width width, int rm) noexcept nogil:
    op(e, 0xD3, width, operation, rm)


cdef void bit_constant(Emitter* e, int operation, Width width, int rm, int bit) noexcept nogil:
    op(e, 0xBA | MAP_0F, width, operation, rm)
    emit_byte(e, bit)


cdef void unary(Emitter* e, int operation, Width width, int rm) noexcept nogil:
    op(e, 0xF7, width, operation, rm)


cdef void bswap(Emitter* e, int reg) noexcept nogil:
    emit_byte(e, 0x48 | (reg >> 3))
    emit_byte(e, 0x0F)
    emit_byte(e, 0xC8 | (reg & 7))


cdef void sign_into_rdx(Emitter* e, Width width) noexcept nogil:
    """cqo, cdq: rdx becomes the sign of rax."""
    if width == W64:
        emit_byte(e, 0x48)
    emit_byte(e, 0x99)


cdef void load_constant(Emitter* e, int reg, int64_t value) noexcept nogil:
    """The shortest move; flags stay as they are."""
    if 0 <= value <= 0xFFFFFFFFLL:
        if reg >> 3:
            emit_byte(e, 0x41)
        emit_byte(e, 0xB8 | (reg & 7))
        emit_int32(e, <int32_t>value)
    elif value == <int32_t>value:
        op(e, 0xC7, W64, 0, reg)
        emit_int32(e, <int32_t>value)
    else:
        load_pointer(e, reg, <void*>value)


cdef uint64_t* load_pointer(Emitter* e, int reg, const void* address) noexcept nogil:
    """As long whatever the address is: it stands where this returns, in the writable mapping."""
    emit_byte(e, 0x48 | (reg >> 3))
    emit_byte(e, 0xB8 | (reg & 7))
    (<uint64_t*>e.at)[0] = <uint64_t>address
    e.at += 8
    return <uint64_t*>(e.at - 8)


cdef void push(Emitter* e, int reg) noexcept nogil:
    if reg >> 3:
        emit_byte(e, 0x41)
    emit_byte(e, 0x50 | (reg & 7))


cdef void pop(Emitter* e, int reg) noexcept nogil:
    if reg >> 3:
        emit_byte(e, 0x41)
    emit_byte(e, 0x58 | (reg & 7))


cdef void order_stores(Emitter* e) noexcept nogil:
    """lock or dword [rsp], 0: what was stored is seen before what is loaded from here on."""
    cdef int i
    for i in range(sizeof(ORDER_STORES)):
        emit_byte(e, ORDER_STORES[i])


cdef void ret(Emitter* e) noexcept nogil:
    emit_byte(e, 0xC3)


cdef void trap(Emitter* e) noexcept nogil:
    """ud2: control never comes here."""
    emit_byte(e, 0x0F)
    emit_byte(e, 0x0B)


cdef uint8_t* displacement(Emitter* e, const uint8_t* target) noexcept nogil:
    cdef uint8_t* field = e.at
    e.at += 4
    if target != NULL:
        patch(field, e.executable, target)
    return field


cdef inline void keep_whole(Emitter* e, int opcode_bytes) noexcept nogil:
    """Let a displacement behind so many bytes be fetched at once, where others may run what is about to change."""
    while e.by_others and (<uint64_t>e.at + opcode_bytes) % FETCHED > FETCHED - 4:
        emit_byte(e, 0x90)


cdef uint8_t* jump(Emitter* e, const uint8_t* target) noexcept nogil:
    keep_whole(e, 1)
    emit_byte(e, 0xE9)
    return displacement(e, target)


cdef uint8_t* jump_if(Emitter* e, int condition, const uint8_t* target) noexcept nogil:
    keep_whole(e, 2)
    emit_byte(e, 0x0F)
    emit_byte(e, 0x80 | condition)
    return displacement(e, target)


cdef uint8_t* call(Emitter* e, const uint8_t* target) noexcept nogil:
    emit_byte(e, 0xE8)
    return displacement(e, target)


cdef void jump_register(Emitter* e, int reg) noexcept nogil:
    op(e, 0xFF, W32, 4, reg)


cdef void jump_memory(Emitter* e, int base, int32_t disp) noexcept nogil:
    op_memory(e, 0xFF, W32, 4, base, NO_INDEX, disp)


cdef void call_register(Emitter* e, int reg) noexcept nogil:
    op(e, 0xFF, W32, 2, reg)


cdef void patch(uint8_t* displacement, intptr_t executable, const uint8_t* target) noexcept nogil:
    """Let the jump whose displacement stands here, in the writable mapping, lead to an executable address."""
    (<int32_t*>displacement)[0] = <int32_t>(target - (displacement + executable + 4))
