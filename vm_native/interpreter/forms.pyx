"""The dispatch forms that were built, by name."""
from vm_native.interpreter cimport switch

cdef DispatchForm switch_form
switch_form.run_block = switch.run_block
switch_form.handler_of = switch.handler_of
switch_form.pairs = &switch.pairs

cdef DispatchForm threaded_form
include "threaded_form.pxi"


def forms():
    """Names of the forms to run guests on, best first."""
    return ("threaded", "switch") if threaded_form.run_block != NULL else ("switch",)


cdef const DispatchForm* form_named(str name) except NULL:
    if name not in forms():
        raise ValueError(f"interpreter form {name!r} is not built here; there is {', '.join(forms())}")
    return &threaded_form if name == "threaded" else &switch_form
