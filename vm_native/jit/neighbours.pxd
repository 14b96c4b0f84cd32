# What the traces around one that is to be compiled hold. If it holds the same, control passes between them without an
# instruction for that. These are copies: to make room for the new one, others may have to go.
from vm_native.jit.state cimport Held

cdef enum:
    MAX_BEHIND = 6

cdef struct Neighbours:
    Held before             # that has led there just now; if nobody knows which, what is held everywhere
    Held behind[MAX_BEHIND]     # that its exits lead to; by way of the jump cache, what is held everywhere
    int behind_count
