"""How much host memory the translations of all machines of this process may take together.

A machine of which hundreds are forked runs a little now and then. When all of them hold more than that, those that
have not run for the longest give their translations up, and translate anew when they run again. One that runs, or has
just done so, keeps its own whatever there is, or a few that take turns would translate for ever: BlockCache.limit and
the code memory bound what those hold. What several machines run (shared_code.pyx) is nobody's own, and is not counted:
it goes with the last machine or snapshot that has it.

Machines run in threads, but begin and end that with the GIL held, and that is when anything here happens.
"""
from libc.stdint cimport uint64_t
from posix.types cimport pid_t
from posix.unistd cimport getpid
from vm_native.blocks cimport forget_translations
from vm_native.clock cimport host_ns
from vm_native.machine cimport IdleMachine

cdef enum:
    ALLOWANCE = 256 << 20
    REST_NS = 500000000

cdef struct Idle:           # the machines that hold translations and do not run
    Machine* latest         # that has run
    Machine* earliest
    uint64_t bytes          # that all machines held when their last runs ended
    uint64_t allowance
    uint64_t rest_ns        # for so long after a run a machine keeps what it holds
    pid_t process           # of which this is true: code memory is shared with a process that forked

cdef Idle idle
idle.allowance = ALLOWANCE
idle.rest_ns = REST_NS


def allow(uint64_t size=ALLOWANCE, uint64_t rest_ns=REST_NS):
    """Let translations take that many bytes from now on, and longer than `rest_ns` after a run no more than those."""
    idle.allowance, idle.rest_ns = size, rest_ns


cdef void in_this_process() noexcept:
    if idle.process != getpid():
        idle.process = getpid()
        idle.latest = idle.earliest = NULL
        idle.bytes = 0


cdef void leave(Machine* machine) noexcept:
    """Out of the list, with what it holds."""
    cdef IdleMachine* place = &machine.idle
    if not place.process or place.process != idle.process:
        place.process = 0
        return
    if place.later != NULL:
        place.later.idle.earlier = place.earlier
    else:
        idle.latest = place.earlier
    if place.earlier != NULL:
        place.earlier.idle.later = place.later
    else:
        idle.earliest = place.later
    place.process = 0
    idle.bytes -= place.bytes


cdef void enter(Machine* machine) noexcept:
    cdef IdleMachine* place = &machine.idle
    place.bytes = machine.blocks.bytes + (machine.compiler.bytes if machine.compiler != NULL else 0)
    place.process = idle.process
    place.ended_ns = host_ns()
    place.later = NULL
    place.earlier = idle.latest
    if idle.latest != NULL:
        idle.latest.idle.later = machine
    else:
        idle.earliest = machine
    idle.latest = machine
    idle.bytes += place.bytes


cdef void run_begins(Machine* machine) noexcept:
    in_this_process()
    machine.idle.begun += 1
    leave(machine)


cdef void run_ended(Machine* machine) noexcept:
    cdef Machine* earliest
    in_this_process()
    machine.idle.begun -= 1
    if machine.idle.begun:
        return
    enter(machine)
    while idle.bytes > idle.allowance and idle.earliest != machine:
        earliest = idle.earliest
        if machine.idle.ended_ns - earliest.idle.ended_ns < idle.rest_ns:
            break
        leave(earliest)
        forget_translations(earliest)


cdef bint is_idle(Machine* machine) noexcept:
    """Whether it has run in this process, and nobody runs it now."""
    return machine.idle.process == getpid()


cdef void machine_goes(Machine* machine) noexcept:
    """It is closed or freed."""
    in_this_process()
    leave(machine)
