"""A machine as Python builds it: what its harts share, and access to its RAM that all of them notice."""
from collections import deque
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.stdint cimport uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset
from posix.mman cimport (
    MAP_ANONYMOUS, MAP_FAILED, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE, PROT_READ, PROT_WRITE, mmap,
)
from posix.unistd cimport _SC_PAGESIZE, sysconf
from vm_native.blocks cimport cover_region, destroy_cache, hand_over, init_cache, invalidate
from vm_native.clock cimport NativeClock
from vm_native.execution.allowance cimport is_idle, machine_goes, run_begins, run_ended
from vm_native.jit.compiler cimport JitCompiler
from vm_native.machine cimport (
    EVENT_BLOCK, EVENT_CALL, EVENT_CSR_READ, EVENT_CSR_WRITE, EVENT_EXECUTE, EVENT_MMIO_READ, EVENT_MMIO_WRITE,
    EVENT_READ, EVENT_TRAP, EVENT_WRITE, EVERY_PRIVILEGE, Breakpoint, Cpu, Event, EventKind, Hit, LaterHit, Probes,
    Scope, Watch, break_reservations, reschedule,
)
from vm_native.memory.bus cimport Bus, ram_at
from vm_native.memory.copy.kernels cimport Kernels
from vm_native.memory.ram cimport WATCHED_READS, WATCHED_WRITES, Ram, RamRegion, take_stretch
from vm_native.probes.breakpoints cimport add_breakpoint, forget_reports, pass_over, remove_breakpoint
from vm_native.probes.hooks cimport forget_events, make_room
from vm_native.probes.recorders cimport update_instruments
from vm_native.probes.records cimport restart_blocks
from vm_native.probes.watch cimport add_watch, remove_watch
from vm_native.safepoints cimport Pauses
from vm_native.shared_code cimport SharedCode, add_layer, holds_any
from vm_native.state.content cimport capture_region, prepare_restore, restore_region

from vm_native.memory.copy import kernels

cdef extern from "<sys/mman.h>" nogil:
    enum: MADV_REMOVE
    int madvise(void* address, size_t length, int advice)

cdef Kernels* copying = <Kernels*>PyCapsule_GetPointer(kernels, "vm_native.memory.copy.kernels")

cdef enum:
    WORTH_SHARING = 4
    SHORTEST_STRETCH = 1 << 18  # bytes of RAM that are mapped anew for themselves

cdef extern from *:
    """
    #include <pthread.h>
    static unsigned vm_forks;           /* how many forks there are between the first process and this one */
    static void vm_count_fork(void) { vm_forks++; }
    static int vm_watch_forks(void) { return pthread_atfork(NULL, NULL, vm_count_fork); }
    """
    unsigned int forks_until_now "vm_forks"
    int watch_forks "vm_watch_forks"()

if watch_forks():
    raise MemoryError("no room to hear of forks")


EVERYWHERE = (EVERY_PRIVILEGE, 0, 0)         # all privileges, all address spaces
MAX_ADDRESS = (1 << 64) - 1


