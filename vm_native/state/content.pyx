"""Taking what RAM holds as a value, and going back to it.

The first time, the region's memfd becomes an image that never changes again, and the region a private mapping of it:
nothing is copied. From then on the pages that were written since are copied into a table, which is the former one but
for them. A restore writes back the pages that were written since the last capture or restore, and those in which the
two contents differ: it costs what changed, not what exists. Content of another image is mapped over the region, and
the copies that belong to it are absent until somebody looks at them: so a new machine costs nothing for its RAM.

What was translated lives on where the bytes are the same.
"""
import os

from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy
from posix.unistd cimport close
from vm_native.blocks cimport forget_code
from vm_native.code_pages cimport holds_code
from vm_native.machine cimport CODE_LINE_SHIFT, CODE_LINES, CodePage, Machine
from vm_native.memory.ram cimport HAS_CODE, PAGE_SHIFT, PAGE_SIZE, Ram, RamRegion, return_stretches
from vm_native.memory.zeroed cimport map_zeroed, zero_pages
from vm_native.shared_code cimport ask_again
from vm_native.state.image cimport RamImage, image_of
from vm_native.state.pages cimport (
    CHUNK_PAGES, CHUNK_SHIFT, Chunk, PageTable, copy_in, derived_table, drop_table, empty_table, set_copy,
)

from vm_native.descriptors import above_standard

cdef extern from "<fenv.h>" nogil:
    ctypedef struct fenv_t:
        pass
    const fenv_t* FE_DFL_ENV
    int fegetenv(fenv_t* environment)
    int fesetenv(const fenv_t* environment)

cdef extern from *:
    """
    static inline unsigned char vm_load_acquire(const unsigned char *place) {
        return __atomic_load_n(place, __ATOMIC_ACQUIRE);
    }
    """
    uint8_t load_acquire "vm_load_acquire"(const uint8_t* place) noexcept nogil

cdef enum:
    CODE_LINE = 1 << CODE_LINE_SHIFT


cdef inline const uint8_t* bytes_of(const Pages* pages, uint64_t page) noexcept nogil:
    """Those of a page that is not missing in the image."""
    cdef const uint8_t* copy = copy_in(pages.table, page)
    return copy if copy != NULL else pages.image + (page << PAGE_SHIFT)


cdef inline bint is_missing(const Pages* pages, uint64_t page) noexcept nogil:
    return pages.missing != NULL and load_acquire(&pages.missing[page]) and copy_in(pages.table, page) == NULL


cdef bint fetch_page(RamRegion* region, uint64_t page) noexcept nogil:
    """As `RamRegion.fetch`."""
    cdef Pages* pages = <Pages*>region.content
    cdef const uint8_t* copy = copy_in(pages.table, page)
    if copy != NULL:
        memcpy(region.host + (page << PAGE_SHIFT), copy, PAGE_SIZE)
    elif is_missing(pages, page) and not load_page(region, page):
        return False
    region.absent[page] = 0
    return True


cdef bint load_page(RamRegion* region, uint64_t page) noexcept nogil:
    """Python does it, perhaps in the middle of a slice: what floating point is set to, and has raised, is the guest's.
    """
    cdef fenv_t of_guest
    cdef bint done
    fegetenv(&of_guest)
    fesetenv(FE_DFL_ENV)
    with gil:
        try:
            (<RegionContent>(<Pages*>region.content).owner).load(page)
            done = True
        except BaseException as error:
            (<Ram>region.owner).failure = error
            done = False
    fesetenv(&of_guest)
    return done


