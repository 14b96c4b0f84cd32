# Operations on groups of elements by the host's instructions.
from vm_native.arithmetic.vector.groups cimport GroupOperation

cdef GroupOperation on_host(str name, GroupOperation software) except NULL
