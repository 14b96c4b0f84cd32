"""Vector loads and stores of elements that follow each other, and of whole registers.

One test is for the whole access, as it is for those of scalars: whether it lies in a window, or in a page that the TLB
has. Where it does not, what is out of line may find the page after all; else the interpreter's function does it,
element by element. Where there may be fewer elements than registers have room for, the code for that is out of line,
too: its test is that of a full access, so that it may read what stands behind the last element, and write it back.
"""
from libc.stdint cimport int32_t, intptr_t, uint32_t
from vm_native.ir.block cimport Block, Uop, block_of
from vm_native.ir.vectors cimport VECTOR_LOAD, VECTOR_STORE, VECTOR_STORE_ALL, VectorUop
from vm_native.jit.x86_64.access cimport announce_all
from vm_native.jit.x86_64.assembler cimport *
from vm_native.jit.x86_64.avx2 cimport *
from vm_native.jit.x86_64.avx512 cimport *
from vm_native.jit.x86_64.compilation cimport (
    ANY_ALIGNMENT, BIAS, COLD_ACCESS, TYPE_OF_SHAPE, Cold, Compilation, Reach, cold_jump, load_tlb_entry,
    new_cold, offset_of, read_slot, tag_offset,
)
from vm_native.jit.x86_64.vector_operands cimport (
    MOVES, Selection, bytes_of, end_selection, read_part, select, store_part, store_selected, target_of_part, width_at,
)
from vm_native.jit.x86_64.vector_registers cimport let_memory_have, reload_residents, take_from_memory
from vm_native.jit.x86_64.vector_shapes cimport leave_room_for_part, load_length
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
    cdef int wide, size
    while left >= 16:
        wide = width_at(t, left)
        move_part(t, v, base, RCX, at, wide)
        at += bytes_of(wide)
        left -= bytes_of(wide)
    while left:
        size = 8 if left >= 8 else 4 if left >= 4 else 2 if left >= 2 else 1
        place = v.d + at
        let_memory_have(t, place, size)
        if stores(v):
            move_few(e, size, RBP, NO_INDEX, place - BIAS, base, RCX, at)
        else:
            move_few(e, size, base, RCX, at, RBP, NO_INDEX, place - BIAS)
            take_from_memory(t, place, size)
        at += size
        left -= size


cdef void move_part(Compilation* t, const VectorUop* v, int base, int index, int32_t at, int wide) noexcept nogil:
    """Nothing is read from memory, or written there, of elements that do not count."""
    cdef Emitter* e = &t.e
    cdef Selection selection
    cdef int opcode, xmm
    select(t, v, at, wide, v.d_size, &selection)
    opcode = (MOVES[v.d_size] | under(selection.mask) if selection.mask else VMOVDQU) | wide
    if stores(v):
        xmm = read_part(t, XMM0, v.d + at, wide)
        vex_memory(e, opcode | TO_MEMORY, WIG, xmm, NO_SOURCE, base, index, at)
    elif selection.mask:
        vex_memory(e, opcode | ZEROING, WIG, XMM0, NO_SOURCE, base, index, at)
        store_selected(t, selection.mask, XMM0, v.d + at, wide, v.d_size)
    else:
        xmm = target_of_part(t, v, at, wide)
        vex_memory(e, opcode, WIG, xmm, NO_SOURCE, base, index, at)
        store_part(t, xmm, v.d + at, wide)
    end_selection(t, &selection)


cdef void move_few(
    Emitter* e, int size, int source, int source_index, int32_t source_disp, int to, int to_index, int32_t to_disp
) noexcept nogil:
    """1, 2, 4 or 8 bytes of memory; rax is lost."""
    cdef int load = MOV if size >= 4 else MOVZX16 if size == 2 else MOVZX8
    cdef int store = MOV_TO if size >= 4 else MOV16_TO if size == 2 else MOV8_TO
    op_memory(e, load, W64 if size == 8 else W32, RAX, source, source_index, source_disp)
    op_memory(e, store, W64 if size == 8 else W32, RAX, to, to_index, to_disp)


cdef inline uint32_t full_bytes(const VectorUop* v) noexcept nogil:
    """Of a full access, in parts of 32."""
    return (v.room + 31) & ~31U


cdef bint emit_vector_access(Compilation* t, Block* part, Uop* uop, const VectorUop* v) noexcept nogil:
    """Whether the access can be done here; then it has been emitted."""
    cdef int kind = WRITE if stores(v) else READ
    cdef int base
    cdef bint partly = t.shape_known == TYPE_OF_SHAPE and (v.kind == VECTOR_LOAD or v.kind == VECTOR_STORE)
    if t.sink_counts or not v.bytes or v.bytes > MOST_ACCESSED or uop.rs1 >= BASE_REGISTERS:
        return False
    if v.masked and (not t.avx512 or v.room & 15 or v.bytes & 15):
        return False
    if partly:
        leave_room_for_part(t, uop)
    base = find_memory(t, part, uop, kind, v.bytes)
    if kind == WRITE:
        announce_all(t, base, 0, v.bytes)
    move_bytes(t, v, base)
    return True


# --- Fewer elements --------------------------------------------------------------------------------------------------

