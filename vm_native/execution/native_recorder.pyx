"""What recorders have written, for Python: a buffer that is looked at without a copy, a table, or a map."""
import sys
from cpython.buffer cimport PyBUF_WRITABLE
from cython cimport no_gc_clear
from libc.stdint cimport intptr_t, uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.machine cimport (
    NO_BRANCH, NOWHERE, RECORD_ACCESSES, RECORD_BLOCKS, RECORD_BRANCHES, RECORD_EDGES, RECORD_MMIO, RECORD_STEPS,
    RECORD_TRAPS, RECORD_VISITS, Record, RecordKind, Recorder, Scope, Visit,
)
from vm_native.memory.zeroed cimport map_zeroed, map_zeroed_low, unmap_zeroed
from vm_native.probes.recorders cimport SLACK, add_recorder, forget_recorder, record_size, remove_recorder
from vm_native.probes.records cimport NO_SLOT, RECORDED_WRITE, cut_blocks, open_visit

RECORD_KINDS = {
    "blocks": RECORD_BLOCKS, "branches": RECORD_BRANCHES, "instructions": RECORD_STEPS, "memory": RECORD_ACCESSES,
    "traps": RECORD_TRAPS, "mmio": RECORD_MMIO, "visits": RECORD_VISITS, "edges": RECORD_EDGES,
}


cdef Record* fields = NULL
# Where the fields of a record stand, its size by kinds, and what Python has to know of what is in it.
RECORD_OFFSETS = {
    "pc": <intptr_t>&fields.pc, "step": <intptr_t>&fields.step, "word": <intptr_t>&fields.word,
    "hart": <intptr_t>&fields.hart, "privilege": <intptr_t>&fields.privilege, "detail": <intptr_t>&fields.detail,
    "access": <intptr_t>&fields.access, "address": <intptr_t>&fields.address, "value": <intptr_t>&fields.value,
}
RECORD_SIZES = {name: record_size(kind) for name, kind in RECORD_KINDS.items()}
FULL_WITH_ROOM_FOR, NO_REGISTER, WRITTEN = SLACK, NO_SLOT, RECORDED_WRITE
SOURCE_TRAPPED, NO_ADDRESS = NO_BRANCH, NOWHERE         # of a visit


