/* Integers: sorting by function pointer, a heap, a binary tree on a bump allocator, wide multiplication and division. */
#include <stdint.h>

#define COUNT 96

typedef struct node { struct node *left, *right; uint64_t key; int32_t count; } node;

static uint64_t values[COUNT], heap[COUNT];
static node pool[COUNT];
static int used;

static uint64_t random_next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    return *state ^= *state << 17;
}

static int by_value(uint64_t a, uint64_t b) { return a < b ? -1 : a > b; }
static int by_low_byte(uint64_t a, uint64_t b) { return (int8_t)a - (int8_t)b; }

static void quicksort(uint64_t *first, uint64_t *last, int (*order)(uint64_t, uint64_t)) {
    while (first < last) {
        uint64_t pivot = first[(last - first) / 2], *left = first - 1, *right = last + 1;
        for (;;) {
            do left++; while (order(*left, pivot) < 0);
            do right--; while (order(*right, pivot) > 0);
            if (left >= right)
                break;
            uint64_t swap = *left;
            *left = *right;
            *right = swap;
        }
        quicksort(first, right, order);
        first = right + 1;
    }
}

static void sift(uint64_t *array, int root, int count) {
    for (int child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && array[child + 1] > array[child])
            child++;
        if (array[root] >= array[child])
            return;
        uint64_t swap = array[root];
        array[root] = array[child];
        array[child] = swap;
    }
}

static node *insert(node *tree, uint64_t key) {
    if (!tree) {
        tree = &pool[used++];
        tree->key = key;
        tree->count = 1;
    } else if (key == tree->key) {
        tree->count++;
    } else if (key < tree->key) {
        tree->left = insert(tree->left, key);
    } else {
        tree->right = insert(tree->right, key);
    }
    return tree;
}

static uint64_t walk(const node *tree, uint64_t sum) {
    return tree ? walk(tree->right, walk(tree->left, sum) * 31 + tree->key * (uint64_t)tree->count) : sum;
}

uint64_t main(void) {
    int (*const orders[])(uint64_t, uint64_t) = {by_value, by_low_byte};
    uint64_t state = 88172645463325252u, sum = 0;
    node *tree = 0;
    for (int order = 0; order < 2; order++) {
        for (int i = 0; i < COUNT; i++)
            values[i] = heap[i] = random_next(&state) >> (i % 40);
        quicksort(values, values + COUNT - 1, orders[order]);
        for (int i = 0; i < COUNT; i++)
            sum = sum * 31 + values[i];
    }
    for (int root = COUNT / 2; root-- > 0;)
        sift(heap, root, COUNT);
    for (int i = 0; i < COUNT; i++)
        tree = insert(tree, heap[i] & 0xFF);
    for (int i = 1; i < COUNT; i++) {
        unsigned __int128 product = (unsigned __int128)heap[i] * values[i];
        sum += (uint64_t)(product >> 64) ^ (uint64_t)product;
        sum ^= heap[i] / (values[i] | 1) + (uint64_t)((int64_t)heap[i] % ((int32_t)values[i] | 1));
        sum += (uint32_t)heap[i] / ((uint32_t)values[i] | 1) + (uint32_t)((int32_t)heap[i] / ((int32_t)values[i] | 1));
    }
    return walk(tree, sum);
}