cdef void emit_part_of_access(Compilation* t, const VectorUop* v, Cold* cold) noexcept nogil:
    """Out of line: as many elements as there are."""
    cdef Uop* uop = cold.uop
    cdef const unsigned char* done = cold.done
    cdef uint32_t missing = cold.valid_when_done & ~cold.valid
    cdef int base, first = t.cold_count, i
    t.refund, t.edges = cold.refund, cold.edges
    base = find_memory(t, block_of(uop), uop, WRITE if stores(v) else READ, full_bytes(v))
    for i in range(first, t.cold_count):
        t.cold[i].done = <unsigned char*>done
    if stores(v):
        announce_all(t, base, 0, full_bytes(v))
    if t.avx512 and not v.room & 15:
        t.partly = True
        op_indexed(&t.e, LEA, W64, RCX, base, RCX, 0, 0)
        move_selected(t, v)
        t.partly = False
    else:
        let_memory_have(t, v.d, full_bytes(v))
        move_first_bytes(t, v, base)
        take_from_memory(t, v.d, full_bytes(v))
    reload_residents(t, missing)
    jump(&t.e, done)


cdef void move_selected(Compilation* t, const VectorUop* v) noexcept nogil:
    """Between the memory that rcx points to, and d."""
    cdef int32_t at = 0
    cdef int wide
    while at < <int32_t>v.room:
        wide = width_at(t, v.room - at)
        move_part(t, v, RCX, NO_INDEX, at, wide)
        at += bytes_of(wide)


cdef void move_first_bytes(Compilation* t, const VectorUop* v, int base) noexcept nogil:
    """The same without mask registers. Of the last 32 bytes of d some stay as they are; of memory nothing is written
    but what is to be: others may be at work beside it.
    """
    cdef Emitter* e = &t.e
    cdef unsigned char* begin
    cdef unsigned char* more
    cdef unsigned char* none
    op_indexed(e, LEA, W64, RDX, base, RCX, 0, 0)
    load_length(t, v.d_size)
    op(e, XOR, W32, RCX, RCX)
    begin = jump(e, NULL)
    more = here(e)
    move_32(t, v, XMM0, True)
    put_32(t, v)
    op_constant(e, ADD_CONSTANT, W32, RCX, 32)
    patch(begin, e.executable, here(e))
    op_constant(e, SUB_CONSTANT, W32, RAX, 32)
    jump_if(e, IF_NOT_BELOW, more)
    op_constant(e, ADD_CONSTANT, W32, RAX, 32)
    none = jump_if(e, IF_EQUAL, NULL)
    if stores(v):
        store_last_bytes(t, v)
    else:
        load_last_bytes(t, v)
    patch(none, e.executable, here(e))


cdef void load_last_bytes(Compilation* t, const VectorUop* v) noexcept nogil:
    """As many as eax says, less than 32."""
    cdef Emitter* e = &t.e
    move_32(t, v, XMM0, True)
    move_32(t, v, XMM1, False)
    # The mask begins rax bytes in front of THEN_ZEROES: ones that end where the elements do.
    unary(e, NEG, W64, RAX)
    push(e, RDX)
    load_literal_address(t, RDX)
    vex_memory(e, VMOVDQU | YMM, WIG, XMM2, NO_SOURCE, RDX, RAX, CONSTANT_BYTES)
    pop(e, RDX)
    vex_constant(e, VPBLENDVB | YMM, WIG, XMM0, XMM1, XMM0, XMM2 << MASK_IN_CONSTANT)
    put_32(t, v)


cdef void store_last_bytes(Compilation* t, const VectorUop* v) noexcept nogil:
    """The same to memory: by each bit of their number so many."""
    cdef Emitter* e = &t.e
    cdef unsigned char* none
    cdef int size = 16
    while size:
        op_constant(e, SUB_CONSTANT, W32, RAX, size)
        none = jump_if(e, IF_BELOW, NULL)
        if size == 16:
            vex_memory(e, VMOVDQU, WIG, XMM0, NO_SOURCE, RBP, RCX, v.d - BIAS)
            vex_memory(e, VMOVDQU_TO, WIG, XMM0, NO_SOURCE, RDX, RCX, 0)
        else:
            push(e, RAX)
            move_few(e, size, RBP, RCX, v.d - BIAS, RDX, RCX, 0)
            pop(e, RAX)
        op_constant(e, ADD_CONSTANT, W32, RCX, size)
        op_constant(e, SUB_CONSTANT, W32, RAX, size)
        patch(none, e.executable, here(e))
        op_constant(e, ADD_CONSTANT, W32, RAX, size)
        size >>= 1


cdef void move_32(Compilation* t, const VectorUop* v, int xmm, bint of_source) noexcept nogil:
    """Into a register the 32 bytes of the source, or of the destination, from the one on that rcx says."""
    if of_source != stores(v):
        vex_memory(&t.e, VMOVDQU | YMM, WIG, xmm, NO_SOURCE, RDX, RCX, 0)
    else:
        vex_memory(&t.e, VMOVDQU | YMM, WIG, xmm, NO_SOURCE, RBP, RCX, v.d - BIAS)


cdef void put_32(Compilation* t, const VectorUop* v) noexcept nogil:
    """ymm0 into the destination."""
    if stores(v):
        vex_memory(&t.e, VMOVDQU_TO | YMM, WIG, XMM0, NO_SOURCE, RDX, RCX, 0)
    else:
        vex_memory(&t.e, VMOVDQU_TO | YMM, WIG, XMM0, NO_SOURCE, RBP, RCX, v.d - BIAS)


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
        wide = width_at(t, left)
        store_part(t, read_part(t, XMM0, v.a + at, wide), v.d + at, wide)
        at += bytes_of(wide)
        left -= bytes_of(wide)
    return True
