"""Vector loads and stores of elements that follow each other, and of whole registers.

One test is for the whole access, as it is for those of scalars: whether it lies in a window, or in a page that the TLB
has. Where it does not, what is out of line may find the page after all; else the interpreter's function does it,
element by element. Where there may be fewer elements than registers have room for, the code for that is out of line,
too: its test is that of a full access, so that it may read what stands behind the last element, and write it back.
"""
from libc.stdint cimport int32_t, intptr_t, uint32_t
from vm_native.ir.block cimport Block, Uop, block_of
from vm_native.ir.vectors cimport (
    SHAPE_LENGTH_MASK, SHAPE_LENGTH_SHIFT, VECTOR_LOAD, VECTOR_STORE, VECTOR_STORE_ALL, VectorUop,
)
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY_ALIGNMENT, BIAS, COLD_ACCESS, COLD_PART, TYPE_OF_SHAPE, Cold, Compilation, Reach, cold_jump, load_tlb_entry,
    new_cold, offset_of, read_slot, tag_offset,
)
from vm_native.jit.x86_64.vector_operands cimport load_part, store_part
from vm_native.jit.x86_64.window cimport test_window
from vm_native.machine cimport BASE_REGISTERS, Cpu
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE
from vm_native.memory.tlb cimport LOAD_SPANS, READ, STORE_SPANS, WRITE, TlbEntry

cdef enum:
    MOST_ACCESSED = 512     # bytes that are moved here


cdef inline bint stores(const VectorUop* v) noexcept nogil:
    return v.kind == VECTOR_STORE or v.kind == VECTOR_STORE_ALL


# --- Where the memory is. rcx becomes what to add to the base register, which is where these tell ---------------------

cdef int test_page_of(Compilation* t, Uop* uop, int kind, uint32_t bytes) noexcept nogil:
    cdef Emitter* e = &t.e
    cdef int base = read_slot(t, uop.rs1, RDX)
    cdef Cold* cold = new_cold(t, COLD_ACCESS, uop)
    cold.size, cold.access, cold.alignment, cold.low = <int>bytes, kind, ANY_ALIGNMENT, 0
    cold.has_page_entry = cold.beside_code = False
    op(e, MOV, W64, RAX, base)
    op(e, MOV, W32, RCX, RAX)
    op_constant(e, AND_CONSTANT, W32, RCX, PAGE_OFFSET)
    op_constant(e, CMP_CONSTANT, W32, RCX, PAGE_SIZE - <int32_t>bytes)
    cold_jump(cold, jump_if(e, IF_ABOVE, NULL))
    load_tlb_entry(e, RCX)
    op_constant(e, AND_CONSTANT, W64, RAX, ~PAGE_OFFSET)
    op_memory(e, CMP, W64, RAX, RCX, NO_INDEX, tag_offset(kind))
    cold_jump(cold, jump_if(e, IF_NOT_EQUAL, NULL))
    op_memory(e, MOV, W64, RCX, RCX, NO_INDEX, <int32_t><intptr_t>&(<TlbEntry*>NULL).addend)
    cold.found = here(e)
    return base


cdef int test_windows(Compilation* t, Uop* uop, int kind, uint32_t bytes) noexcept nogil:
    """A StoreWindow knows of short accesses only, but is in one piece: then both ends are asked for."""
    cdef int base = read_slot(t, uop.rs1, RDX)
    cdef int32_t span = 1 << (STORE_SPANS - 1 if kind == WRITE else LOAD_SPANS - 1)
    cdef Reach reach = Reach(0, min(<int32_t>bytes, span))
    test_window(t, uop, kind, base, &reach).alone = True
    if <int32_t>bytes > span:
        reach = Reach(<int32_t>bytes - span, <int32_t>bytes)
        test_window(t, uop, kind, base, &reach).alone = True
    op_memory(&t.e, MOV, W64, RCX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).window_addend))
    return base


cdef int find_memory(Compilation* t, Block* part, Uop* uop, int kind, uint32_t bytes) noexcept nogil:
    if t.windows and uop.rs1 != t.jit.front_end.zero and not part.outside_window and not (
        kind == WRITE and part.beside_code
    ):
        return test_windows(t, uop, kind, bytes)
    return test_page_of(t, uop, kind, bytes)


# --- All elements ----------------------------------------------------------------------------------------------------

cdef void move_bytes(Compilation* t, const VectorUop* v, int base) noexcept nogil:
    """Between the base register with what rcx has, and d. By the general register what is less than a part."""
    cdef Emitter* e = &t.e
    cdef int32_t at = 0, left = <int32_t>v.bytes, place
    cdef int wide, load, store, size
    cdef bint to_memory = stores(v)
    while left:
        place = v.d + at
        if left >= 16:
            wide = YMM if left >= 32 else 0
            size = 32 if wide else 16
            if to_memory:
                load_part(t, XMM0, place, wide)
                vex_memory(e, VMOVDQU_TO | wide, WIG, XMM0, NO_SOURCE, base, RCX, at)
            else:
                vex_memory(e, VMOVDQU | wide, WIG, XMM0, NO_SOURCE, base, RCX, at)
                store_part(t, XMM0, place, wide)
        else:
            size = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
            load = MOV if size >= 4 else MOVZX16 if size == 2 else MOVZX8
            store = MOV_TO if size >= 4 else MOV16_TO if size == 2 else MOV8_TO
            if to_memory:
                op_memory(e, load, W64 if size == 8 else W32, RAX, RBP, NO_INDEX, place - BIAS)
                op_memory(e, store, W64 if size == 8 else W32, RAX, base, RCX, at)
            else:
                op_memory(e, load, W64 if size == 8 else W32, RAX, base, RCX, at)
                op_memory(e, store, W64 if size == 8 else W32, RAX, RBP, NO_INDEX, place - BIAS)
        at += size
        left -= size


