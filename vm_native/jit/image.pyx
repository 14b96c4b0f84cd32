"""Layers of compiled code as bytes, to be run by a later process on the same host.

Jumps from trace to trace and to the stubs are relative, so each trace is kept as it is, and goes to the same distance
from the stubs, which each process makes anew. What is not relative is the address of a uop or of an exit: a trace
of a relocatable layer knows where these stand in its code, as `emit_pointer` has told it. Nothing else of the process
may be in a trace: two processes that do the same make the same image, and a test compares them.

An image holds what it was made of, too: the bytes of the pages. Whoever runs it compares them with memory first, as
with every layer. It does not say for which ISA and which build of this package it is: whoever keeps it must know.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport intptr_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport munmap
from vm_native.blocks cimport block_bytes, place_arrays
from vm_native.checks cimport static_assert
from vm_native.ir.block cimport DRAFT, MAX_BLOCK_UOPS, SECOND_CELL, Block, BlockKey, Uop, UopInfo, block_of
from vm_native.jit.compiler cimport JitCompiler
from vm_native.jit.executable cimport make_executable, map_at_once
from vm_native.jit.state cimport CodeMemory, Exit, HandedOver, Jit, Stubs, Trace
from vm_native.jit.traces cimport free_handed_over
from vm_native.jit.x86_64.stubs cimport emit_stubs
from vm_native.machine cimport MODE_MASK, CodeLayer, SharedPage
from vm_native.memory.ram cimport PAGE_MASK, PAGE_OFFSET, PAGE_SIZE
from vm_native.shared_code cimport SharedCode, new_page, open_layer, put_in

cdef enum:
    HOST_PAGE = 4096
    STUBS_AT_MOST = 64 << 10
    MOST_CODE = 1 << 30         # beyond is no image of ours


cdef extern from *:
    """
    #if defined(__x86_64__)
    #include <nmmintrin.h>
    #include <string.h>
    /* Four lanes, as each instruction waits for the one before it in its own alone. */
    __attribute__((target("sse4.2"))) static unsigned vm_checksum(const unsigned char *bytes, size_t size) {
        unsigned long long lane[4] = {1, 2, 3, 4}, word[4];
        for (; size >= sizeof(word); size -= sizeof(word), bytes += sizeof(word)) {
            memcpy(word, bytes, sizeof(word));
            for (int i = 0; i < 4; i++) lane[i] = _mm_crc32_u64(lane[i], word[i]);
        }
        for (; size; size--) lane[0] = _mm_crc32_u8((unsigned)lane[0], *bytes++);
        for (int i = 1; i < 4; i++) lane[0] = _mm_crc32_u64(lane[0], lane[i]);
        return (unsigned)lane[0];
    }
    #else       /* where nothing is compiled, either */
    static unsigned vm_checksum(const unsigned char *bytes, size_t size) { return 0; }
    #endif
    """
    uint32_t checksum_of "vm_checksum"(const uint8_t* bytes, size_t size) noexcept nogil


def checksum(const uint8_t[::1] image not None):
    """A CRC-32C in four lanes, of words in turn: a few milliseconds for a large image."""
    return checksum_of(&image[0], len(image)) if len(image) else 0


# --- Both ways --------------------------------------------------------------------------------------------------------

cdef struct Sections:           # of an image
    Header* header
    StoredPage* pages
    StoredBlock* blocks
    Uop* uops
    UopInfo* info
    StoredTrace* traces
    uint32_t* parts
    uint64_t* exits
    StoredPointer* pointers
    uint8_t* code


cdef uint64_t lay_out(Sections* at, uint8_t* image, const Header* header) noexcept nogil:
    """Where what stands in an image that has this header. Returns the size of all."""
    at.header = <Header*>image
    at.pages = <StoredPage*>(at.header + 1)
    at.blocks = <StoredBlock*>(at.pages + header.pages)
    at.uops = <Uop*>(at.blocks + header.blocks)
    at.exits = <uint64_t*>(at.uops + header.cells)
    at.traces = <StoredTrace*>(at.exits + header.exits)
    at.pointers = <StoredPointer*>(at.traces + header.traces)
    at.parts = <uint32_t*>(at.pointers + header.pointers)
    at.info = <UopInfo*>(at.parts + header.parts)
    at.code = <uint8_t*>(at.info + header.cells)
    return at.code + header.code_bytes - image


cdef inline uint64_t stubs_end(const Header* header) noexcept nogil:
    return header.stubs[(<intptr_t>&(<Stubs*>NULL).end) // sizeof(uint8_t*)]


cdef void describe_stubs(const Stubs* stubs, const CodeMemory* memory, uint64_t* offsets) noexcept nogil:
    """Where they stand in code memory, as offsets; 0 for one that was not written."""
    cdef const uint8_t** addresses = <const uint8_t**>stubs
    cdef const uint8_t* executable = memory.writable + memory.executable
    cdef int i
    static_assert(sizeof(Stubs) <= STUB_ADDRESSES * sizeof(uint8_t*))
    memset(offsets, 0, STUB_ADDRESSES * sizeof(uint64_t))
    for i in range(sizeof(Stubs) // sizeof(uint8_t*)):
        if addresses[i] != NULL:
            offsets[i] = addresses[i] - executable
    offsets[(<intptr_t>&(<Stubs*>NULL).end) // sizeof(uint8_t*)] = stubs.end - memory.writable


# --- To bytes ---------------------------------------------------------------------------------------------------------

cdef struct Choice:             # of what goes into an image
    bint everything
    uint64_t privilege_bits     # of a mode


cdef inline bint is_chosen(const Choice* choice, const BlockKey* key) noexcept nogil:
    """Not what the least privileged run somewhere else than where it stands in physical memory."""
    return choice.everything or key.mode & choice.privilege_bits != 0 or key.pc == key.physical


cdef bint has_chosen(const Choice* choice, const SharedPage* page) noexcept nogil:
    cdef const Block* head = page.heads
    while head != NULL and not is_chosen(choice, &head.key):
        head = head.next_in_page[0]
    return head != NULL


def image_of(SharedCode shared not None, JitCompiler compiler not None, bint processes=True):
    """The image of a layer that this compiler's machine has handed over; None if its traces are not relocatable, or
    none is chosen. Without `processes` it has nothing of what an operating system runs in address spaces.
    """
    cdef CodeLayer* layer = &shared.layer
    cdef HandedOver* handed = <HandedOver*>layer.compiled
    cdef Choice choice = Choice(processes, compiler.jit.front_end.privilege_bits)
    cdef Header header
    cdef Sections at
    if handed == NULL or not handed.relocatable or not measure(layer, handed, &choice, &header):
        return None
    image = PyBytes_FromStringAndSize(NULL, lay_out(&at, NULL, &header))
    lay_out(&at, <uint8_t*>PyBytes_AS_STRING(image), &header)
    at.header[0] = header
    numbers = write_blocks(layer, handed, &choice, &at, write_pages(layer, &choice, &at))
    write_traces(handed, &choice, &at, numbers)
    return image


cdef bint measure(
    const CodeLayer* layer, const HandedOver* handed, const Choice* choice, Header* header
) noexcept nogil:
    """False if a trace does not know its pointers, or there is none."""
    cdef const uint8_t* executable = handed.memory.writable + handed.memory.executable
    cdef const Trace* trace = handed.traces
    cdef const Block* block = layer.blocks
    cdef int i
    memset(header, 0, sizeof(Header))
    describe_stubs(&handed.stubs, &handed.memory, header.stubs)
    header.switches = handed.switches
    for i in range(layer.page_count):
        header.pages += has_chosen(choice, &layer.pages[i])
    while trace != NULL:
        if is_chosen(choice, &trace.key):
            if trace.pointer_count < 0:
                return False
            header.code_end = max(header.code_end, <uint64_t>(trace.start + trace.size - executable))
            header.code_bytes += trace.ahead + trace.size
            header.traces += 1
            header.parts += trace.part_count
            header.exits += trace.exit_count
            header.pointers += trace.pointer_count
        trace = trace.older
    while block != NULL:
        if is_chosen(choice, &block.key):
            header.blocks += 1
            header.heads += block.entry != NULL
            header.cells += block.uop_count
        block = block.older
    return header.traces > 0


cdef dict write_pages(const CodeLayer* layer, const Choice* choice, Sections* at):
    """Returns their numbers in the image, by those in the layer."""
    cdef int i
    numbers = {}
    for i in range(layer.page_count):
        if has_chosen(choice, &layer.pages[i]):
            at.pages[len(numbers)].physical = layer.pages[i].physical
            memcpy(at.pages[len(numbers)].content, layer.pages[i].content, PAGE_SIZE)
            numbers[i] = len(numbers)
    return numbers


cdef dict write_blocks(
    const CodeLayer* layer, const HandedOver* handed, const Choice* choice, Sections* at, dict pages
):
    """Returns their numbers, by their addresses."""
    cdef const uint8_t* executable = handed.memory.writable + handed.memory.executable
    cdef const Block* block = layer.blocks
    cdef StoredBlock* stored = at.blocks
    cdef Uop* uops = at.uops
    cdef UopInfo* info = at.info
    cdef int i
    numbers = {}
    while block != NULL:
        if not is_chosen(choice, &block.key):
            block = block.older
            continue
        numbers[<uint64_t>block] = stored - at.blocks
        stored.pc, stored.mode, stored.physical = block.key.pc, block.key.mode, block.key.physical
        stored.exits[0], stored.exits[1] = block.exits[0].pc, block.exits[1].pc
        stored.page = pages[<SharedPage*>block.shared_page - layer.pages]
        stored.size, stored.steps, stored.uop_count = block.size, block.steps, block.uop_count
        stored.entry, stored.entry_steps, stored.stage = NO_ENTRY, block.entry_steps, block.stage
        if block.entry != NULL:
            stored.entry = <uint32_t>(<uint8_t*>block.entry - executable)
        memcpy(uops, block.uops, block.uop_count * sizeof(Uop))
        memcpy(info, block.info, block.uop_count * sizeof(UopInfo))
        for i in range(block.uop_count):
            if info[i].opcode != SECOND_CELL:       # there it is an operand, else of this process
                uops[i].handler = NULL
        uops += block.uop_count
        info += block.uop_count
        stored += 1
        block = block.older
    return numbers


cdef void write_traces(const HandedOver* handed, const Choice* choice, Sections* at, dict numbers):
    cdef const uint8_t* executable = handed.memory.writable + handed.memory.executable
    cdef const Trace* trace = handed.traces
    cdef StoredTrace* stored = at.traces
    cdef uint32_t* parts = at.parts
    cdef uint64_t* exits = at.exits
    cdef StoredPointer* pointers = at.pointers
    cdef uint8_t* code = at.code
    cdef int i
    while trace != NULL:
        if not is_chosen(choice, &trace.key):
            trace = trace.older
            continue
        stored.start, stored.size = <uint32_t>(trace.start - executable), trace.size
        stored.ahead, stored.unused = trace.ahead, 0
        memcpy(code, trace.start - trace.ahead, trace.ahead + trace.size)
        stored.part_count, stored.exit_count = trace.part_count, trace.exit_count
        stored.pointer_count = trace.pointer_count
        for i in range(trace.part_count):
            parts[i] = numbers[<uint64_t>trace.parts[i]]
        for i in range(trace.exit_count):
            exits[i] = trace.exits[i].pc
        for i in range(trace.pointer_count):
            pointers[i].place = stored.start + trace.pointers[i]
            memset(code + trace.ahead + trace.pointers[i], 0, sizeof(void*))
            pointers[i].target = target_of(trace, (<void**>(trace.start + trace.pointers[i]))[0])
        code += trace.ahead + trace.size
        parts += trace.part_count
        exits += trace.exit_count
        pointers += trace.pointer_count
        stored += 1
        trace = trace.older


cdef uint32_t target_of(const Trace* trace, void* address) noexcept nogil:
    """As StoredPointer has it."""
    cdef Exit* exit = <Exit*>address
    cdef Block* block
    cdef int i
    if trace.exits <= exit < trace.exits + trace.exit_count:
        return IS_EXIT | <uint32_t>(exit - trace.exits)
    block = block_of(<Uop*>address)
    for i in range(trace.part_count - 1):
        if trace.parts[i] == block:
            return i << PART_SHIFT | (<Uop*>address).cell
    return trace.part_count - 1 << PART_SHIFT | (<Uop*>address).cell


# --- From bytes -------------------------------------------------------------------------------------------------------

def layer_of(const uint8_t[::1] image not None, JitCompiler compiler not None):
    """The layer of an image that a compiler like this one has made, as SharedCode. It holds nothing of the image, which
    stands at a multiple of 8.

    Raises ValueError for an image of another compiler, or none; MemoryError.
    """
    cdef SharedCode shared
    cdef Sections at
    cdef uint64_t size = len(image)
    cdef Header* header
    if size < sizeof(Header):
        raise ValueError("it is cut off, or not an image")
    header = <Header*>&image[0]
    if not is_sound(header, size) or lay_out(&at, <uint8_t*>header, header) != size:
        raise ValueError("it is cut off, or not an image")
    if memcmp(&header.switches, &compiler.jit.switches, sizeof(header.switches)) != 0:
        raise ValueError("other parts of the compiler were on")
    shared = SharedCode()
    shared.layer.compiled = prepare(&compiler.jit, &at)
    shared.layer.free_compiled = free_handed_over
    if shared.layer.compiled == NULL or not open_layer(&shared.layer, header.pages, header.heads):
        raise MemoryError("no room for compiled code")
    check_stubs(<HandedOver*>shared.layer.compiled, header)
    if not read_layer(&shared.layer, &at):
        raise ValueError("its numbers do not fit each other")
    if not make_executable(&(<HandedOver*>shared.layer.compiled).memory):
        raise MemoryError("the host refuses executable memory")
    return shared


cdef bint is_sound(const Header* header, uint64_t size) noexcept nogil:
    """Whether each number could be one of so many bytes: no sum of them overflows then."""
    return (
        header.pages <= size and header.blocks <= size and header.heads <= header.blocks and header.cells <= size
        and header.traces <= size and header.parts <= size and header.exits <= size and header.pointers <= size
        and header.code_bytes <= size and stubs_end(header) <= header.code_end <= MOST_CODE
    )


cdef HandedOver* prepare(const Jit* compiler, Sections* at) noexcept nogil:
    """Code memory with stubs as this compiler writes them, and room for the code behind. NULL without memory."""
    cdef HandedOver* handed = <HandedOver*>calloc(1, sizeof(HandedOver))
    cdef Jit* jit = <Jit*>malloc(sizeof(Jit))
    cdef uint64_t size = room_for_code(at.header.code_end)
    cdef void* memory = map_at_once(size, True)
    if handed == NULL or jit == NULL or memory == NULL:
        free(handed)
        free(jit)
        if memory != NULL:
            munmap(memory, size)
        return NULL
    jit[0] = compiler[0]
    jit.memory = CodeMemory(<uint8_t*>memory, 0, size)
    memset(&jit.stubs, 0, sizeof(Stubs))
    emit_stubs(jit)
    handed[0] = HandedOver(jit.memory, jit.stubs, jit.switches, False, False, True, NULL)
    free(jit)
    return handed


cdef inline uint64_t room_for_code(uint64_t code_end) noexcept nogil:
    """In whole pages; stubs that are not as long as those of the image have room, too."""
    return (code_end // HOST_PAGE + 1) * HOST_PAGE + STUBS_AT_MOST


cdef check_stubs(const HandedOver* handed, const Header* header):
    """Raises ValueError."""
    cdef uint64_t offsets[STUB_ADDRESSES]
    describe_stubs(&handed.stubs, &handed.memory, offsets)
    if memcmp(offsets, header.stubs, sizeof(offsets)) != 0:
        raise ValueError("what all traces share stands elsewhere here")


cdef bint read_layer(CodeLayer* layer, Sections* at) noexcept nogil:
    """False for what cannot be, or without memory."""
    cdef HandedOver* handed = <HandedOver*>layer.compiled
    cdef Block** blocks = <Block**>malloc((at.header.blocks + 1) * sizeof(Block*))
    cdef uint8_t* arena = open_arena(layer, at)
    cdef bint done = (
        blocks != NULL and arena != NULL and read_blocks(layer, handed, at, blocks, &arena)
        and read_traces(handed, at, blocks, &arena)
    )
    free(blocks)
    layer.bytes += at.header.code_end - stubs_end(at.header) + layer.arena_bytes
    return done


cdef uint8_t* open_arena(CodeLayer* layer, Sections* at) noexcept nogil:
    """Room for all blocks, then for traces and addresses of exits; zeroes. NULL if the host has none."""
    cdef uint64_t i, left = at.header.cells
    cdef uint64_t size = at.header.traces * sizeof(Trace) + at.header.exits * sizeof(uint64_t)
    for i in range(at.header.blocks):
        if at.blocks[i].uop_count > min(left, <uint64_t>MAX_BLOCK_UOPS):
            return NULL
        left -= at.blocks[i].uop_count
        size += block_bytes(at.blocks[i].uop_count)
    layer.arena, layer.arena_bytes = map_at_once(size, False), size
    return <uint8_t*>layer.arena


cdef inline void* take(uint8_t** arena, uint64_t size) noexcept nogil:
    arena[0] += size
    return arena[0] - size


cdef bint read_blocks(
    CodeLayer* layer, HandedOver* handed, Sections* at, Block** blocks, uint8_t** arena
) noexcept nogil:
    """And pages. False for what cannot be."""
    cdef uint8_t* executable = handed.memory.writable + handed.memory.executable
    cdef const StoredBlock* stored
    cdef Uop* uops = at.uops
    cdef UopInfo* info = at.info
    cdef Block* block
    cdef uint64_t i
    for i in range(at.header.pages):
        new_page(layer, at.pages[i].physical, at.pages[i].content)
    for i in range(at.header.blocks):
        stored = &at.blocks[i]
        if (
            stored.page >= at.header.pages or stored.mode > MODE_MASK
            or stored.physical & PAGE_MASK != at.pages[stored.page].physical
            or (stored.physical & PAGE_OFFSET) + stored.size > PAGE_SIZE
            or stored.entry != NO_ENTRY and not is_code(at.header, stored.entry)
        ):
            return False
        block = blocks[i] = <Block*>take(arena, block_bytes(stored.uop_count))
        place_arrays(block, stored.uop_count)
        block.key = BlockKey(stored.pc, stored.mode, stored.physical)
        block.size, block.steps, block.uop_count = stored.size, stored.steps, stored.uop_count
        block.exits[0].pc, block.exits[1].pc = stored.exits[0], stored.exits[1]
        block.cached = True
        block.entry_steps, block.stage = stored.entry_steps, <uint8_t>stored.stage
        handed.has_drafts = handed.has_drafts or block.stage == DRAFT
        if stored.entry != NO_ENTRY:
            block.entry = executable + stored.entry
        memcpy(block.uops, uops, stored.uop_count * sizeof(Uop))
        memcpy(block.info, info, stored.uop_count * sizeof(UopInfo))
        put_in(layer, &layer.pages[stored.page], block)
        uops += stored.uop_count
        info += stored.uop_count
    return True


cdef inline bint is_code(const Header* header, uint64_t offset) noexcept nogil:
    return stubs_end(header) <= offset < header.code_end


cdef bint read_traces(HandedOver* handed, Sections* at, Block** blocks, uint8_t** arena) noexcept nogil:
    """False for what cannot be."""
    cdef uint8_t* executable = handed.memory.writable + handed.memory.executable
    cdef const StoredTrace* stored
    cdef const uint32_t* parts = at.parts
    cdef const StoredPointer* pointers = at.pointers
    cdef Trace* traces = <Trace*>take(arena, at.header.traces * sizeof(Trace))
    cdef uint64_t* exits = <uint64_t*>take(arena, at.header.exits * sizeof(uint64_t))
    cdef const uint8_t* code = at.code
    cdef uint64_t code_left = at.header.code_bytes, bytes
    cdef uint64_t parts_left = at.header.parts, exits_left = at.header.exits, pointers_left = at.header.pointers
    cdef uint64_t i, k
    memcpy(exits, at.exits, at.header.exits * sizeof(uint64_t))
    for i in range(at.header.traces):
        stored = &at.traces[i]
        bytes = <uint64_t>stored.ahead + stored.size
        if (
            bytes > code_left or stored.start < stubs_end(at.header) + stored.ahead
            or not 0 < stored.part_count <= parts_left or stored.exit_count > exits_left
            or stored.pointer_count > pointers_left or not is_code(at.header, stored.start)
            or stored.size > at.header.code_end - stored.start
        ):
            return False
        for k in range(stored.part_count):
            if parts[k] >= at.header.blocks:
                return False
        traces[i].key = blocks[parts[0]].key
        traces[i].start, traces[i].size, traces[i].ahead = executable + stored.start, stored.size, stored.ahead
        memcpy(handed.memory.writable + stored.start - stored.ahead, code, bytes)
        traces[i].older = handed.traces
        handed.traces = &traces[i]
        if not relocate(handed, at.header, stored, blocks, parts, exits, pointers):
            return False
        parts += stored.part_count
        exits += stored.exit_count
        pointers += stored.pointer_count
        code += bytes
        code_left -= bytes
        parts_left -= stored.part_count
        exits_left -= stored.exit_count
        pointers_left -= stored.pointer_count
    return True


cdef bint relocate(
    HandedOver* handed, const Header* header, const StoredTrace* trace, Block** blocks, const uint32_t* parts,
    const uint64_t* exits, const StoredPointer* pointers
) noexcept nogil:
    """Write the addresses that one trace holds. Of an exit that is not linked, the stubs want the pc alone."""
    cdef uint32_t i, target, part, cell, place
    cdef const void* address
    static_assert(<intptr_t>&(<Exit*>NULL).pc == 0)
    for i in range(trace.pointer_count):
        target, place = pointers[i].target, pointers[i].place
        part, cell = target >> PART_SHIFT, target & 0xFFFF
        if target & IS_EXIT and target & ~IS_EXIT < trace.exit_count:
            address = &exits[target & ~IS_EXIT]
        elif part < trace.part_count and cell < blocks[parts[part]].uop_count:
            address = &blocks[parts[part]].uops[cell]
        else:
            return False
        if not is_code(header, place) or header.code_end - place < sizeof(void*):
            return False
        (<const void**>(handed.memory.writable + place))[0] = address
    return True
