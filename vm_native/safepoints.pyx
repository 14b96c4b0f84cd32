"""Harts in threads of their own: the lock on what they share, and moments at which none of them runs.

A hart runs without any lock: compiled code, blocks that are known, its own TLB. What harts share (which code is known,
compiled and linked, which pages have some) changes only under one lock, and in two ways.

- What is *added* (a translation, a trace, a jump from one to another) is there from one store on, and others find it
  or not.
- What is *taken away* (a block, a page's write tags, a jump cache's entry, another hart's translations) is taken while
  all other harts are parked: `stop_others`, from there to the end of the lock. A slice is some microseconds, and at its
  end a hart parks; so does who waits for the lock, for Python, for a device or an interrupt.

So fast paths ask nothing: what a hart has looked at stays until it parks. One that has parked in the middle of a slice
finds `Gate.changed` set, and leaves the code that it was in behind the instruction at hand.

Who holds the lock waits for nobody but harts to park: it never takes Python's own lock, so that a thread may wait for
this one with Python's held. A device is entered parked (`step_aside`): while Python works, others go on.
"""
from libc.stdint cimport uint64_t
from vm_native.clock cimport NEVER, NS_PER_SECOND, host_ns
from vm_native.line_marks cimport map_marks, unmap_marks
from vm_native.unlocked cimport SharedFlag, load_flag, peek, poke, store_flag

cdef extern from "<time.h>" nogil:
    ctypedef long time_t
    cdef struct timespec:
        time_t tv_sec
        long tv_nsec
    int CLOCK_MONOTONIC

cdef extern from "<pthread.h>" nogil:
    ctypedef struct pthread_condattr_t:
        pass
    int pthread_mutex_init(pthread_mutex_t* mutex, const void* attributes)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_trylock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_condattr_init(pthread_condattr_t* attributes)
    int pthread_condattr_setclock(pthread_condattr_t* attributes, int clock)
    int pthread_condattr_destroy(pthread_condattr_t* attributes)
    int pthread_cond_init(pthread_cond_t* condition, const pthread_condattr_t* attributes)
    int pthread_cond_destroy(pthread_cond_t* condition)
    int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex)
    int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until)
    int pthread_cond_signal(pthread_cond_t* condition)
    int pthread_cond_broadcast(pthread_cond_t* condition)

cdef extern from *:
    """
    static __thread void *vm_own_gate;      /* of the hart whose thread this is; its address tells threads apart */
    static inline void vm_pause(void) { __asm__ volatile("pause"); }
    static inline unsigned long long vm_take(unsigned long long *left, unsigned long long most) {
        unsigned long long taken, now = __atomic_load_n(left, __ATOMIC_RELAXED);
        do {
            taken = now < most ? now : most;
        } while (!__atomic_compare_exchange_n(left, &now, now - taken, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
        return taken;
    }
    """
    void* own_gate "vm_own_gate"
    void cpu_pause "vm_pause"() noexcept nogil
    uint64_t take "vm_take"(uint64_t* left, uint64_t most) noexcept nogil

cdef extern from "<pthread.h>":
    int pthread_atfork(void (*prepare)() noexcept nogil, void (*parent)() noexcept nogil,
                       void (*child)() noexcept nogil) nogil

cdef enum:
    SPINS = 200                 # looks at a gate before the host may run somebody else


cdef inline uint64_t this_thread() noexcept nogil:
    return <uint64_t>&own_gate


cdef int open_condition(pthread_cond_t* condition) noexcept nogil:
    """One whose times are those of `clock.host_ns`."""
    cdef pthread_condattr_t attributes
    cdef int failed
    if pthread_condattr_init(&attributes):
        return -1
    failed = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) or pthread_cond_init(condition, &attributes)
    pthread_condattr_destroy(&attributes)
    return -1 if failed else 0


cdef int open_safepoints(Safepoints* safepoints) noexcept nogil:
    """Of zeroes. -1 if the host has no room."""
    safepoints.marks = map_marks()
    if safepoints.marks == NULL:
        return -1
    if (
        pthread_mutex_init(&safepoints.lock, NULL) or pthread_mutex_init(&safepoints.guard, NULL)
        or pthread_mutex_init(&safepoints.devices, NULL)
    ):
        return -1
    if open_condition(&safepoints.parked) or open_condition(&safepoints.resumed):
        return -1
    return -1 if open_condition(&safepoints.began) or open_condition(&safepoints.reported) else 0


