# Words that harts in threads look at while another may change them: what is read is the old or the new one, and each
# function says what else is ordered by it. On x86-64 those that load are plain loads.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    typedef _Atomic int vm_shared_flag;
    typedef _Atomic unsigned char vm_shared_byte;
    #define vm_load(place) __atomic_load_n(place, __ATOMIC_SEQ_CST)
    #define vm_store(place, value) __atomic_store_n(place, value, __ATOMIC_SEQ_CST)
    #define vm_add(place, value) __atomic_fetch_add(place, value, __ATOMIC_SEQ_CST)
    #define vm_peek(place) __atomic_load_n(place, __ATOMIC_RELAXED)
    #define vm_poke(place, value) __atomic_store_n(place, value, __ATOMIC_RELAXED)
    #define vm_published(place) __atomic_load_n(place, __ATOMIC_ACQUIRE)
    #define vm_publish(place, value) __atomic_store_n(place, value, __ATOMIC_RELEASE)
    """
    # Sequentially consistent; of a SharedFlag or SharedByte all that is done to it is
    ctypedef bint SharedFlag "vm_shared_flag"
    ctypedef uint8_t SharedByte "vm_shared_byte"
    int load_flag "vm_load"(const int* place) noexcept nogil
    void store_flag "vm_store"(int* place, int value) noexcept nogil
    uint64_t add_to "vm_add"(uint64_t* place, uint64_t value) noexcept nogil
    # Relaxed: nothing else is ordered by it
    uint64_t peek "vm_peek"(const uint64_t* place) noexcept nogil
    void poke "vm_poke"(uint64_t* place, uint64_t value) noexcept nogil
    uint8_t peek8 "vm_peek"(const uint8_t* place) noexcept nogil
    uint32_t peek32 "vm_peek"(const uint32_t* place) noexcept nogil
    void poke32 "vm_poke"(uint32_t* place, uint32_t value) noexcept nogil
    # Acquire and release: who finds what was published finds all that was written before
    void* published "vm_published"(void** place) noexcept nogil
    void publish "vm_publish"(void** place, void* value) noexcept nogil
