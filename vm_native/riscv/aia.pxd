# The Advanced Interrupt Architecture at a hart: interrupt files, and registers that show them.
from libc.stdint cimport uint64_t
from vm_native.riscv.state cimport Hart

cdef uint64_t receive(Hart* hart, int file, uint64_t identity) noexcept nogil
cdef void guests_changed(Hart* hart) noexcept nogil
cdef bint mireg_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint sireg_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint vsireg_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint selection_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint mtopei_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint stopei_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint vstopei_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint aia_enabled(Hart* hart, int number, bint writes) noexcept nogil
cdef bint guest_may_select(Hart* hart, int number) noexcept nogil
cdef bint guest_may_reach(Hart* hart, int number) noexcept nogil
cdef bint guest_has_file(Hart* hart, int number) noexcept nogil
cdef bint guest_may_see_top(Hart* hart, int number) noexcept nogil
cdef bint guest_may_see_pending(Hart* hart, int number) noexcept nogil
cdef uint64_t read_mireg(Hart* hart) noexcept nogil
cdef void write_mireg(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_sireg(Hart* hart) noexcept nogil
cdef void write_sireg(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_mtopei(Hart* hart) noexcept nogil
cdef void write_mtopei(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_stopei(Hart* hart) noexcept nogil
cdef void write_stopei(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_vsireg(Hart* hart) noexcept nogil
cdef void write_vsireg(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_vstopei(Hart* hart) noexcept nogil
cdef void write_vstopei(Hart* hart, uint64_t value) noexcept nogil
cdef void write_hgeie(Hart* hart, uint64_t value) noexcept nogil
cdef uint64_t read_mtopi(Hart* hart) noexcept nogil
cdef uint64_t read_stopi(Hart* hart) noexcept nogil
cdef uint64_t read_vstopi(Hart* hart) noexcept nogil
cdef uint64_t read_mvip(Hart* hart) noexcept nogil
cdef void write_mvip(Hart* hart, uint64_t value) noexcept nogil