cdef class RegionContent:
    """What the region of RAM at `base` holds at one moment, for ever. Made by a capture, or of an image alone."""

    def __init__(self, RamImage image not None, uint64_t base):
        self.set_pages(image, base, empty_table(image.size >> PAGE_SHIFT))

    cdef int set_pages(self, RamImage image, uint64_t base, PageTable* table) except -1:
        if table == NULL:
            raise MemoryError("no room for the page table of a snapshot")
        self.image, self.base, self.size = image, base, image.size
        self.pages.table = table
        self.pages.image, self.pages.missing = image.host, image.missing
        self.pages.owner = <void*>self
        return 0

    def __dealloc__(self):
        drop_table(self.pages.table)

    cdef int load(self, uint64_t page) except -1:
        return self.image.fill(page) if is_missing(&self.pages, page) else 0

    @property
    def copied_bytes(self):
        """Host memory of the pages that were copied for this content, not for one that it came from."""
        return self.pages.table.copies << PAGE_SHIFT

    def read(self, uint64_t page, uint64_t count=1):
        """The bytes of so many pages, from the one of this number on. Raises what loading them raises."""
        cdef uint64_t i
        if page > self.size >> PAGE_SHIFT or count > (self.size >> PAGE_SHIFT) - page:
            raise IndexError(f"the region has {self.size >> PAGE_SHIFT} pages, not {count} from {page} on")
        found = bytearray(count << PAGE_SHIFT)
        cdef uint8_t* target = found
        for i in range(count):
            self.load(page + i)
            memcpy(target + (i << PAGE_SHIFT), bytes_of(&self.pages, page + i), PAGE_SIZE)
        return found

    def touched(self):
        """One byte a page, a bytearray: 0 where it is certain to hold zeroes."""
        pages = self.image.touched()
        cdef uint8_t* page = pages
        cdef uint64_t i
        for i in range(self.size >> PAGE_SHIFT):
            page[i] |= copy_in(self.pages.table, i) != NULL
        return pages

    def copies_besides(self, RegionContent other):
        """How many pages it has a copy of that another content, or the image alone (None), has not."""
        cdef const Chunk* ours
        cdef const Chunk* theirs = NULL
        cdef uint64_t chunk, found = 0
        cdef int i
        if other is not None and other.size != self.size:
            raise ValueError("regions of different sizes")
        for chunk in range(self.pages.table.chunk_count):
            ours = self.pages.table.chunks[chunk]
            if other is not None:
                theirs = other.pages.table.chunks[chunk]
            if ours == NULL or ours == theirs:
                continue
            for i in range(CHUNK_PAGES):
                found += ours.pages[i] != NULL and (theirs == NULL or ours.pages[i] != theirs.pages[i])
        return found

    def differing(self, RegionContent other not None):
        """One byte a page, a bytearray: 0 where both are certain to hold the same."""
        cdef uint64_t i, count = self.size >> PAGE_SHIFT
        pages = bytearray(count)
        cdef uint8_t* page = pages
        if self.size != other.size:
            raise ValueError("regions of different sizes")
        for i in range(count):
            if self.image is other.image:
                page[i] = copy_in(self.pages.table, i) != copy_in(other.pages.table, i)
            else:
                self.load(i)
                other.load(i)
                page[i] = memcmp(bytes_of(&self.pages, i), bytes_of(&other.pages, i), PAGE_SIZE) != 0
        return pages


# --- Capture ----------------------------------------------------------------------------------------------------------

cdef RegionContent capture_region(Ram ram):
    """What the region holds now; its pages count as clean from here on, so write tags must go. Raises MemoryError."""
    cdef RegionContent content = ram.content
    if content is None:
        content = freeze(ram)
    elif ram.region.dirty_count:
        content = derive(ram, content)
    stand_on(ram, content)
    return content


cdef RegionContent freeze(Ram ram):
    """Make the region's memfd an image, and the region a private mapping of it."""
    cdef RamImage image = image_of(above_standard(os.dup(ram.descriptor)), ram.region.size)
    cdef RegionContent content = RegionContent(image, ram.region.base)
    image.map_over(ram.region.host)
    close(ram.descriptor)
    ram.descriptor = -1
    return content


cdef RegionContent derive(Ram ram, RegionContent before):
    """`before`, but for the pages that were written since."""
    cdef RegionContent content = RegionContent.__new__(RegionContent)
    cdef RamRegion* region = &ram.region
    cdef const uint8_t* now
    cdef uint64_t i, page
    cdef int status = 0
    content.set_pages(before.image, before.base, derived_table(before.pages.table))
    with nogil:
        for i in range(region.dirty_count):
            page = region.dirty_pages[i]
            now = region.host + (page << PAGE_SHIFT)
            if memcmp(now, bytes_of(&before.pages, page), PAGE_SIZE) != 0:
                status = set_copy(content.pages.table, page, now)
                if status < 0:
                    break
    if status < 0:
        raise MemoryError("no room for the pages of a snapshot")
    return content