cdef class NativeMachine:
    """The bus, the clock, the block cache and the harts of one machine. RAM is on the bus, or comes by `add_ram`.

    `compiler`, if not None, compiles what is hot. To measure what these bring, `linking=False` sends every block back
    to the run loop, and `data_tlb=False` has every load and store translated, checked and looked up on the bus.
    """

    def __cinit__(self, Bus bus not None, NativeClock clock not None, *, JitCompiler compiler=None, bint linking=True,
                  bint data_tlb=True):
        self.forks = forks_until_now
        self.bus = bus
        self.clock = clock
        self.compiler = compiler
        self.harts = []
        self.hooks = {}
        self.waiting = deque()
        self.recorders = []
        self.subjects = ()
        self.machine.map = &bus.map
        self.machine.timeline = &clock.timeline
        self.machine.data_tlb = data_tlb
        self.machine.blocks.linking = linking
        if init_cache(&self.machine) < 0:
            raise MemoryError("no room for the block cache")
        if compiler is not None:
            compiler.attach(&self.machine)

    def __del__(self):
        machine_goes(&self.machine)         # before the garbage collector takes harts and RAM from it

    def __dealloc__(self):
        self.machine.compiler = NULL        # it may be gone already
        destroy_cache(&self.machine)
        free(self.machine.cpus)
        free(self.machine.probes.watches)
        free(self.machine.probes.breakpoints)
        free(self.machine.probes.events)
        free(self.machine.probes.later_hits)

    cdef void add(self, Cpu* cpu, object owner) except *:
        cdef Cpu** cpus = <Cpu**>realloc(self.machine.cpus, (len(self.harts) + 1) * sizeof(Cpu*))
        if cpus == NULL:
            raise MemoryError("no room for another hart")
        cpus[len(self.harts)] = cpu
        cpu.number = len(self.harts)
        self.machine.cpus = cpus
        self.machine.cpu_count += 1
        self.machine.front_end = cpu.front_end
        self.harts.append(owner)
        cpu.machine = &self.machine
        if self.compiler is not None and self.machine.cpu_count == 1:
            self.compiler.take_front_end()

    def close(self):
        """Give RAM, translations and code memory back to the host. Twice is harmless; no hart may be inside a slice."""
        self.closed = True
        self.hooks.clear()              # through which an array of a recorder may lead back to this machine: no
        self.waiting.clear()            # collector follows that
        machine_goes(&self.machine)
        destroy_cache(&self.machine)
        if self.compiler is not None:
            self.compiler.close()
        self.bus.close()

    @property
    def usable(self):
        """Whether it may run and be written to: it is not closed, and this is the process that built it.

        A fork has a copy of the harts, but RAM and code memory are the same pages on both sides.
        """
        return self.is_usable()

    cdef bint is_usable(self) noexcept:
        return not self.closed and self.forks == forks_until_now

    def reschedule(self):
        """A deadline changed, of an event or of a timer: the slice at hand, if there is one, is cut anew."""
        reschedule(&self.machine)

    # --- Compiled code that others run, too --------------------------------------------------------------------------

    def share_code(self, uint64_t worth=WORTH_SHARING):
        """Let machines that this one gives its `shared_code` run what it has compiled until now. Nothing in a run.

        That takes milliseconds where much is compiled, and jumps from later code into it are slower. So it is done only
        where the traces compiled since take more than a `worth`-th of the memory of all layers.
        """
        cdef SharedCode shared
        cdef uint64_t known = 0
        if self.compiler is None or self.machine.probes.instruments or self.machine.safepoints != NULL:
            return
        for shared in self.compiler.shared_code:
            known += shared.layer.bytes
        if self.machine.compiler.bytes * worth <= known:
            return
        shared = SharedCode()
        layers = self.compiler.with_layer(shared)
        # From here on no object is made, or a finalizer could let another thread run the machine.
        if is_idle(&self.machine):
            run_begins(&self.machine)       # what it holds is counted anew at the end
            if hand_over(&self.machine, &shared.layer):
                self.compiler.shared_code = layers
            run_ended(&self.machine)

    def take_shared(self, others):
        """Run the `shared_code` of another machine with the same ISA, where memory holds what that was made of."""
        cdef SharedCode shared
        if self.compiler is None or self.machine.safepoints != NULL:
            return
        for shared in others:
            if shared not in self.compiler.shared_code and self.compiler.accept(shared):
                layers = self.compiler.with_layer(shared)
                add_layer(&self.machine, &shared.layer)
                self.compiler.shared_code = layers

    def holds(self, SharedCode shared not None):
        """Whether it runs code of that layer, if it is one of its own."""
        return holds_any(&self.machine, &shared.layer)

    @property
    def shared_code(self):
        """What it runs that other machines may run too, a tuple of SharedCode."""
        return self.compiler.shared_code if self.compiler is not None else ()

    # --- RAM, from outside -------------------------------------------------------------------------------------------

    def capture(self):
        """What each region of RAM holds now, a tuple of RegionContent. Between slices. Raises MemoryError.

        Harts forget what they remember of memory, as they do by `restore`: so that both go on alike, also where a guest
        has changed its page tables and not said so.
        """
        try:
            return tuple([capture_region(ram) for ram in self.bus.regions])
        finally:
            self.forget_memory()

    def restore(self, contents, harts):
        """Let RAM hold what `capture` of a machine like this one gave, and harts be in the states that they gave.

        Between slices. Raises ValueError for regions at other places, and what loading pages raises; the machine is
        then as it was.
        """
        run_begins(&self.machine)   # another thread's run that ends meanwhile leaves its translations alone
        try:
            for ram, content in zip(self.bus.regions, contents, strict=True):
                prepare_restore(&self.machine, ram, content)
            for ram, content in zip(self.bus.regions, contents):
                restore_region(&self.machine, ram, content)
            for hart, state in zip(self.harts, harts, strict=True):
                hart.load(state)    # which forgets all that it remembers of memory
            self.forget_reports()
            restart_blocks(&self.machine)
            self.restores += 1
        finally:
            run_ended(&self.machine)

    def add_ram(self, Ram ram not None):
        """Map another region, between slices. Raises ValueError where it overlaps something or no more regions fit."""
        cdef int number = self.bus.map.region_count
        self.bus.add_ram(ram)
        if cover_region(&self.machine, number, ram.region.size) < 0:
            self.bus.map.region_count = number
            self.bus.regions.pop()
            raise MemoryError(f"no room for the block cache of {ram.size:#x} bytes of guest RAM")

    @property
    def written_pages(self):
        """How many pages of RAM have been written since the last capture or restore, or since power-on."""
        cdef Ram ram
        cdef uint64_t count = 0
        for ram in self.bus.regions:
            count += ram.region.dirty_count
        return count

    def limit_pages(self, left):
        """Let harts write to so many clean pages more, shared out among the regions of RAM; None: to all of them.

        A store to one more ends the slice with STOP_MEMORY before it is done: then the regions can be given other
        shares of what is left. The last pages are for whichever region wants one first. Between slices.
        """
        cdef Ram ram
        cdef uint64_t share
        if left is None:
            for ram in self.bus.regions:
                ram.region.most_dirty = ~<uint64_t>0
            return
        share = left // (len(self.bus.regions) or 1) or min(left, 1)
        for ram in self.bus.regions:
            ram.region.most_dirty = ram.region.dirty_count + share

    def write(self, object address, data):
        """Write bytes into RAM at a physical address; False where not all of them would fall into RAM, that is no such
        number, or nothing may be written.
        """
        cdef Py_buffer source
        cdef RamRegion* region
        cdef uint64_t first
        if not self.is_usable():
            return False
        PyObject_GetBuffer(memoryview(data).cast("B"), &source, PyBUF_SIMPLE)
        try:
            region = self.bus.region_of(address, max(source.len, 1))
            if region != NULL and source.len:
                first = address
                self.invalidate(first, source.len)
                copying.move(<char*>region.host + (first - region.base), <const char*>source.buf, source.len)
                self.settle_write(first, source.len)
            return region != NULL
        finally:
            PyBuffer_Release(&source)

    def clear(self, uint64_t address, uint64_t size):
        """Set RAM to zero at a physical address; False where not all of it is RAM.

        Whole pages go back to the host, which has zeroes there once they are touched: it costs no memory.
        """
        cdef RamRegion* region = ram_at(&self.bus.map, address, max(size, 1))
        if region != NULL and size:
            self.invalidate(address, size)
            zero(region, <char*>region.host + (address - region.base), size)
            self.settle_write(address, size)
        return region != NULL

    cdef int settle_write(self, uint64_t address, uint64_t size) except -1:
        """Bytes have been changed that were invalidated: harts in threads may have translated them meanwhile."""
        if self.machine.safepoints != NULL:
            self.invalidate(address, size)
        return 0

    def invalidate(self, uint64_t address, uint64_t size):
        """RAM in [address, address + size) is about to be, or has been, changed from outside.

        Raises what fetching absent pages raises.
        """
        cdef RamRegion* region = ram_at(&self.bus.map, address, size)
        if region != NULL and size:
            (<Ram>region.owner).require(address - region.base, size)
            invalidate(&self.machine, address, size)
            break_reservations(&self.machine, address, size)

    # --- Probes. No hart may be inside a slice -----------------------------------------------------------------------

    # `scope` of a probe: a bit for each privilege whose accesses and instructions it is about, and the address space's
    # number with a mask of the bits that count.

    def add_watch(self, uint64_t address, size, *, bint reads, bint writes, bint always=False,
                  bint physical=True, scope=EVERYWHERE, hook=None):
        """Stop with STOP_WATCH after each instruction that accesses [address, address + size); or call `hook` with
        (subject, pc, virtual address, physical, size, value, old, is it a write) then. Returns an id.

        `always`: also while probes are only noted. Raises ValueError where there is no byte, or where that is physical,
        and not RAM of one region.
        """
        cdef int id
        cdef Watch watch
        if size < 1:
            raise ValueError(f"[{address:#x}, {address + size:#x}) is not RAM")
        watch.always, watch.hook, watch.physical, watch.scope = always, hook is not None, physical, scope_of(scope)
        watch.base, watch.last = address, min(address + size - 1, MAX_ADDRESS)
        watch.accesses = WATCHED_READS * reads | WATCHED_WRITES * writes
        id = add_watch(&self.machine, &watch)
        if not physical:
            self.forget_memory()
        if hook is not None:
            self.hooks[id] = hook
        return id

    def add_breakpoint(self, uint64_t address, uint64_t size=1, *, bint physical, scope=EVERYWHERE, hook=None):
        """Stop with STOP_BREAKPOINT before each instruction in [address, address + size), virtual or physical; or call
        `hook` with the hart's subject then. Returns an id.
        """
        cdef int id
        cdef Breakpoint breakpoint
        breakpoint.hook, breakpoint.physical, breakpoint.scope = hook is not None, physical, scope_of(scope)
        breakpoint.address, breakpoint.size = address, size
        id = add_breakpoint(&self.machine, &breakpoint)
        if hook is not None:
            self.hooks[id] = hook
        return id

    def hear(self, EventKind kind, hook):
        """Call this for all events of a kind with (subject, pc, address, size, value, old), or with the subject alone
        where the instruction is the next one; None: for none any more. What it puts into `waiting` is called before the
        next event is told. Raises MemoryError.
        """
        make_room(&self.machine)
        if hook is None:
            self.hooks.pop(~<int>kind, None)
            self.machine.probes.wanted &= ~(1 << <int>kind)
        else:
            self.hooks[~<int>kind] = hook
            self.machine.probes.wanted |= 1 << <int>kind
        update_instruments(&self.machine)

    def remove_probe(self, int id):
        """End a watch or a breakpoint. One that there is not does nothing."""
        cdef int virtual_watches = self.machine.probes.virtual_watches
        self.hooks.pop(id, None)
        remove_watch(&self.machine, id)
        remove_breakpoint(&self.machine, id)
        if self.machine.probes.virtual_watches != virtual_watches:
            self.forget_memory()

    def forget_memory(self):
        """Let no hart remember anything of memory."""
        for hart in self.harts:
            hart.forget_memory()

    cdef object call_hooks(self, bint* ends_slice):
        """Tell hooks of the events that wait, in their order. What one raises is returned, and the others wait on."""
        onlooker = self.onlooker
        raised = None
        try:
            if onlooker is not None:
                onlooker.hooks_begin()
            self.in_hook = True
            self.tell_hooks()
        except BaseException as error:
            raised = error
        self.in_hook = False
        try:
            if onlooker is not None and onlooker.hooks_end():
                ends_slice[0] = True
        except BaseException as error:
            raised = raised or error
        return raised

    cdef int tell_hooks(self) except -1:
        cdef Probes* probes = &self.machine.probes
        cdef Event* event
        while self.waiting:             # behind one that has raised
            self.call_waiting()
        while probes.event_next < probes.event_count:
            event = &probes.events[probes.event_next]
            probes.event_next += 1
            hook = self.hooks.get(event.id)     # one of the others may have taken it away
            if hook is None:
                continue
            subject = self.subjects[event.hart]
            self.hooked_ahead = event.kind in (EVENT_EXECUTE, EVENT_CALL, EVENT_BLOCK)
            if event.kind == EVENT_EXECUTE:
                hook(subject)
                continue
            if event.kind in (EVENT_CALL, EVENT_BLOCK):
                hook(subject)
            elif event.kind in (EVENT_READ, EVENT_WRITE):
                hook(subject, event.pc, event.address, event.physical, event.size, event.value, event.old,
                     event.kind == EVENT_WRITE)
            else:
                hook(subject, event.pc, event.address, event.size, event.value, event.old)
            while self.waiting:
                self.call_waiting()
        forget_events(&self.machine)
        return 0

    cdef int call_waiting(self) except -1:
        hook, what = self.waiting.popleft()
        hook(what)
        return 0

    @property
    def observers(self):
        """How many hooks and recorders there are."""
        return len(self.hooks) + self.machine.probes.recorder_count

    @property
    def noting(self):
        """Whether probes do not stop a run: the last hit of each is noted, for `take_hits`. Writable."""
        return self.machine.probes.noting

    @noting.setter
    def noting(self, bint value):
        self.machine.probes.noting = value

    @property
    def silent(self):
        """Whether hooks are told of nothing, and recorders write nothing down. Writable."""
        return self.machine.probes.silent

    @silent.setter
    def silent(self, bint value):
        self.machine.probes.silent = value
        update_instruments(&self.machine)

    def take_hits(self, bint noted=False, hart=None):
        """What the last STOP_WATCH or STOP_BREAKPOINT was for: a list, given once, of (id, access, address, size, pc,
        hart, step). While probes are only noted, what has been is left out, or with `noted` in the list. `hart`, a
        number: of breakpoints those that it has met; where harts have threads the others come to theirs again.

        access: "read", "write", "access" for an instruction that does both, or "execute". The address is virtual or
        physical as the probe is, pc that of the instruction, and step the machine's before it.
        """
        cdef Probes* probes = &self.machine.probes
        cdef Hit* hit
        hits = []
        for i in range(probes.watch_count):
            hit = &probes.watches[i].hit
            if hit.accesses and (noted or not probes.noting or probes.watches[i].always):
                hits.append((probes.watches[i].id, WATCHED_ACCESSES[hit.accesses], hit.address, hit.size, hit.pc,
                             hit.hart, hit.step))
                hit.accesses = 0
        for i in range(probes.breakpoint_count):
            hit = &probes.breakpoints[i].hit
            if hit.accesses and (noted or not probes.noting):
                if hart in (None, hit.hart):
                    hits.append((probes.breakpoints[i].id, "execute", hit.address, 0, hit.pc, hit.hart, hit.step))
                hit.accesses = 0
        self.take_later_hits(hits, hart)
        return hits

    cdef int take_later_hits(self, list hits, object hart) except -1:
        cdef Probes* probes = &self.machine.probes
        cdef LaterHit* later
        cdef int i
        for i in range(probes.later_count):
            later = &probes.later_hits[i]
            if not later.breakpoint or hart in (None, later.hit.hart):
                access = "execute" if later.breakpoint else WATCHED_ACCESSES[later.hit.accesses]
                hits.append((later.id, access, later.hit.address, later.hit.size, later.hit.pc, later.hit.hart,
                             later.hit.step))
        probes.later_count = 0
        return 0

    def forget_reports(self):
        """The harts have another state: whichever breakpoint one stands at is to be reported."""
        forget_reports(&self.machine)
        forget_events(&self.machine)
        self.waiting.clear()

    def pass_over(self, int hart):
        """That this hart stands at a breakpoint is known: it goes on past it."""
        pass_over(self.machine.cpus[hart])

    def statistics(self):
        """Counters of the block cache, a dict of ints: translations, invalidations, evictions, bytes (host memory).

        "tlb_misses" are those of all harts, a dict: loads, stores, fetches. With a compiler also "jit", its counters,
        and where harts have threads "threads", of their pauses.
        """
        cdef int i, access
        cdef uint64_t interpreted = 0
        misses = dict.fromkeys(("loads", "stores", "fetches"), 0)
        for i in range(self.machine.cpu_count):
            interpreted += self.machine.cpus[i].interpreted
            for access, name in enumerate(misses):          # in the order of READ, WRITE, EXECUTE
                misses[name] += self.machine.cpus[i].tlb_misses[access]
        counters = {
            "translations": self.machine.blocks.translations,
            "invalidations": self.machine.blocks.invalidations,
            "evictions": self.machine.blocks.evictions,
            "bytes": self.machine.blocks.bytes,
            "tlb_misses": misses,
        }
        if self.compiler is not None:
            counters["jit"] = self.compiler.statistics()
            counters["jit"]["interpreted"] = interpreted
        if self.machine.safepoints != NULL:
            counters["threads"] = {"stops": lengths_of(&self.machine.safepoints.stops),
                                   "rests": lengths_of(&self.machine.safepoints.rests)}
        return counters


