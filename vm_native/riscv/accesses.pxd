# Memory for instructions that are helpers: what they access, by pages.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.machine cimport Cpu
from vm_native.memory.ram cimport PAGE_OFFSET, PAGE_SIZE, RamRegion

cdef struct Piece:          # what an operand has on one page
    uint64_t address
    uint64_t physical
    uint64_t size
    RamRegion* region       # NULL: a device or nothing

cdef struct Operand:
    int count               # of pieces: 2 if it crosses a page
    Piece[2] pieces

cdef inline void split(uint64_t address, uint64_t size, Operand* operand) noexcept nogil:
    # What of it is on which page; where that is has to be found.
    cdef uint64_t first = min(size, PAGE_SIZE - (address & PAGE_OFFSET))
    operand.count = 1 if first == size else 2
    operand.pieces[0].address, operand.pieces[0].size = address, first
    operand.pieces[1].address, operand.pieces[1].size = address + first, size - first

# A Status: of a trap cause and value are set; with RETRY a device has raised.
cdef int fault(Cpu* cpu, int access, uint64_t address) noexcept nogil
cdef int access_device(
    Cpu* cpu, bint stores, uint64_t address, uint64_t physical, uint64_t size, uint8_t* place
) noexcept nogil

# All pieces are RAM.
cdef void access_ram(Cpu* cpu, bint stores, const Operand* operand, uint8_t* place) noexcept nogil
