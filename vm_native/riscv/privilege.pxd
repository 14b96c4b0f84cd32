# Privilege: the mode word, traps, interrupts, returns from them, timers.
from libc.stdint cimport uint64_t
from vm_native.machine cimport Cpu
from vm_native.riscv.state cimport Hart

cdef uint64_t envcfg_refusal(Hart* hart, uint64_t field) noexcept nogil
cdef void update_mode(Hart* hart) noexcept nogil
cdef void satp_changed(Hart* hart) noexcept nogil
cdef void take_trap(Cpu* cpu) noexcept nogil
cdef void set_interrupts(Cpu* cpu, uint64_t bits, bint level) noexcept nogil
cdef void attend(Cpu* cpu) noexcept nogil
cdef void poll(Cpu* cpu) noexcept nogil
cdef void look_for_interrupts(Hart* hart) noexcept nogil
cdef bint runnable(Cpu* cpu) noexcept nogil
cdef uint64_t deadline_ns(Cpu* cpu) noexcept nogil
cdef void set_timer(Cpu* cpu, uint64_t ticks) noexcept nogil
cdef void timers_changed(Hart* hart) noexcept nogil
cdef void return_from_machine(Hart* hart) noexcept nogil
cdef void return_from_supervisor(Hart* hart) noexcept nogil
cdef int data_bank_of(uint64_t mode) noexcept nogil
cdef uint64_t address_space(Cpu* cpu) noexcept nogil
cdef bint uses_float(uint64_t mode) noexcept nogil