cdef void close_safepoints(Safepoints* safepoints) noexcept nogil:
    """No thread of a hart is left."""
    cdef int i
    unmap_marks(safepoints.marks)
    for i in range(safepoints.gate_count):
        pthread_cond_destroy(&safepoints.gates[i].woken)
    pthread_cond_destroy(&safepoints.reported)
    pthread_cond_destroy(&safepoints.began)
    pthread_cond_destroy(&safepoints.resumed)
    pthread_cond_destroy(&safepoints.parked)
    pthread_mutex_destroy(&safepoints.devices)
    pthread_mutex_destroy(&safepoints.guard)
    pthread_mutex_destroy(&safepoints.lock)


cdef int open_gate(Safepoints* safepoints, Gate* gate, SharedFlag* attention) noexcept nogil:
    """Of zeroes, of the next hart. -1 if the host has no room, or there are too many."""
    if safepoints.gate_count == MAX_GATES or open_condition(&gate.woken):
        return -1
    gate.safepoints, gate.attention, gate.parked = safepoints, attention, 1
    safepoints.gates[safepoints.gate_count] = gate
    safepoints.gate_count += 1
    return 0


cdef void enter_gate(Gate* gate) noexcept nogil:
    """This thread is the hart's from now on, or no hart's, for NULL."""
    global own_gate
    own_gate = gate


cdef bint is_own(const Gate* gate) noexcept nogil:
    """Whether this is the hart's thread."""
    return own_gate == gate


# --- Forks -----------------------------------------------------------------------------------------------------------

cdef void end_in_fork() noexcept nogil:
    """This process is a fork. If the thread that has asked for it is a hart's, in a device, that is the only one here,
    and may not go on with a guest that is another process's: it finds the round over, and the threads dismissed. Locks
    are as others held them who do not exist here.
    """
    cdef Gate* gate = <Gate*>own_gate
    if gate == NULL:
        return
    gate.attention[0] = True
    gate.safepoints.going, gate.safepoints.stopping, gate.safepoints.leaving = COMING_TO_REST, 0, 1
    gate.safepoints.owner = gate.safepoints.depth = 0
    gate.safepoints.stopped = False
    pthread_mutex_init(&gate.safepoints.guard, NULL)
    pthread_mutex_init(&gate.safepoints.lock, NULL)
    open_condition(&gate.safepoints.reported)


if pthread_atfork(NULL, NULL, end_in_fork):
    raise MemoryError("no room to hear of forks")


# --- Pauses, as statistics have them ---------------------------------------------------------------------------------

cdef void begin_pause(Pauses* pauses) noexcept nogil:
    pauses.count += 1
    pauses.began_ns = host_ns()


cdef void end_pause(Pauses* pauses) noexcept nogil:
    """If there is one."""
    cdef uint64_t length
    if pauses.began_ns:
        length = host_ns() - pauses.began_ns
        pauses.began_ns = 0
        pauses.total_ns += length
        pauses.longest_ns = max(pauses.longest_ns, length)


# --- Parking ---------------------------------------------------------------------------------------------------------

cdef void park(Gate* gate) noexcept nogil:
    cdef Safepoints* safepoints = gate.safepoints
    store_flag(&gate.parked, 1)
    if load_flag(&safepoints.stopping):
        pthread_mutex_lock(&safepoints.guard)
        pthread_cond_broadcast(&safepoints.parked)
        pthread_mutex_unlock(&safepoints.guard)


cdef void unpark(Gate* gate) noexcept nogil:
    """Not before those that stop others are done."""
    cdef Safepoints* safepoints = gate.safepoints
    while True:
        store_flag(&gate.parked, 0)
        if not load_flag(&safepoints.stopping):
            return
        park(gate)
        pthread_mutex_lock(&safepoints.guard)
        while load_flag(&safepoints.stopping):
            pthread_cond_wait(&safepoints.resumed, &safepoints.guard)
        pthread_mutex_unlock(&safepoints.guard)


cdef bint try_lock_shared(Safepoints* safepoints) noexcept nogil:
    """May be taken again by who has it."""
    if peek(&safepoints.owner) == this_thread():
        safepoints.depth += 1
        return True
    if pthread_mutex_trylock(&safepoints.lock) != 0:
        return False
    poke(&safepoints.owner, this_thread())
    safepoints.depth = 1
    return True


