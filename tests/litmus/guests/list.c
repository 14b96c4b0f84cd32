/* A list that is read without locks while nodes are replaced, as by read-copy-update: what was taken out is used anew
   once every hart has said, between two operations, that it holds nothing. A hart says so by a plain store and a full
   fence, so a store that is kept back behind later loads shows a node that was used anew. */
#include "harts.h"

enum { LENGTH = 4, NODES = 24, UPDATE_OF = 4, TORN = 1, OLD = 2, DISORDER = 3, MISCOUNTED = 4 };

struct node { struct node* volatile next; volatile u64 key, version, check; } LINE nodes[NODES];
struct retired { struct node* node; u64 seen[MAX_HARTS]; };

static struct node* volatile LINE head;
static struct { volatile u64 passed; } LINE quiet[MAX_HARTS];   /* how often a hart held nothing; all bits: it has ended */
static volatile u64 LINE lock;
/* Guarded by the lock. */
static struct node* spare[NODES];
static struct retired retired[NODES];
static u64 spares, first, last, updates;

static u64 check_of(u64 key, u64 version) { return (version * 0x9E3779B97F4A7C15 + key) ^ 0x5555555555555555; }

static void fill(struct node* node, u64 key, u64 version, struct node* next) {
    node->key = key;
    node->version = version;
    node->check = check_of(key, version);
    node->next = next;
}

static int is_over(const struct retired* one) {
    for (u64 i = 0; i < parameters.harts; i++)
        if (!IS_BROKEN && quiet[i].passed == one->seen[i] && ~one->seen[i]) return 0;
    return 1;
}

static void reclaim(void) {
    while (first != last && is_over(&retired[first % NODES])) {
        struct node* node = retired[first++ % NODES].node;
        FENCE(r, rw);
        node->check = 0;
        node->key = ~0UL;
        node->next = 0;
        spare[spares++] = node;
    }
}

/* Put a new node in the place of one. Whether there was one to spare. */
static int update(u64 key) {
    reclaim();
    if (!spares) return 0;
    struct node* volatile* link = &head;
    while ((*link)->key != key) link = &(*link)->next;
    struct node* old = *link;
    struct node* node = spare[--spares];
    fill(node, key, old->version + 1, old->next);
    FENCE(w, w);
    *link = node;
    FENCE(rw, rw);
    struct retired* one = &retired[last++ % NODES];
    one->node = old;
    for (u64 i = 0; i < parameters.harts; i++) one->seen[i] = quiet[i].passed;
    updates++;
    return 1;
}

static void read(int hart, u64* versions) {
    u64 count = 0;
    for (struct node* node = head; node && count <= LENGTH; node = node->next, count++) {
        u64 key = node->key, version = node->version;
        if (node->check != check_of(key, version)) fail(hart, TORN);
        else if (key != count) fail(hart, DISORDER);
        else if (version < versions[key]) fail(hart, OLD);
        else versions[key] = version;
    }
    if (count != LENGTH) fail(hart, DISORDER);
}

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, refused = 0, versions[LENGTH];
    for (int i = 0; i < LENGTH; i++) versions[i] = 0;
    if (hart == 0) {
        for (int i = LENGTH; i-- > 0;) {
            fill(&nodes[i], i, 1, head);
            head = &nodes[i];
        }
        for (int i = LENGTH; i < NODES; i++) spare[spares++] = &nodes[i];
    }
    meet(&meetings);
    for (u64 done = 0; done < parameters.operations; done++) {
        u64 number = random(&state);
        if (number % UPDATE_OF == 0 && !exchange(&lock, 1)) {
            if (!update(number / UPDATE_OF % LENGTH)) refused++;
            FENCE(rw, w);
            lock = 0;
        } else {
            read(hart, versions);
        }
        FENCE(rw, w);
        quiet[hart].passed++;
        FENCE(rw, rw);
    }
    quiet[hart].passed = ~0UL;
    reports[hart].operations = parameters.operations;
    reports[hart].seen[0] = refused;
    meet(&meetings);
    if (hart) return;
    u64 sum = 0;
    for (struct node* node = head; node; node = node->next) sum += node->version - 1;
    if (sum != updates) fail(hart, MISCOUNTED);
    reports[hart].seen[1] = updates;
}