cdef void stand_on(Ram ram, RegionContent content) noexcept:
    """The region holds just this now."""
    cdef uint64_t i
    for i in range(ram.region.dirty_count):
        ram.region.dirty[ram.region.dirty_pages[i]] = 0
    ram.region.dirty_count = 0
    ram.content = content
    ram.region.content = &content.pages
    ram.region.fetch = fetch_page


# --- Restore ----------------------------------------------------------------------------------------------------------

cdef int prepare_restore(Machine* machine, Ram ram, RegionContent target) except -1:
    """All that can fail of a restore: load what is missing of the pages that it looks at, find room for page maps."""
    cdef RegionContent now = ram.content
    cdef RamRegion* region = &ram.region
    cdef uint64_t page
    cdef bint related = now is not None and now.image is target.image
    if region.base != target.base or region.size != target.size:
        raise ValueError(f"RAM at {region.base:#x} of {region.size:#x} bytes, not at {target.base:#x} of "
                         f"{target.size:#x}")
    if not related and region.absent == NULL and has_absent(&target.pages):
        region.absent = <uint8_t*>map_zeroed(region.size >> PAGE_SHIFT)
        if region.absent == NULL:
            raise MemoryError("no room for the page map of a restored machine")
    if target.pages.missing == NULL:
        return 0
    if ram.exports:
        for page in range(region.size >> PAGE_SHIFT):
            target.load(page)
    elif related:
        load_written_back(region, now, target)
    else:
        load_code(machine, region, target)
    return 0


cdef int load_code(Machine* machine, RamRegion* region, RegionContent target) except -1:
    """Load the pages that `forget_other_code` will compare."""
    cdef CodePage* code = machine.blocks.records
    cdef uint64_t page
    while code != NULL:
        page = (code.physical - region.base) >> PAGE_SHIFT
        if holds_code(code) and page < region.size >> PAGE_SHIFT:
            target.load(page)
        code = code.next
    return 0


cdef int load_written_back(RamRegion* region, RegionContent now, RegionContent target) except -1:
    """Load the pages that `write_back` will ask for."""
    cdef uint64_t i, chunk, page
    for i in range(region.dirty_count):
        target.load(region.dirty_pages[i])
    for chunk in range(target.pages.table.chunk_count):
        if now.pages.table.chunks[chunk] != target.pages.table.chunks[chunk]:
            for page in range(chunk << CHUNK_SHIFT, (chunk << CHUNK_SHIFT) + CHUNK_PAGES):
                if copy_in(now.pages.table, page) != copy_in(target.pages.table, page):
                    target.load(page)
    return 0


cdef void restore_region(Machine* machine, Ram ram, RegionContent target) except *:
    """Let the region hold `target`, for which `prepare_restore` has seen to all that may fail.

    What harts remember of memory must be forgotten, for it may not be so.
    """
    cdef RegionContent now = ram.content
    if now is not None and now.image is target.image:
        with nogil:
            write_back(machine, &ram.region, &now.pages, &target.pages)
    else:
        forget_other_code(machine, &ram.region, &target.pages)
        target.image.map_over(ram.region.host)
        return_stretches(&ram.region)
        mark_absent(&ram.region, &target.pages)
        if ram.descriptor >= 0:
            close(ram.descriptor)
        ram.descriptor = -1
    stand_on(ram, target)
    if ram.exports:                     # whoever looks through a view fetches nothing
        ram.require(0, ram.region.size)


cdef void write_back(Machine* machine, RamRegion* region, const Pages* now, const Pages* target) noexcept nogil:
    cdef uint64_t i, chunk, page
    for i in range(region.dirty_count):
        restore_page(machine, region, region.dirty_pages[i], target)
    if now == target:
        return
    for chunk in range(target.table.chunk_count):
        if now.table.chunks[chunk] != target.table.chunks[chunk]:
            for page in range(chunk << CHUNK_SHIFT, (chunk << CHUNK_SHIFT) + CHUNK_PAGES):
                if copy_in(now.table, page) != copy_in(target.table, page):
                    restore_page(machine, region, page, target)


