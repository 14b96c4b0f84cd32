# The recorders of a machine.
from vm_native.machine cimport Machine, RecordKind, Recorder

cdef enum:
    SLACK = 64              # records that fit when a buffer counts as full: the run stops behind the instruction

cdef int record_size(RecordKind kind) noexcept nogil
cdef int add_recorder(Machine* machine, Recorder* recorder) except -1
cdef int forget_recorder(Machine* machine, Recorder* recorder) noexcept nogil
cdef void remove_recorder(Machine* machine, Recorder* recorder) noexcept nogil
cdef void update_instruments(Machine* machine) noexcept nogil
