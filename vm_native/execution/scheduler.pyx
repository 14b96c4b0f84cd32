"""What the harts of a machine share, and how they take turns.

Harts run round-robin in one thread, a fixed quantum of steps each, cut into slices of at most 100,000 steps. A slice
also ends where something is due: a timer, a device event, the end of what was asked for. With a virtual clock all of
this is a function of steps alone; while every hart waits, time jumps to what is due next.
"""
from cpython.exc cimport PyErr_CheckSignals
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, realloc
from vm_native.memory.ram cimport PAGE_SHIFT, WATCHED, RamRegion
from vm_native.machine cimport (
    STOP_BUDGET, STOP_DEADLINE, STOP_EVENT, STOP_FIRMWARE, STOP_IDLE, STOP_NONE, STOP_RAISED, STOP_REQUESTED,
    STOP_RESCHEDULE, STOP_SLEEP, STOP_TIMEOUT, STOP_TRAP_LOOP, STOP_UNHANDLED, STOP_WAITING, STOP_WATCH, Cpu,
)
from vm_native.memory.bus cimport Bus, ram_at
from vm_native.blocks cimport destroy_cache, forbid_writes, free_dead, init_cache, written
from vm_native.clock cimport NativeClock, host_ns, steps_until_ns, timeline_ns
from vm_native.execution.loop cimport engine_named, run_slice
from vm_native.jit.compiler cimport JitCompiler
from vm_native.memory.copy.kernels cimport Kernels

from vm_native.memory.copy import kernels

cdef Kernels* copying = <Kernels*>PyCapsule_GetPointer(kernels, "vm_native.memory.copy.kernels")

cdef enum:
    MAX_SLICE = 100000
    SIGNALS_EVERY_NS = 20000000
    CACHE_BYTES = 128 << 20

cdef uint64_t NEVER = <uint64_t>-1