cdef dict lengths_of(const Pauses* pauses):
    return {"count": pauses.count, "total_ns": pauses.total_ns, "longest_ns": pauses.longest_ns}


cdef Scope scope_of(scope):
    privileges, space, space_mask = scope
    return Scope(privileges, space, space_mask)


# Kinds of events, for Python.
EVENT_KINDS = {
    "trap": EVENT_TRAP, "csr-read": EVENT_CSR_READ, "csr-write": EVENT_CSR_WRITE, "mmio-read": EVENT_MMIO_READ,
    "mmio-write": EVENT_MMIO_WRITE, "call": EVENT_CALL, "block": EVENT_BLOCK,
}
WATCHED_ACCESSES = {WATCHED_READS: "read", WATCHED_WRITES: "write", WATCHED_READS | WATCHED_WRITES: "access"}


cdef void zero(RamRegion* region, char* start, uint64_t size) noexcept:
    cdef uint64_t page = sysconf(_SC_PAGESIZE)      # the host's, which need not be the guest's
    cdef uint64_t head = -<uint64_t>start % page
    cdef uint64_t whole = (size - head) // page * page if size > head else 0
    if not whole or not give_back(region, start + head, whole):
        memset(start, 0, size)
        return
    memset(start, 0, head)
    memset(start + head + whole, 0, size - head - whole)


cdef bint give_back(RamRegion* region, char* start, uint64_t size) noexcept:
    """Let whole pages of the host's read as zeros, and take no memory; false if that is not to be had.

    Of a region that is a private view of an image they are mapped anew. Each stretch may cost one of the mappings that
    a process can have, so short ones and too many are not worth it.
    """
    if madvise(start, size, MADV_REMOVE) == 0:
        return True
    if size < SHORTEST_STRETCH or not take_stretch(region):
        return False
    return mmap(start, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
                0) != MAP_FAILED
