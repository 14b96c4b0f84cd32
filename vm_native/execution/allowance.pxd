# How much host memory the translations of all machines may take together.
from vm_native.machine cimport Machine

cdef void run_begins(Machine* machine) noexcept
cdef void run_ended(Machine* machine) noexcept
cdef bint is_idle(Machine* machine) noexcept
cdef void machine_goes(Machine* machine) noexcept