cdef void restore_page(Machine* machine, RamRegion* region, uint64_t page, const Pages* target) noexcept nogil:
    cdef uint8_t* host = region.host + (page << PAGE_SHIFT)
    if region.absent != NULL and region.absent[page]:
        # Nobody has looked at it, so it is still as in the image.
        forget_code(machine, region, region.base + (page << PAGE_SHIFT), PAGE_SIZE)
        region.absent[page] = copy_in(target.table, page) != NULL or is_missing(target, page)
        region.present = min(region.present, page)
    else:
        if region.code[page] & HAS_CODE:
            forget_changed_code(machine, region, page, bytes_of(target, page))
        memcpy(host, bytes_of(target, page), PAGE_SIZE)
    ask_again(machine, region.base + (page << PAGE_SHIFT))


cdef void forget_changed_code(
    Machine* machine, RamRegion* region, uint64_t page, const uint8_t* wanted
) noexcept nogil:
    """These will be the bytes of the page: kill what was translated of other ones."""
    cdef const uint8_t* host = region.host + (page << PAGE_SHIFT)
    cdef uint64_t offset
    cdef int line
    for line in range(CODE_LINES):
        offset = <uint64_t>line << CODE_LINE_SHIFT
        if memcmp(host + offset, wanted + offset, CODE_LINE) != 0:
            forget_code(machine, region, region.base + (page << PAGE_SHIFT) + offset, CODE_LINE)


cdef void forget_other_code(Machine* machine, RamRegion* region, const Pages* target) noexcept nogil:
    """The same for every page of a region that is about to be mapped anew."""
    cdef CodePage* code = machine.blocks.records
    cdef uint64_t page
    while code != NULL:
        page = (code.physical - region.base) >> PAGE_SHIFT
        if holds_code(code) and page < region.size >> PAGE_SHIFT:
            if region.absent != NULL and region.absent[page]:
                forget_code(machine, region, code.physical, PAGE_SIZE)
            else:
                forget_changed_code(machine, region, page, bytes_of(target, page))
        ask_again(machine, code.physical)
        code = code.next


cdef bint has_absent(const Pages* target) noexcept nogil:
    """Whether a region that is mapped anew does not have all of its bytes."""
    cdef uint64_t chunk
    if target.missing != NULL:
        return True
    for chunk in range(target.table.chunk_count):
        if target.table.chunks[chunk] != NULL:
            return True
    return False


cdef void mark_absent(RamRegion* region, const Pages* target) noexcept nogil:
    """The region has been mapped anew. Where a page map is needed, there is one."""
    cdef uint64_t count = region.size >> PAGE_SHIFT
    cdef uint64_t chunk, page
    region.present = 0
    if region.absent == NULL:
        return
    if target.missing != NULL:
        memcpy(region.absent, target.missing, count)
    else:
        zero_pages(region.absent, count)        # most of it has never been touched, and stays so
    for chunk in range(target.table.chunk_count):
        if target.table.chunks[chunk] != NULL:
            for page in range(chunk << CHUNK_SHIFT, (chunk << CHUNK_SHIFT) + CHUNK_PAGES):
                if copy_in(target.table, page) != NULL:
                    region.absent[page] = 1


# --- Comparison -------------------------------------------------------------------------------------------------------

def changed_pages(Ram ram not None, RegionContent content not None):
    """The numbers of the pages in which a region differs from a content, a list. Raises what loading pages raises."""
    cdef uint64_t page
    cdef RegionContent now = ram.content
    cdef bint related = now is not None and now.image is content.image
    found = []
    for page in range(ram.region.size >> PAGE_SHIFT):
        if related and not ram.region.dirty[page]:
            if copy_in(now.pages.table, page) == copy_in(content.pages.table, page):
                continue
        ram.require(page << PAGE_SHIFT, PAGE_SIZE)
        content.load(page)
        if memcmp(ram.region.host + (page << PAGE_SHIFT), bytes_of(&content.pages, page), PAGE_SIZE) != 0:
            found.append(page)
    return found
