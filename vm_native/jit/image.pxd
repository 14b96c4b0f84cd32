# What stands in the image of a layer, in this order: a Header, StoredPages, StoredBlocks, Uops of all blocks, the
# addresses that the exits of all traces lead to, StoredTraces, their StoredPointers, their parts (numbers of blocks),
# the UopInfos of all blocks, and the code.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.jit.state cimport Switches
from vm_native.memory.ram cimport PAGE_SIZE

cdef enum:
    STUB_ADDRESSES = 96         # at least as many as Stubs has
    NO_ENTRY = 0xFFFFFFFF
    IS_EXIT = 0x80000000        # in StoredPointer.target: the number of an exit, not a part << PART_SHIFT | cell
    PART_SHIFT = 16

cdef struct Header:
    uint64_t stubs[STUB_ADDRESSES]      # offsets into code memory: they must be the same here
    Switches switches
    uint64_t code_end           # offset
    uint64_t code_bytes         # of all traces: others that were between them are left out
    uint64_t pages              # how many there are
    uint64_t blocks
    uint64_t heads              # of these
    uint64_t cells
    uint64_t traces
    uint64_t parts
    uint64_t exits
    uint64_t pointers

cdef struct StoredPage:
    uint64_t physical
    uint8_t content[PAGE_SIZE]

cdef struct StoredBlock:
    uint64_t pc
    uint64_t mode
    uint64_t physical
    uint64_t exits[2]           # their addresses
    uint32_t page               # number
    uint32_t size
    uint32_t entry              # offset of the code of the trace that begins with it, or NO_ENTRY
    uint32_t entry_steps
    uint16_t steps
    uint16_t uop_count
    uint32_t stage

cdef struct StoredTrace:
    uint32_t start              # offset
    uint32_t size
    uint32_t ahead              # bytes in front of it
    uint16_t part_count
    uint16_t exit_count
    uint32_t pointer_count
    uint32_t unused             # 0

cdef struct StoredPointer:
    uint32_t place              # offset
    uint32_t target