@no_gc_clear                                # what it is in must be there to the end
cdef class NativeRecorder:
    """A recorder of one kind, in a machine until `stop`.

    - capacity: of records, at least 128; of a map the logarithm of its bytes.
    - base, end: virtual addresses of the instructions that count. scope: as of probes.
    - ring: the oldest records are overwritten when it is full; else the run stops.

    Raises MemoryError; ValueError where there are too many, and where harts have threads.
    """

    def __cinit__(self, NativeMachine machine not None, RecordKind kind, capacity, uint64_t base, uint64_t end, scope,
                  bint ring):
        if machine.machine.safepoints != NULL:
            raise ValueError("harts in threads are not traced, covered or recorded; build the machine without "
                             "threads=True, on the command line without --threads")
        self.recorder.kind = kind
        self.recorder.base, self.recorder.end = base, end
        privileges, space, space_mask = scope
        self.recorder.scope = Scope(privileges, space, space_mask)
        self.recorder.ring = ring
        self.recorder.record_bytes = record_size(kind)
        if kind == RECORD_EDGES:
            self.recorder.map_bits = <int>capacity
        # In a ring the place where the next record goes may hold one that was taken back: that is one more.
        bytes = 1 << capacity if kind == RECORD_EDGES else (capacity + ring) * self.recorder.record_bytes
        if bytes:
            if bytes <= sys.maxsize:
                self.room_bytes = bytes
                low = kind == RECORD_EDGES
                self.recorder.start = <uint8_t*>(map_zeroed_low(bytes) if low else map_zeroed(bytes))
            if self.recorder.start == NULL:
                raise MemoryError(f"no room for {bytes:,} bytes of a trace")
            self.recorder.room = self.recorder.start + self.room_bytes
        add_recorder(&machine.machine, &self.recorder)
        self.machine = machine
        machine.recorders.append(self)

    def __dealloc__(self):
        if self.machine is not None:        # which goes, too
            forget_recorder(&self.machine.machine, &self.recorder)
        free(self.recorder.visits)
        if self.recorder.start != NULL:
            unmap_zeroed(self.recorder.start, self.room_bytes)

    def stop(self):
        """Record no more. Twice is harmless; between slices."""
        if self.machine is not None:
            remove_recorder(&self.machine.machine, &self.recorder)
            self.machine.recorders.remove(self)
            self.machine = None

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        """All of the buffer, or the map, as bytes."""
        if flags & PyBUF_WRITABLE and self.recorder.kind != RECORD_EDGES:
            raise BufferError("what a trace has recorded can only be read")
        self.shape[0], self.strides[0] = self.room_bytes, 1
        buffer.buf, buffer.len, buffer.itemsize, buffer.ndim = self.recorder.start, self.room_bytes, 1, 1
        buffer.format, buffer.shape, buffer.strides, buffer.suboffsets = b"B", self.shape, self.strides, NULL
        buffer.internal, buffer.obj, buffer.readonly = NULL, self, self.recorder.kind != RECORD_EDGES
        self.views += 1

    def __releasebuffer__(self, Py_buffer* buffer):
        self.views -= 1

    @property
    def count(self):
        """How many records the buffer holds in front of where the next one goes."""
        return (self.recorder.next - self.recorder.start) // self.recorder.record_bytes

    @property
    def wrapped(self):
        """Whether there are records behind the next place, too, which are older."""
        return self.recorder.laps != 0

    @property
    def dropped(self):
        """How many events are not there: overwritten, or there was no memory."""
        if not self.recorder.ring:
            return self.recorder.dropped
        places = self.room_bytes // self.recorder.record_bytes
        return max(self.recorder.laps * places + self.count - (places - 1), 0)

    @property
    def full(self):
        """Whether the run stops for it. `clear` ends that."""
        return self.recorder.full

    def clear(self):
        """Begin anew. Between slices."""
        cdef Recorder* recorder = &self.recorder
        recorder.next = recorder.start
        recorder.full = recorder.unfinished = False
        recorder.last = NULL
        recorder.dropped = recorder.laps = 0
        if recorder.kind == RECORD_EDGES:
            memset(recorder.start, 0, self.room_bytes)
        elif recorder.kind == RECORD_VISITS:
            if self.machine is not None:
                cut_blocks(&self.machine.machine)
            memset(recorder.visits, 0, sizeof(Visit) << recorder.visit_bits)
            recorder.visit_count = 0

    def limit_to(self, uint64_t count):
        """It is full as soon as it holds so many records, at most as many as it has room for. Between slices."""
        cdef Recorder* recorder = &self.recorder
        cdef uint64_t most = <uint64_t>(recorder.room - recorder.start) // <uint64_t>recorder.record_bytes - SLACK
        recorder.limit = recorder.start + min(count, most) * <uint64_t>recorder.record_bytes
        recorder.full = not recorder.ring and recorder.next >= recorder.limit

    def visits(self):
        """What was counted, a list of (start of the block, its last instruction, the next block, length of that
        instruction, count). The last instruction is odd where a trap came there, or before it: then the length is 0,
        but for environment calls and breakpoints. A block that the program has ended, or that a hart is in the middle
        of now, has no next, and is odd with the hart's pc; it can be there more than once. Between slices.
        """
        cdef Visit* visit
        cdef Visit now
        cdef uint64_t i
        found = []
        for i in range(self.machine.machine.cpu_count if self.machine is not None else 0):
            now = open_visit(&self.recorder, self.machine.machine.cpus[i])
            if now.start != NOWHERE:
                found.append((now.start, now.source, now.target, now.length, 1))
        for i in range(1ULL << self.recorder.visit_bits):
            visit = &self.recorder.visits[i]
            if visit.count:
                found.append((visit.start, visit.source, visit.target, visit.length, visit.count))
        return found
