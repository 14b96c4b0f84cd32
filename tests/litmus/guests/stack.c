/* A stack of a few nodes, popped by LR/SC of one word without a counter beside it (Treiber, 1986): if a store-conditional
   succeeds although the word was changed and changed back, the list breaks, and two harts hold one node. */
#include "harts.h"

enum { NODES = 8, MOST = 3, TAKEN_TWICE = 1, LOST = 2, STILL_OWNED = 3 };

struct node { struct node* volatile next; volatile u64 owner; volatile u64 met; } LINE nodes[NODES];
static struct node* volatile LINE head;

#ifdef BROKEN           /* by compare-and-swap, for which the same node on top is the same stack */
static struct node* pop(void) {
    struct node *top, *next;
    u64 found;
    asm volatile(
        "1: ld      %0, %3\n"
        "   beqz    %0, 2f\n"
        "   ld      %1, 0(%0)\n"
        "   mv      %2, %0\n"
        "   amocas.d.aqrl %2, %1, %3\n"
        "   bne     %2, %0, 1b\n"
        "2:"
        : "=&r"(top), "=&r"(next), "=&r"(found), "+A"(head) :: "memory");
    return top;
}
#else
static struct node* pop(void) {
    struct node *top, *next;
    u64 failed;
    asm volatile(
        "1: lr.d.aq %0, %3\n"
        "   beqz    %0, 2f\n"
        "   ld      %1, 0(%0)\n"                /* if somebody has taken the node, SC fails */
        "   sc.d.rl %2, %1, %3\n"
        "   bnez    %2, 1b\n"
        "2:"
        : "=&r"(top), "=&r"(next), "=&r"(failed), "+A"(head) :: "memory");
    return top;
}
#endif

static void push(struct node* node) {
    u64 top, seen;
    asm volatile(
        "1: ld      %0, %2\n"
        "   sd      %0, 0(%3)\n"
        "   lr.d    %1, %2\n"
        "   bne     %1, %0, 1b\n"
        "   sc.d.rl %1, %3, %2\n"
        "   bnez    %1, 1b"
        : "=&r"(top), "=&r"(seen), "+A"(head) : "r"(node) : "memory");
}

void work(int hart) {
    u64 state = 77 + hart, meetings = 0, done = 0, empty = 0;
    if (hart == 0) {
        for (int i = 0; i < NODES; i++) nodes[i].next = i + 1 < NODES ? &nodes[i + 1] : 0;
        head = &nodes[0];
    }
    meet(&meetings);
    while (done < parameters.operations) {
        struct node* held[MOST];
        u64 wanted = 1 + random(&state) % MOST, count = 0, first;
        while (count < wanted) {
            struct node* node = pop();
            if (!node) {
                empty++;
                pause();
                break;
            }
            if (exchange(&node->owner, hart + 1)) fail(hart, TAKEN_TWICE);
            held[count++] = node;
        }
        if (!count) continue;
        first = random(&state) % count;
        for (u64 i = 0; i < count; i++) {
            struct node* node = held[(first + i) % count];
            if (exchange(&node->owner, 0) != (u64)hart + 1) fail(hart, TAKEN_TWICE);
            push(node);
        }
        done += 2 * count;
    }
    reports[hart].operations = done;
    reports[hart].seen[0] = empty;
    meet(&meetings);
    if (hart) return;
    u64 length = 0;
    for (struct node* node = head; node && length <= NODES; node = node->next, length++) {
        if (node->met++) fail(hart, TAKEN_TWICE);
        if (node->owner) fail(hart, STILL_OWNED);
    }
    if (length != NODES) fail(hart, LOST);
}
