# One element between memory and a register of vectors.
from libc.stdint cimport uint8_t, uint64_t
from vm_native.machine cimport Cpu

# `size` is log2 of its bytes. Returns a Status: if it is TRAP, cause and value are set; with RETRY a device has raised.
cdef int access_element(Cpu* cpu, bint stores, uint64_t address, int size, uint8_t* place) noexcept nogil
