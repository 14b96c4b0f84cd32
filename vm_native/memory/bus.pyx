"""The guest physical address map.

RAM is found by arithmetic. Every other address belongs to a window that a device serves with `read(offset, size)`
and `write(offset, size, value)`. A device that raises leaves the access undone: the exception is stashed here, and
whoever runs the machine raises it again. So is what it says if a device returns anything but a number that fits.

A device may say of accesses that they are steady: such a read changes nothing and gives the same until something else
has been done to a device. Then the core answers with what it gave last, or with the time, and Python is not asked. What
is remembered ends with the epoch, and that with each access that is not steady or is none of the guest's, whichever
device it goes to, whenever a slice begins, and when a device says that it has changed, or whoever else calls Python in
a slice: the console, its mirror.
"""
cimport cython
from cpython.long cimport PyLong_Check
from cpython.number cimport PyNumber_Index
from libc.stdint cimport uint64_t
from libc.string cimport memset
from vm_native cimport signals
from vm_native.memory.ram cimport Ram, RamRegion

from vm_native.memory.device_value import whole_number


cdef int device_read(AddressMap* map, uint64_t physical, int size, uint64_t* value) noexcept nogil:
    """Read 1, 2, 4 or 8 bytes from a device; returns a BusStatus."""
    with gil:
        return _device_read(<Bus>map.bus, physical, size, value)


cdef int device_write(AddressMap* map, uint64_t physical, int size, uint64_t value) noexcept nogil:
    """Write 1, 2, 4 or 8 bytes to a device; returns a BusStatus."""
    with gil:
        return _device_write(<Bus>map.bus, physical, size, value)


cdef void stash_failure(AddressMap* map, RamRegion* region) noexcept nogil:
    """A page of the region could not be fetched: whoever runs the machine raises what the reason was."""
    with gil:
        ram = <Ram>region.owner
        (<Bus>map.bus).pending_exception, ram.failure = ram.failure, None


cdef int _device_read(Bus bus, uint64_t physical, int size, uint64_t* value) noexcept:
    cdef Window window
    try:
        window = bus.find_window(physical, size)
        if window is None:
            return BUS_FAULT
        bus.put_off_handlers()
        value[0] = bus.load_for_guest(window, physical, size)
        return BUS_OK
    except BaseException as error:
        bus.keep(error)
        return BUS_RAISED


cdef int _device_write(Bus bus, uint64_t physical, int size, uint64_t value) noexcept:
    cdef Window window
    try:
        window = bus.find_window(physical, size)
        if window is None:
            return BUS_FAULT
        bus.put_off_handlers()
        bus.store_for_guest(window, physical, size, value)
        return BUS_OK
    except BaseException as error:
        bus.keep(error)
        return BUS_RAISED


@cython.final
cdef class Window:
    """Addresses [base, end) that a device serves."""

    def __init__(self, uint64_t base, uint64_t end, device, steady):
        self.base = base
        self.end = end
        self.device = device
        self.read = device.read
        self.write = device.write
        self.steady = steady

    cdef uint64_t load(self, uint64_t offset, int size) except? 0:
        return self.checked(offset, size, self.read(offset, size))

    cdef uint64_t checked(self, uint64_t offset, int size, object value) except? 0:
        """What the device has given for a read, as a number."""
        cdef uint64_t number
        if PyLong_Check(value):
            try:
                number = value
                if size == 8 or number >> 8 * size == 0:
                    return number
            except OverflowError:
                pass
        return whole_number(self.device, offset, size, value)

    def method_for(self, uint64_t offset, int size, bint writes):
        """The device's own for the access, if that is to a register; None: its `read` or `write`."""
        return None if self.steady is None else self.device.register_method(offset, size, writes)

    cdef AnswerKind kind_of(self, uint64_t offset, int size, bint writes) except *:
        if self.steady is None:
            return ANSWER_UNSTEADY
        key = offset << 4 | size
        if writes:
            return ANSWER_STEADY if key in self.steady.writes else ANSWER_UNSTEADY
        if key in self.steady.timebase:
            return ANSWER_TIMEBASE
        return ANSWER_STEADY if key in self.steady.reads else ANSWER_UNSTEADY


