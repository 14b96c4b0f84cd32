# Recorders as Python has them.
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.machine cimport Recorder

cdef class NativeRecorder:
    cdef Recorder recorder
    cdef NativeMachine machine      # NULL's owner: keeps alive what the recorder is in; None: it is in none
    cdef size_t room_bytes
    cdef Py_ssize_t shape[1]
    cdef Py_ssize_t strides[1]
    cdef int views                  # of the buffer, that somebody has