cdef void lock_shared(Safepoints* safepoints) noexcept nogil:
    """The same, and wait for it: a hart is parked meanwhile, and looks at `Gate.changed` then."""
    cdef Gate* gate = <Gate*>own_gate
    if not try_lock_shared(safepoints):
        if gate != NULL and gate.safepoints == safepoints and not gate.parked:
            park(gate)
            pthread_mutex_lock(&safepoints.lock)
            store_flag(&gate.parked, 0)         # nobody else can be stopping others
        else:
            pthread_mutex_lock(&safepoints.lock)
        poke(&safepoints.owner, this_thread())
        safepoints.depth = 1


cdef void unlock_shared(Safepoints* safepoints) noexcept nogil:
    safepoints.depth -= 1
    if safepoints.depth:
        return
    if safepoints.stopped:
        safepoints.stopped = False
        end_pause(&safepoints.stops)
        pthread_mutex_lock(&safepoints.guard)
        store_flag(&safepoints.stopping, 0)
        pthread_cond_broadcast(&safepoints.resumed)
        pthread_mutex_unlock(&safepoints.guard)
    poke(&safepoints.owner, 0)
    pthread_mutex_unlock(&safepoints.lock)


cdef void stop_others(Safepoints* safepoints) noexcept nogil:
    """Wait until all other harts are parked; they stay so until this thread, which holds the lock, gives it back."""
    cdef Gate* gate
    cdef int i, _spin
    if safepoints.stopped:
        return
    begin_pause(&safepoints.stops)
    store_flag(&safepoints.stopping, 1)
    for i in range(safepoints.gate_count):
        if safepoints.gates[i] != own_gate:
            safepoints.gates[i].attention[0] = True
    for i in range(safepoints.gate_count):
        gate = safepoints.gates[i]
        if gate == own_gate:
            continue
        for _spin in range(SPINS):
            if load_flag(&gate.parked):
                break
            cpu_pause()
        if not load_flag(&gate.parked):
            pthread_mutex_lock(&safepoints.guard)
            while not load_flag(&gate.parked):
                pthread_cond_wait(&safepoints.parked, &safepoints.guard)
            pthread_mutex_unlock(&safepoints.guard)
        if gate.inside:
            gate.changed = 1
    safepoints.stopped = True


cdef int step_aside(Gate* gate) noexcept nogil:
    """This hart's thread is about to enter a device: parked, and without the lock, and alone. For `step_back`."""
    cdef Safepoints* safepoints = gate.safepoints
    cdef int depth = 0
    if peek(&safepoints.owner) == this_thread():
        depth, safepoints.depth = safepoints.depth, 1
        unlock_shared(safepoints)
    park(gate)
    pthread_mutex_lock(&safepoints.devices)
    return depth


cdef void step_back(Gate* gate, int depth) noexcept nogil:
    pthread_mutex_unlock(&gate.safepoints.devices)
    unpark(gate)
    if depth:
        lock_shared(gate.safepoints)
        gate.safepoints.depth = depth


# --- Mail: interrupts from another thread ----------------------------------------------------------------------------

cdef bint post(Gate* gate, uint64_t bits, bint level) noexcept nogil:
    """Let the hart find that these have become pending, or are no longer. False: it may be done at once instead, as
    harts are at rest, or it is the hart's own thread.
    """
    cdef Safepoints* safepoints = gate.safepoints
    cdef bint posted = False
    if is_own(gate):
        return False
    pthread_mutex_lock(&safepoints.guard)
    if safepoints.going:
        gate.raised = gate.raised | bits if level else gate.raised & ~bits
        gate.lowered = gate.lowered & ~bits if level else gate.lowered | bits
        store_flag(&gate.has_mail, 1)
        gate.attention[0] = True
        pthread_cond_signal(&gate.woken)
        posted = True
    pthread_mutex_unlock(&safepoints.guard)
    return posted


cdef bint take_mail(Gate* gate, uint64_t* raised, uint64_t* lowered) noexcept nogil:
    """What was posted; False if there is nothing."""
    if not load_flag(&gate.has_mail):
        return False
    pthread_mutex_lock(&gate.safepoints.guard)
    raised[0], lowered[0] = gate.raised, gate.lowered
    gate.raised = gate.lowered = 0
    store_flag(&gate.has_mail, 0)
    pthread_mutex_unlock(&gate.safepoints.guard)
    return True


# --- Rounds: harts run from `let_go` on until they are brought to rest -----------------------------------------------

