# Harts in threads of their own: the lock on what they share, and moments at which none of them runs.
from libc.stdint cimport uint64_t
from vm_native.line_marks cimport LineMark
from vm_native.unlocked cimport SharedFlag

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass

cdef enum:
    MAX_GATES = 64
    TICKET_STEP = 2 * MAX_GATES     # from one of a hart's tickets to its next: they are odd, and no two harts' the same

cdef enum Going:
    AT_REST = 0
    RUNNING = 1
    COMING_TO_REST = 2          # some may be in the middle of a slice yet

cdef struct Safepoints

cdef struct Gate:               # of a hart: whether its thread is where others may change what it knows
    Safepoints* safepoints      # NULL: harts take turns in one thread
    int parked                  # it touches nothing of the machine's but under the lock
    int inside                  # it is in the middle of a slice, perhaps parked there
    int changed                 # others changed what harts share while it was parked inside, see safepoints.pyx
    SharedFlag* attention       # of the hart: makes it look up before its next block
    int has_mail
    uint64_t raised             # interrupts that became pending, or no longer are, since it looked last
    uint64_t lowered
    pthread_cond_t woken        # with the guard, while the hart waits

cdef struct Pauses:             # while which harts stood still that would have run
    uint64_t count
    uint64_t total_ns           # of the host's clock, from when they were asked to stop until they went on
    uint64_t longest_ns
    uint64_t began_ns           # of the one that lasts; 0: none does

cdef struct Safepoints:         # of a machine
    pthread_mutex_t lock        # what harts share: translations, compiled code, their links, marks of pages
    uint64_t owner              # the thread that holds it, by an address of its own; 0: nobody
    int depth                   # how often it has taken it
    int stopping                # the owner wants all others parked
    bint stopped                # they are, until it gives the lock back
    pthread_mutex_t devices     # devices are entered by one hart at a time
    pthread_mutex_t guard       # of gates and of what follows; nobody waits for anything else while holding it
    pthread_cond_t parked       # a hart has parked
    pthread_cond_t resumed      # `stopping` is over
    pthread_cond_t began        # `round` or `leaving` has changed
    pthread_cond_t reported     # there is something for who runs the machine
    int going                   # a Going
    uint64_t round              # how often they were let go
    int leaving                 # their threads shall end
    int resting                 # threads that are between rounds
    int waiting                 # harts that wait for an interrupt, their threads in a round
    int asked                   # who runs the machine shall look at it
    uint64_t steps_left         # of the round, not given to a slice yet
    LineMark* marks             # who stored where
    Pauses stops                # in the middle of a round, for who took something away
    Pauses rests                # of all, between two rounds
    int gate_count
    Gate* gates[MAX_GATES]

cdef int open_safepoints(Safepoints* safepoints) noexcept nogil
cdef void close_safepoints(Safepoints* safepoints) noexcept nogil
cdef int open_gate(Safepoints* safepoints, Gate* gate, SharedFlag* attention) noexcept nogil
cdef void enter_gate(Gate* gate) noexcept nogil
cdef bint is_own(const Gate* gate) noexcept nogil
cdef void end_pause(Pauses* pauses) noexcept nogil
cdef void park(Gate* gate) noexcept nogil
cdef void unpark(Gate* gate) noexcept nogil
cdef bint try_lock_shared(Safepoints* safepoints) noexcept nogil
cdef void lock_shared(Safepoints* safepoints) noexcept nogil
cdef void unlock_shared(Safepoints* safepoints) noexcept nogil
cdef void stop_others(Safepoints* safepoints) noexcept nogil
cdef int step_aside(Gate* gate) noexcept nogil
cdef void step_back(Gate* gate, int depth) noexcept nogil
cdef bint post(Gate* gate, uint64_t bits, bint level) noexcept nogil
cdef bint take_mail(Gate* gate, uint64_t* raised, uint64_t* lowered) noexcept nogil
cdef void dismiss(Safepoints* safepoints) noexcept nogil
cdef void ask_for_look(Safepoints* safepoints) noexcept nogil
cdef void let_go(Safepoints* safepoints, uint64_t steps) noexcept nogil
cdef void wait_for_report(Safepoints* safepoints, uint64_t until_ns) noexcept nogil
cdef void bring_to_rest(Safepoints* safepoints) noexcept nogil
cdef bint wait_for_round(Safepoints* safepoints, uint64_t* round) noexcept nogil
cdef void wait_for_interrupt(Gate* gate, uint64_t until_ns) noexcept nogil
cdef uint64_t take_steps(Safepoints* safepoints, uint64_t most) noexcept nogil
