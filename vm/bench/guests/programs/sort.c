/* Sorting: quicksort (Hoare partition, insertion sort for short runs), then heapsort, of pseudo-random 32-bit words. */

#include "bench.h"

#define QUICK_COUNT 4000000
#define HEAP_COUNT 1000000
#define EXPECTED 0x7201c8e11701f095

static uint32_t words[QUICK_COUNT];

static void fill(uint64_t count, uint64_t seed) {
    for (uint64_t i = 0; i < count; i++)
        words[i] = (uint32_t)random_at(seed + i);
}

static void insertion_sort(uint32_t *first, uint32_t *last) {
    for (uint32_t *next = first + 1; next <= last; next++) {
        uint32_t value = *next, *hole = next;
        for (; hole > first && hole[-1] > value; hole--)
            *hole = hole[-1];
        *hole = value;
    }
}

static void quicksort(uint32_t *first, uint32_t *last) {
    while (last - first > 16) {
        uint32_t pivot = first[(last - first) / 2], *left = first - 1, *right = last + 1;
        for (;;) {
            while (*++left < pivot) {
            }
            while (*--right > pivot) {
            }
            if (left >= right)
                break;
            uint32_t swap = *left;
            *left = *right;
            *right = swap;
        }
        quicksort(first, right);
        first = right + 1;
    }
    insertion_sort(first, last);
}

static void sift_down(uint32_t *heap, uint64_t root, uint64_t count) {
    uint32_t value = heap[root];
    for (uint64_t child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && heap[child + 1] > heap[child])
            child++;
        if (heap[child] <= value)
            break;
        heap[root] = heap[child];
    }
    heap[root] = value;
}

static void heapsort(uint32_t *heap, uint64_t count) {
    for (uint64_t root = count / 2; root-- > 0;)
        sift_down(heap, root, count);
    for (uint64_t end = count - 1; end > 0; end--) {
        uint32_t largest = heap[0];
        heap[0] = heap[end];
        heap[end] = largest;
        sift_down(heap, 0, end);
    }
}

int main(void) {
    fill(QUICK_COUNT, 0);
    quicksort(words, words + QUICK_COUNT - 1);
    uint64_t result = checksum(words, QUICK_COUNT);
    fill(HEAP_COUNT, QUICK_COUNT);
    heapsort(words, HEAP_COUNT);
    return verdict("sort", result ^ checksum(words, HEAP_COUNT), EXPECTED);
}