cdef timespec time_of(uint64_t ns) noexcept nogil:
    cdef timespec time
    time.tv_sec = <time_t>min(ns // NS_PER_SECOND, <uint64_t>1 << 40)
    time.tv_nsec = <long>(ns % NS_PER_SECOND)
    return time


cdef void ask_for_look(Safepoints* safepoints) noexcept nogil:
    """Who runs the machine shall look at it: something is due, or to be served."""
    pthread_mutex_lock(&safepoints.guard)
    safepoints.asked = 1
    pthread_cond_signal(&safepoints.reported)
    pthread_mutex_unlock(&safepoints.guard)


cdef void dismiss(Safepoints* safepoints) noexcept nogil:
    """Let the threads end, which are between two rounds."""
    pthread_mutex_lock(&safepoints.guard)
    safepoints.leaving = 1
    pthread_cond_broadcast(&safepoints.began)
    pthread_mutex_unlock(&safepoints.guard)


cdef void let_go(Safepoints* safepoints, uint64_t steps) noexcept nogil:
    """Harts run, all together so many steps at most. Not while somebody changes what they share."""
    lock_shared(safepoints)
    end_pause(&safepoints.rests)
    pthread_mutex_lock(&safepoints.guard)
    safepoints.steps_left = steps
    safepoints.waiting = 0
    store_flag(&safepoints.going, RUNNING)
    safepoints.round += 1
    pthread_cond_broadcast(&safepoints.began)
    pthread_mutex_unlock(&safepoints.guard)
    unlock_shared(safepoints)


cdef void wait_for_report(Safepoints* safepoints, uint64_t until_ns) noexcept nogil:
    """Until somebody asks for a look, no hart has anything to do, or it is so late on the host's clock."""
    cdef timespec until = time_of(until_ns)
    pthread_mutex_lock(&safepoints.guard)
    while not safepoints.asked and safepoints.waiting < safepoints.gate_count:
        if pthread_cond_timedwait(&safepoints.reported, &safepoints.guard, &until):
            break
    pthread_mutex_unlock(&safepoints.guard)


cdef void bring_to_rest(Safepoints* safepoints) noexcept nogil:
    """End the round: every thread is between two of them then, and its hart between two slices."""
    cdef int i
    begin_pause(&safepoints.rests)
    pthread_mutex_lock(&safepoints.guard)
    store_flag(&safepoints.going, COMING_TO_REST)
    for i in range(safepoints.gate_count):
        safepoints.gates[i].attention[0] = True
        pthread_cond_signal(&safepoints.gates[i].woken)
    while safepoints.resting < safepoints.gate_count:
        pthread_cond_wait(&safepoints.reported, &safepoints.guard)
    store_flag(&safepoints.going, AT_REST)
    safepoints.asked = 0                # he who is asked looks now; what comes later ends the next round
    pthread_mutex_unlock(&safepoints.guard)


cdef bint wait_for_round(Safepoints* safepoints, uint64_t* round) noexcept nogil:
    """Of a hart's thread, which knows the round it was in: until there is another. False: it shall end."""
    cdef bint goes_on
    pthread_mutex_lock(&safepoints.guard)
    safepoints.resting += 1
    pthread_cond_signal(&safepoints.reported)
    while safepoints.round == round[0] and not safepoints.leaving:
        pthread_cond_wait(&safepoints.began, &safepoints.guard)
    safepoints.resting -= 1
    round[0] = safepoints.round
    goes_on = not safepoints.leaving
    pthread_mutex_unlock(&safepoints.guard)
    return goes_on


cdef void wait_for_interrupt(Gate* gate, uint64_t until_ns) noexcept nogil:
    """The hart, which is parked, has nothing to do until there is mail or it is so late, on the host's clock."""
    cdef Safepoints* safepoints = gate.safepoints
    cdef timespec until = time_of(until_ns)
    pthread_mutex_lock(&safepoints.guard)
    safepoints.waiting += 1
    if safepoints.waiting == safepoints.gate_count:
        pthread_cond_signal(&safepoints.reported)
    while safepoints.going == RUNNING and not gate.has_mail:
        if until_ns == NEVER:
            pthread_cond_wait(&gate.woken, &safepoints.guard)
        elif pthread_cond_timedwait(&gate.woken, &safepoints.guard, &until):
            break
    safepoints.waiting -= 1
    pthread_mutex_unlock(&safepoints.guard)


cdef uint64_t take_steps(Safepoints* safepoints, uint64_t most) noexcept nogil:
    """For a slice; what it does not use is added again."""
    return take(&safepoints.steps_left, most)
