# The rare instructions: helpers that uops call.
from vm_native.machine cimport Helper

cdef enum:
    MAX_HELPERS = 32

cdef Helper helpers[MAX_HELPERS]