cdef class Scheduler:
    """The harts, bus, clock and block cache of one machine.

    `form` is the interpreter's dispatch form, `compiler` (if not None) compiles what is hot, `quantum` the steps a hart
    runs before it is the next one's turn. To measure what these bring, `linking=False` sends every block back to the
    run loop, `fusion=False` gives every uop a handler of its own, and `data_tlb=False` has every load and store
    translated, checked and looked up on the bus. RAM must be on the bus already.
    """

    def __cinit__(self, Bus bus not None, NativeClock clock not None, *, str form, JitCompiler compiler=None,
                  int64_t quantum=10_000, bint linking=True, bint fusion=True, bint data_tlb=True):
        self.bus = bus
        self.clock = clock
        self.harts = []
        self.form = form
        self.engine = engine_named(form)[0]
        if not fusion:
            self.engine.pairs = NULL
        self.quantum = quantum
        self.event_ns = NEVER
        bus.map.data_tlb = data_tlb
        self.blocks.map = &bus.map
        self.blocks.timeline = &clock.timeline
        self.blocks.limit = CACHE_BYTES
        self.blocks.linking = linking and form != "counting"
        if init_cache(&self.blocks) < 0:
            raise MemoryError("no room for the block cache")
        self.compiler = compiler
        if compiler is not None:
            compiler.attach(&self.blocks)

    def __dealloc__(self):
        self.blocks.compiler = NULL         # it may be gone already
        destroy_cache(&self.blocks)
        free(self.blocks.cpus)

    cdef void add(self, Cpu* cpu, object owner) except *:
        cdef Cpu** cpus = <Cpu**>realloc(self.blocks.cpus, (len(self.harts) + 1) * sizeof(Cpu*))
        if cpus == NULL:
            raise MemoryError("no room for another hart")
        cpus[len(self.harts)] = cpu
        self.blocks.cpus = cpus
        self.blocks.cpu_count += 1
        self.harts.append(owner)
        cpu.machine.map = &self.bus.map
        cpu.machine.timeline = &self.clock.timeline
        cpu.machine = &self.blocks
        if self.compiler is not None and self.blocks.cpu_count == 1:
            self.compiler.take_front_end()

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(self, uint64_t limit, uint64_t stop_ns, uint64_t host_deadline):
        """Run until something stops it. Returns (StopCode, hart number).

        `limit`: steps at most, all harts together; `stop_ns`: guest time to stop at; `host_deadline`: on the host's
        monotonic clock, ns. 2**64 - 1 means none. An exception of a device, or a signal's, is raised unchanged.
        """
        cdef int code
        with nogil:
            code = self.run_harts(limit, stop_ns, host_deadline)
            self.settle()
        if self.bus.pending_exception is not None:
            error, self.bus.pending_exception = self.bus.pending_exception, None
            raise error
        return code, self.turn

    cdef int run_harts(self, uint64_t limit, uint64_t stop_ns, uint64_t host_deadline) noexcept nogil:
        cdef uint64_t end = self.clock.timeline.steps + limit
        cdef uint64_t now, signals_at = host_ns() + SIGNALS_EVERY_NS
        cdef int code
        cdef int64_t length
        if end < limit:
            end = NEVER
        while True:
            if self.stop_asked:
                self.stop_asked = False
                return STOP_REQUESTED
            now = host_ns()
            if now >= host_deadline:
                return STOP_TIMEOUT
            if now >= signals_at:
                signals_at = now + SIGNALS_EVERY_NS
                with gil:
                    if self.signal_raised():
                        return STOP_RAISED
            now = timeline_ns(&self.clock.timeline, self.clock.timeline.steps)
            if now >= self.event_ns:
                return STOP_EVENT
            if now >= stop_ns:
                return STOP_DEADLINE
            if self.clock.timeline.steps >= end:
                return STOP_BUDGET
            if self.next_runnable() < 0:
                code = self.nobody_runs(stop_ns)
                if code != STOP_NONE:
                    return code
                continue
            length = self.slice_length(end - self.clock.timeline.steps, stop_ns)
            code = self.run_one_slice(self.blocks.cpus[self.turn], length)
            if code == STOP_REQUESTED:
                self.stop_asked = False
            if code not in (STOP_NONE, STOP_WAITING, STOP_RESCHEDULE):
                return code

    cdef bint signal_raised(self) noexcept:
        try:
            PyErr_CheckSignals()
        except BaseException as error:
            self.bus.pending_exception = error
            return True
        return False

    cdef int next_runnable(self) noexcept nogil:
        """Make it a runnable hart's turn: the current one's while its quantum lasts. -1 if none is."""
        cdef Cpu* cpu
        cdef int i, candidate
        self.settle()
        for i in range(self.blocks.cpu_count):
            self.blocks.cpus[i].front_end.poll(self.blocks.cpus[i])
        if self.quantum_left > 0 and self.blocks.cpus[self.turn].front_end.runnable(self.blocks.cpus[self.turn]):
            return self.turn
        for i in range(1, self.blocks.cpu_count + 1):
            candidate = (self.turn + i) % self.blocks.cpu_count
            cpu = self.blocks.cpus[candidate]
            if cpu.front_end.runnable(cpu):
                self.turn = candidate
                self.quantum_left = self.quantum
                return candidate
        return -1

    cdef void settle(self) noexcept nogil:
        """Between slices every hart stands at the machine's present step."""
        cdef int i
        cdef Cpu* cpu
        for i in range(self.blocks.cpu_count):
            cpu = self.blocks.cpus[i]
            cpu.state.steps += <uint64_t>(cpu.slice - cpu.budget)
            cpu.slice = 0
            cpu.budget = 0
            cpu.slice_start = self.clock.timeline.steps

    cdef uint64_t first_deadline(self) noexcept nogil:
        cdef int i
        cdef uint64_t first = self.event_ns
        for i in range(self.blocks.cpu_count):
            first = min(first, self.blocks.cpus[i].front_end.deadline_ns(self.blocks.cpus[i]))
        return first

    cdef int64_t slice_length(self, uint64_t limit, uint64_t stop_ns) noexcept nogil:
        cdef uint64_t length = min(limit, <uint64_t>MAX_SLICE)
        cdef uint64_t due
        if self.blocks.cpu_count > 1:
            length = min(length, <uint64_t>self.quantum_left)
        if not self.clock.timeline.real:
            due = min(self.first_deadline(), stop_ns)
            if due != NEVER:
                due = steps_until_ns(&self.clock.timeline, due, self.clock.timeline.steps)
                length = min(length, max(due, <uint64_t>1))
        return <int64_t>length

    cdef int run_one_slice(self, Cpu* cpu, int64_t length) noexcept nogil:
        cdef int64_t done
        free_dead(&self.blocks)
        cpu.slice = length
        cpu.budget = length
        cpu.slice_start = self.clock.timeline.steps
        cpu.stop = STOP_NONE
        self.current = cpu
        cpu.front_end.enter(cpu)
        run_slice(&self.engine, cpu)
        cpu.front_end.leave(cpu)
        self.current = NULL
        done = cpu.slice - cpu.budget
        self.clock.timeline.steps = cpu.slice_start + <uint64_t>done
        self.quantum_left -= done
        return cpu.stop

    cdef int nobody_runs(self, uint64_t stop_ns) noexcept nogil:
        """Every hart waits: jump to what comes next, or say what there is to wait for."""
        cdef uint64_t due = min(self.first_deadline(), stop_ns)
        if self.clock.timeline.real:
            return STOP_SLEEP
        if due == NEVER:
            return STOP_IDLE
        self.clock.timeline.skipped_ns += due - timeline_ns(&self.clock.timeline, self.clock.timeline.steps)
        return STOP_NONE

    # --- What Python may ask for at any time --------------------------------------------------------------------------

    def request_stop(self):
        """Stop after the instruction at hand; outside a run, at once when the next one begins."""
        cdef Cpu* current = self.current        # another thread's slice may end meanwhile
        self.stop_asked = True
        if current != NULL:
            current.stop = STOP_REQUESTED

    def set_event(self, uint64_t due_ns):
        """Guest time of the first device event; 2**64 - 1 for none. The slice at hand is cut anew."""
        self.event_ns = due_ns
        if self.current != NULL and self.current.stop == STOP_NONE:
            self.current.stop = STOP_RESCHEDULE

    def next_deadline_ns(self):
        """Guest time at which the next timer or event is due; 2**64 - 1 if nothing is."""
        return self.first_deadline()

    @property
    def running(self):
        """Whether a hart is inside a slice: the caller is a callback."""
        return self.current != NULL

    @property
    def current_hart(self):
        """Number of the hart whose turn it is."""
        return self.turn

    # --- Memory -------------------------------------------------------------------------------------------------------

    def write(self, uint64_t address, data):
        """Write bytes into RAM at a physical address; False where not all of them would fall into RAM."""
        cdef const unsigned char[::1] source = memoryview(data).cast("B")
        cdef RamRegion* region = ram_at(&self.bus.map, address, max(len(source), 1))
        if region == NULL:
            return False
        if len(source):
            written(&self.blocks, address, len(source))
            copying.move(<char*>region.host + (address - region.base), <const char*>&source[0], len(source))
        return True

    def touched(self, uint64_t address, uint64_t size):
        """RAM in [address, address + size) is about to be, or has been, changed through a view."""
        if size:
            written(&self.blocks, address, size)

    def watch(self, uint64_t address, uint64_t size):
        """Stop with STOP_WATCH after each store into [address, address + size), inside one page of RAM.

        There is one watch; size 0 ends it.
        """
        cdef RamRegion* region = ram_at(&self.bus.map, self.bus.map.watch_base, 1)
        if region != NULL:
            region.code[(self.bus.map.watch_base - region.base) >> PAGE_SHIFT] &= ~WATCHED
        self.bus.map.watch_base = self.bus.map.watch_end = 0
        if size == 0:
            return
        region = ram_at(&self.bus.map, address, size)
        if region == NULL:
            raise ValueError(f"[{address:#x}, {address + size:#x}) is not RAM")
        forbid_writes(&self.blocks, region, address)
        self.bus.map.watch_base = address
        self.bus.map.watch_end = address + size
        region.code[(address - region.base) >> PAGE_SHIFT] |= WATCHED

    @property
    def watched_size(self):
        """Bytes of the store that the last STOP_WATCH was for."""
        return self.bus.map.watch_size

    def statistics(self):
        """Counters of the block cache, a dict of ints: translations, invalidations, evictions, bytes (host memory).

        "tlb_misses" are those of all harts, a dict: loads, stores, fetches. With a compiler also "jit", its counters.
        """
        cdef int i, access
        misses = dict.fromkeys(("loads", "stores", "fetches"), 0)
        for i in range(self.blocks.cpu_count):
            for access, name in enumerate(misses):          # in the order of Access
                misses[name] += self.blocks.cpus[i].tlb_misses[access]
        counters = {
            "translations": self.blocks.translations,
            "invalidations": self.blocks.invalidations,
            "evictions": self.blocks.evictions,
            "bytes": self.blocks.bytes,
            "tlb_misses": misses,
        }
        if self.compiler is not None:
            counters["jit"] = self.compiler.statistics()
        return counters


# What `Scheduler.run` returns first, for Python.
STOP_CODES = {
    "budget": STOP_BUDGET, "deadline": STOP_DEADLINE, "timeout": STOP_TIMEOUT, "event": STOP_EVENT,
    "requested": STOP_REQUESTED, "firmware": STOP_FIRMWARE, "watch": STOP_WATCH, "sleep": STOP_SLEEP,
    "idle": STOP_IDLE, "unhandled-trap": STOP_UNHANDLED, "trap-loop": STOP_TRAP_LOOP,
}
