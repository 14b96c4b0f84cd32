"""What a fuzzer asks of a map of edges after each run: whether it has anything that no run before had.

How often an edge was taken counts by buckets, as AFL's do: 1, 2, 3, 4 to 7, 8 to 15, 16 to 31, 32 to 127, 128 to 255,
each a bit of its own. A few more turns of a loop are nothing new, and twice as many are.
"""
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memset

cdef enum:
    WORD = 8                # bytes that are looked at together: most of a map is zero

cdef enum News:
    NOTHING_NEW
    NEW_COUNTS
    NEW_EDGES

NEWS = {"nothing": NOTHING_NEW, "counts": NEW_COUNTS, "edges": NEW_EDGES}     # what `look` answers

cdef uint8_t[256] bucket_of

FIRST_COUNTS = (1, 2, 3, 4, 8, 16, 32, 128)     # of each bucket
for _bit, _first in enumerate(FIRST_COUNTS):
    for _count in range(_first, 256):
        bucket_of[_count] = 1 << _bit


def look(uint8_t[::1] counts, const uint8_t[::1] seen):
    """Let `counts` hold buckets instead of counts. Returns NEWS["edges"] if it has an edge that `seen`, the buckets of
    runs before, does not have at all; else NEWS["counts"] if it has a bucket more; else NEWS["nothing"].

    Both have the same length, a multiple of 8, or ValueError is raised.
    """
    cdef Py_ssize_t i, j, size = counts.shape[0]
    cdef uint8_t bucket
    cdef uint8_t* place
    cdef News news = NOTHING_NEW
    if size != seen.shape[0] or size % WORD or size == 0:
        raise ValueError(f"maps of {size} and {seen.shape[0]} bytes: they have the same length, a multiple of {WORD}")
    place = &counts[0]
    with nogil:
        for i in range(size // WORD):
            if (<uint64_t*>place)[i] == 0:
                continue
            for j in range(i * WORD, (i + 1) * WORD):
                if place[j]:
                    bucket = bucket_of[place[j]]
                    place[j] = bucket
                    if seen[j] == 0:
                        news = NEW_EDGES
                    elif bucket & ~seen[j] and news == NOTHING_NEW:
                        news = NEW_COUNTS
    return <int>news


def clear(uint8_t[::1] counts):
    """Let all be 0."""
    if counts.shape[0]:
        memset(&counts[0], 0, counts.shape[0])