cdef inline uint32_t full_bytes(const VectorUop* v) noexcept nogil:
    """Of a full access, in parts of 32."""
    return (v.room + 31) & ~31U


cdef bint emit_vector_access(Compilation* t, Block* part, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the access can be done here; then it has been emitted."""
    cdef int kind = WRITE if stores(v) else READ
    cdef Cold* cold
    cdef bint partly = t.shape_known == TYPE_OF_SHAPE and (v.kind == VECTOR_LOAD or v.kind == VECTOR_STORE)
    if t.sink_counts or not v.bytes or v.bytes > MOST_ACCESSED or uop.rs1 >= BASE_REGISTERS:
        return False
    if partly:
        cold = new_cold(t, COLD_PART, uop)
        cold.shape = t.shape
        op_constant_memory(&t.e, CMP_CONSTANT, W32, RBP, offset_of(&(<Cpu*>NULL).vector_shape), <int32_t>t.shape)
        cold_jump(cold, jump_if(&t.e, IF_NOT_EQUAL, NULL))
    move_bytes(t, v, find_memory(t, part, uop, kind, v.bytes))
    return True


# --- Fewer elements --------------------------------------------------------------------------------------------------

cdef void move_part(Compilation* t, const VectorUop* v, int xmm, bint of_source) noexcept nogil:
    """Into a register the 32 bytes of the source, or of the destination, from the one on that rcx says."""
    if of_source != stores(v):
        vex_memory(&t.e, VMOVDQU | YMM, WIG, xmm, NO_SOURCE, RDX, RCX, 0)
    else:
        vex_memory(&t.e, VMOVDQU | YMM, WIG, xmm, NO_SOURCE, RBP, RCX, v.d - BIAS)


cdef void put_part(Compilation* t, const VectorUop* v) noexcept nogil:
    """ymm0 into the destination."""
    if stores(v):
        vex_memory(&t.e, VMOVDQU_TO | YMM, WIG, XMM0, NO_SOURCE, RDX, RCX, 0)
    else:
        vex_memory(&t.e, VMOVDQU_TO | YMM, WIG, XMM0, NO_SOURCE, RBP, RCX, v.d - BIAS)


cdef void emit_part_of_access(Compilation* t, const VectorUop* v, Cold* cold) noexcept nogil:
    """Out of line: as many elements as there are. Of the last 32 bytes some stay in the destination as they are."""
    cdef Emitter* e = &t.e
    cdef Uop* uop = cold.uop
    cdef Block* part = block_of(uop)
    cdef const unsigned char* done = cold.done
    cdef unsigned char* begin
    cdef unsigned char* more
    cdef unsigned char* none
    cdef int base, first = t.cold_count, i
    t.refund, t.edges = cold.refund, cold.edges
    base = find_memory(t, part, uop, WRITE if stores(v) else READ, full_bytes(v))
    for i in range(first, t.cold_count):
        t.cold[i].done = <unsigned char*>done
    op_indexed(e, LEA, W64, RDX, base, RCX, 0, 0)
    op_memory(e, MOV, W32, RAX, RBP, NO_INDEX, offset_of(&(<Cpu*>NULL).vector_shape))
    shift_constant(e, SHR, W32, RAX, SHAPE_LENGTH_SHIFT)
    op_constant(e, AND_CONSTANT, W32, RAX, SHAPE_LENGTH_MASK)
    if v.d_size:
        shift_constant(e, SHL, W32, RAX, v.d_size)
    op(e, XOR, W32, RCX, RCX)
    begin = jump(e, NULL)
    more = here(e)
    move_part(t, v, XMM0, True)
    put_part(t, v)
    op_constant(e, ADD_CONSTANT, W32, RCX, 32)
    patch(begin, e.executable, here(e))
    op_constant(e, SUB_CONSTANT, W32, RAX, 32)
    jump_if(e, IF_NOT_BELOW, more)
    op_constant(e, ADD_CONSTANT, W32, RAX, 32)
    none = jump_if(e, IF_EQUAL, NULL)
    move_part(t, v, XMM0, True)
    move_part(t, v, XMM1, False)
    # The mask is at 32 - rax behind the constant: ones that end where the elements do.
    unary(e, NEG, W64, RAX)
    push(e, RDX)
    load_literal_address(t, RDX)
    vex_memory(e, VMOVDQU | YMM, WIG, XMM2, NO_SOURCE, RDX, RAX, 32)
    pop(e, RDX)
    vex_constant(e, VPBLENDVB | YMM, WIG, XMM0, XMM1, XMM0, XMM2 << MASK_IN_CONSTANT)
    put_part(t, v)
    patch(none, e.executable, here(e))
    jump(e, done)


cdef void load_literal_address(Compilation* t, int reg) noexcept nogil:
    """Of FIRST_ONES."""
    op_literal(&t.e, LEA, W64, reg, vector_constant(t, FIRST_ONES))


# --- Registers to registers ------------------------------------------------------------------------------------------

cdef bint emit_move_of_all(Compilation* t, const VectorUop* v) noexcept nogil:
    """Whole registers; the groups are the same, or have none in common."""
    cdef int32_t at = 0, left = <int32_t>v.bytes
    cdef int wide
    if v.bytes > MOST_ACCESSED or v.bytes & 15:
        return False
    while left:
        wide = YMM if left >= 32 else 0
        load_part(t, XMM0, v.a + at, wide)
        store_part(t, XMM0, v.d + at, wide)
        at += 32 if wide else 16
        left -= 32 if wide else 16
    return True