cdef class Bus:
    """RAM regions and device windows of one machine. Addresses are guest physical.

    `clock` is the machine's. To measure what that brings, with `answering=False` a device is asked each time.
    """

    def __cinit__(self, clock=None, *, bint answering=True):
        self.regions = []
        self.windows = []
        self.later_exceptions = []
        self.clock = clock
        self.methods = [None] * (2 * ANSWERS)
        self.answering = answering
        self.map.bus = <void*>self
        self.map.epoch = 1

    def add_ram(self, Ram ram not None):
        """Map a region. Raises ValueError where it overlaps something or no more regions fit."""
        if self.map.region_count == MAX_RAM_REGIONS:
            raise ValueError(f"there are {MAX_RAM_REGIONS} regions of memory already, and no more fit")
        self._refuse_overlap(ram.base, ram.base + ram.size)
        self.regions.append(ram)
        self.map.regions[self.map.region_count] = &ram.region
        self.map.region_count += 1

    def add_device(self, uint64_t base, uint64_t size, device):
        """Let `device.read` and `device.write` serve [base, base + size). Raises ValueError where it overlaps.

        Where there is a `device.let_core_answer`, it is told what to call when it has changed, and says what is steady;
        then `device.register_method` gives what serves an access.
        """
        self._refuse_overlap(base, base + size)
        self.windows.insert(self.windows_until(base), self.window_for(base, base + size, device))

    def replace_device(self, uint64_t base, device):
        """Let another device serve the window that begins at `base`. Raises ValueError where none does."""
        cdef Window window
        for index, window in enumerate(self.windows):
            if window.base == base:
                memset(self.map.answers, 0, sizeof(self.map.answers))
                self.methods = [None] * (2 * ANSWERS)
                self.windows[index] = self.window_for(base, window.end, device)
                return
        raise ValueError(f"no device stands at {base:#x}")

    cdef Window window_for(self, uint64_t base, uint64_t end, object device):
        cdef object steady = None
        if self.answering and hasattr(device, "let_core_answer"):
            steady = device.let_core_answer(self.forget_answers)
        return Window(base, end, device, steady)

    def forget_answers(self):
        """Something has changed that a device shows: each is asked anew."""
        forget_answers(&self.map)

    # --- Accesses of the guest ---------------------------------------------------------------------------------------

    cdef Answer* about_to_access(self, Window window, uint64_t physical, int size, bint writes) except NULL:
        """What is known of the access. From here on nothing counts that it may change."""
        cdef uint64_t key = answer_key(physical, size)
        cdef Answer* answer = answer_at(&self.map, key, writes)
        if answer.key != key:
            answer.key = answer.epoch = 0
            self.methods[answer - &self.map.answers[0][0]] = window.method_for(physical - window.base, size, writes)
            answer.kind = window.kind_of(physical - window.base, size, writes)
            answer.key = key
        if answer.kind == ANSWER_UNSTEADY:
            forget_answers(&self.map)
        return answer

    cdef object method_of(self, Answer* answer):
        return self.methods[answer - &self.map.answers[0][0]]

    cdef int store_for_guest(self, Window window, uint64_t physical, int size, uint64_t value) except -1:
        method = self.method_of(self.about_to_access(window, physical, size, True))
        if method is None:
            window.write(physical - window.base, size, value)
        else:
            method(value)
        return 0

    cdef uint64_t load_for_guest(self, Window window, uint64_t physical, int size) except? 0:
        cdef Answer* answer = self.about_to_access(window, physical, size, False)
        cdef uint64_t key = answer.key, epoch = self.map.epoch
        cdef uint64_t value, offset = physical - window.base
        method = self.method_of(answer)
        value = window.load(offset, size) if method is None else window.checked(offset, size, method())
        # Unless the device has changed meanwhile, or is not there any more.
        if answer.key == key and answer.kind != ANSWER_UNSTEADY and self.map.epoch == epoch:
            answer.value = value
            if answer.kind != ANSWER_TIMEBASE or window.device.clock is self.clock:
                answer.epoch = epoch
        return value

    # --- The map -----------------------------------------------------------------------------------------------------

    cdef int _refuse_overlap(self, uint64_t base, uint64_t end) except -1:
        cdef Window window
        cdef Ram ram
        for ram in self.regions:
            if base < ram.region.base + ram.region.size and ram.region.base < end:
                raise ValueError(f"[{base:#x}, {end:#x}) overlaps "
                                 f"[{ram.region.base:#x}, {ram.region.base + ram.region.size:#x})")
        for window in self.windows:
            if base < window.end and window.base < end:
                raise ValueError(f"[{base:#x}, {end:#x}) overlaps [{window.base:#x}, {window.end:#x})")
        return 0

    cdef Py_ssize_t windows_until(self, uint64_t address):
        """How many windows begin there or below: they are in the order of addresses."""
        cdef Py_ssize_t low = 0, middle, high = len(self.windows)
        while low < high:
            middle = (low + high) // 2
            if (<Window>self.windows[middle]).base <= address:
                low = middle + 1
            else:
                high = middle
        return low

    cdef Window find_window(self, uint64_t physical, int size):
        cdef Py_ssize_t index = self.windows_until(physical) - 1
        cdef Window window
        if index < 0:
            return None
        window = <Window>self.windows[index]
        return window if physical < window.end and <uint64_t>size <= window.end - physical else None

    def close(self):
        """Nothing answers any more, and RAM goes back to the host."""
        self.map.region_count = 0
        for ram in self.regions:
            ram.close()
        self.regions = []
        self.windows = []
        self.methods = [None] * (2 * ANSWERS)

    cdef void keep(self, error) noexcept:
        """The guest's access has raised: it is left undone, and whoever runs the machine raises the error again."""
        if self.pending_exception is None:
            self.pending_exception = error
        else:
            self.later_exceptions.append(error)

    cdef bint has_raised(self) noexcept:
        """Whether an error waits, to be raised as `pending_exception`."""
        if self.pending_exception is None and self.later_exceptions:
            self.pending_exception = self.later_exceptions[0]
            del self.later_exceptions[0]
        return self.pending_exception is not None

    cdef int put_off_handlers(self) except -1:
        """Something is about to be half done: handlers of signals wait until `release_handlers` (vm_native.signals)."""
        if not self.handlers_wait:
            signals.put_off_handlers(self)
            self.handlers_wait = True
        return 0

    cdef int release_handlers(self) except -1:
        """Nothing is half done. Raises what a handler raises."""
        if self.handlers_wait:
            self.handlers_wait = False
            signals.release_handlers(self)
        return 0

    def ram_regions(self):
        """The mapped `Ram` objects, a tuple."""
        return tuple(self.regions)

    def read(self, object address, object size):
        """Bytes of RAM at a physical address, or None where not all of them are RAM, or these are no such numbers."""
        cdef RamRegion* region = self.region_of(address, size)
        cdef uint64_t offset
        if region == NULL:
            return None
        offset = <uint64_t>address - region.base
        (<Ram>region.owner).require(offset, size)
        return (<char*>region.host + offset)[:<uint64_t>size]

    def view(self, object address, object size):
        """A read-only memoryview of RAM, zero-copy; None as `read` says."""
        cdef RamRegion* region = self.region_of(address, size)
        return None if region == NULL else (<Ram>region.owner).view(<uint64_t>address - region.base, size)

    cdef RamRegion* region_of(self, object address, object size) except? NULL:
        """That of all the bytes, or NULL."""
        cdef uint64_t first, count
        try:
            first, count = PyNumber_Index(address), PyNumber_Index(size)    # a float is none
        except (TypeError, OverflowError):
            return NULL
        return ram_at(&self.map, first, count)

    def read_device(self, uint64_t address, int size):
        """Read 1, 2, 4 or 8 bytes from the device there, or None where there is none; its exceptions pass through."""
        cdef Window window = self.find_window(address, size)
        forget_answers(&self.map)           # it may be another device that asks, in an access that is steady
        return None if window is None else window.load(address - window.base, size)

    def write_device(self, uint64_t address, int size, uint64_t value):
        """Write 1, 2, 4 or 8 bytes to the device there; False where there is none."""
        cdef Window window = self.find_window(address, size)
        if window is None:
            return False
        forget_answers(&self.map)
        window.write(address - window.base, size, value)
        return True
