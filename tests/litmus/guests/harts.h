/* What guests of several harts share: parameters, reports, and the instructions that C has no word for.

   Each guest has a BROKEN form, without what makes it right: it must find that out. */

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

enum { MAX_HARTS = 8 };

#ifdef BROKEN
#define IS_BROKEN 1
#else
#define IS_BROKEN 0
#endif
#define LINE __attribute__((aligned(64)))
#define FENCE(before, after) asm volatile("fence " #before ", " #after ::: "memory")
#define COMPILER() asm volatile("" ::: "memory")

/* Written before the guest runs. */
struct { volatile u64 harts, operations, choice; } parameters LINE = { 1, 1, 0 };

/* Of each hart; the numbers of `seen` are the guest's own. */
struct report { volatile u64 operations, failures, first_failure, seen[5]; } LINE reports[MAX_HARTS];

static inline void fail(int hart, u64 what) {
    if (!reports[hart].failures++) reports[hart].first_failure = what;
}

static inline u64 exchange(volatile u64* place, u64 value) {
    u64 old;
    asm volatile("amoswap.d.aqrl %0, %2, %1" : "=r"(old), "+A"(*place) : "r"(value) : "memory");
    return old;
}

static inline u64 add(volatile u64* place, u64 value) {
    u64 old;
    asm volatile("amoadd.d.aqrl %0, %2, %1" : "=r"(old), "+A"(*place) : "r"(value) : "memory");
    return old;
}

static inline void pause(void) { asm volatile(".word 0x0100000f" ::: "memory"); }

static inline u64 random(u64* state) {          /* xorshift */
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static volatile u64 LINE arrived;

/* Wait for all harts; `times` is the caller's count of meetings. */
static inline void meet(u64* times) {
    FENCE(rw, rw);
    add(&arrived, 1);
    u64 wanted = parameters.harts * ++*times;
    while (arrived < wanted) pause();
    FENCE(rw, rw);
}
