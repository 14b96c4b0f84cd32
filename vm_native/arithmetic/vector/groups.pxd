# Vector cryptography: operations on groups of elements.
from vm_native.arithmetic.vector.host_groups cimport GroupOperation

cdef GroupOperation group_operation(int number) noexcept nogil
