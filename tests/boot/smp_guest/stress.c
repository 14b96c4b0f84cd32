/* What a Linux on several harts must keep for its programs, each part by threads that find out themselves: stress ROUNDS.
   A line a part, `NAME ok` or what was wrong. */
#define _GNU_SOURCE
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4, PAGE = 4096, FUNCTIONS = 64, RETURN = 0x00008067 };
enum { MEMBARRIER_PRIVATE = 1 << 3, MEMBARRIER_REGISTER = 1 << 4 };

static int rounds;
static atomic_int failures;
static const char* self;

#define CHECK(condition) ((condition) ? (void)0 : failed(__LINE__, #condition))

static void failed(int line, const char* what) {
    if (!atomic_fetch_add(&failures, 1)) printf("line %d: %s\n", line, what);
}

static void all(void* (*work)(void*)) {
    pthread_t threads[THREADS];
    for (intptr_t i = 0; i < THREADS; i++) CHECK(!pthread_create(&threads[i], NULL, work, (void*)i));
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

/* --- A lock, and turns by a condition -------------------------------------------------------------------------------- */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static long counted;
static int turn;

static void* locking(void* arg) {
    for (int i = 0; i < 50 * rounds; i++) {
        pthread_mutex_lock(&mutex);
        counted++;
        pthread_mutex_unlock(&mutex);
    }
    for (int i = 0; i < rounds; i++) {
        pthread_mutex_lock(&mutex);
        while (turn % THREADS != (intptr_t)arg) pthread_cond_wait(&turned, &mutex);
        turn++;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&mutex);
    }
    return NULL;
}

static void test_locks(void) {
    all(locking);
    CHECK(counted == 50L * rounds * THREADS);
    CHECK(turn == rounds * THREADS);
}

/* --- Waiting in the kernel ------------------------------------------------------------------------------------------- */

static atomic_int balls[THREADS / 2];

static void* playing(void* arg) {
    atomic_int* ball = &balls[(intptr_t)arg / 2];
    int mine = (intptr_t)arg % 2;
    for (int i = 0; i < rounds; i++) {
        int seen;
        while ((seen = atomic_load(ball)) % 2 != mine) syscall(SYS_futex, ball, FUTEX_WAIT_PRIVATE, seen, NULL);
        CHECK(seen == 2 * i + mine);
        atomic_store(ball, seen + 1);
        syscall(SYS_futex, ball, FUTEX_WAKE_PRIVATE, 1);
    }
    return NULL;
}

static void test_futexes(void) {
    all(playing);
    for (int i = 0; i < THREADS / 2; i++) CHECK(balls[i] == 2 * rounds);
}

/* --- Processes ------------------------------------------------------------------------------------------------------- */

static void* forking(void* arg) {
    for (int i = 0; i < rounds / 8 + 1; i++) {
        volatile int copied = i;
        int status = 0, wanted = (i + (intptr_t)arg) % 64;
        pid_t child = fork();
        if (child == 0) {
            copied++;                           /* its own: copied on write */
            if (i % 2) _exit(wanted);
            char text[16];
            sprintf(text, "-%d", wanted + 1);
            execl(self, self, text, (char*)NULL);
            _exit(99);
        }
        CHECK(child > 0 && waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == wanted);
        CHECK(copied == i);
    }
    return NULL;
}

static void test_processes(void) { all(forking); }

/* --- Signals --------------------------------------------------------------------------------------------------------- */

static pthread_t targets[THREADS];
static atomic_int sent[THREADS], handled[THREADS], computing;
static _Thread_local int number;

static void on_signal(int signal) {
    volatile double disturbed = signal;
    for (int i = 0; i < 20; i++) disturbed = disturbed * 1.5 + i;
    atomic_fetch_add(&handled[number], 1);
}

static void* signalling(void* arg) {
    number = (intptr_t)arg;
    targets[number] = pthread_self();
    atomic_fetch_add(&computing, 1);
    while (computing < THREADS) sched_yield();
    for (int i = 0; i < rounds; i++) {
        int other = (number + 1 + i) % THREADS;
        if (i % 4 == 0) {
            atomic_fetch_add(&sent[other], 1);
            CHECK(!pthread_kill(targets[other], SIGUSR1));
        }
        double x = 1;
        uint64_t y = 1;
        for (int k = 0; k < 200; k++) x = x * 1.25 - k % 3, y = y * 6364136223846793005u + 1;
        double x2 = 1;
        uint64_t y2 = 1;
        for (int k = 0; k < 200; k++) x2 = x2 * 1.25 - k % 3, y2 = y2 * 6364136223846793005u + 1;
        CHECK(x == x2 && y == y2);
    }
    atomic_fetch_add(&computing, 1);
    while (computing < 2 * THREADS) sched_yield();
    return NULL;
}

static void test_signals(void) {
    struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGUSR1, &action, NULL);
    all(signalling);
    for (int i = 0; i < THREADS; i++) CHECK(handled[i] > 0 && handled[i] <= sent[i]);
}

/* --- A barrier that one side pays for -------------------------------------------------------------------------------- */

static volatile int flags[2], seen[2];
static pthread_barrier_t together;

static void* storing(void* arg) {
    intptr_t me = (intptr_t)arg;
    for (int i = 0; i < rounds; i++) {
        pthread_barrier_wait(&together);
        if (me < 2) {
            flags[me] = 1;
            if (me) syscall(SYS_membarrier, MEMBARRIER_PRIVATE, 0, 0);
            else atomic_signal_fence(memory_order_seq_cst);
            seen[me] = flags[!me];
        }
        pthread_barrier_wait(&together);
        if (me == 0) {
            CHECK(seen[0] || seen[1]);
            flags[0] = flags[1] = 0;
        }
    }
    return NULL;
}

static void test_membarrier(void) {
    CHECK(!syscall(SYS_membarrier, MEMBARRIER_REGISTER, 0, 0));
    pthread_barrier_init(&together, NULL, THREADS);
    all(storing);
}

/* --- Pages that go and come back ------------------------------------------------------------------------------------- */

static volatile uint64_t* shared;
static atomic_int over;
static _Thread_local sigjmp_buf refused;

static void on_fault(int signal) {
    (void)signal;
    siglongjmp(refused, 1);
}

static void* mapping(void* arg) {
    intptr_t me = (intptr_t)arg;
    if (me == 0) {                      /* while a page is read-only nobody's stores get there */
        for (int i = 0; i < rounds; i++) {
            uint64_t before[THREADS];
            mprotect((void*)shared, PAGE, PROT_READ);
            for (int k = 1; k < THREADS; k++) before[k] = shared[8 * k];
            sched_yield();
            for (int k = 1; k < THREADS; k++) CHECK(shared[8 * k] == before[k]);
            mprotect((void*)shared, PAGE, PROT_READ | PROT_WRITE);
            sched_yield();
        }
        over = 1;
        return NULL;
    }
    for (volatile uint64_t i = 0; !over; i++) {
        if (!sigsetjmp(refused, 1)) shared[8 * me] = i;
        uint64_t* mine = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(mine != MAP_FAILED);
        CHECK(mine[0] == 0 && mine[PAGE / 8] == 0);             /* never what somebody else had there */
        mine[0] = mine[PAGE / 8] = me << 32 | (i & 0xFFFF);
        sched_yield();
        CHECK(mine[0] == mine[PAGE / 8] && mine[0] >> 32 == (uint64_t)me);
        munmap(mine, 2 * PAGE);
    }
    return NULL;
}

static void test_pages(void) {
    struct sigaction action = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
    sigaction(SIGSEGV, &action, NULL);
    shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void*)shared != MAP_FAILED);
    all(mapping);
    signal(SIGSEGV, SIG_DFL);
}

/* --- Code that changes ----------------------------------------------------------------------------------------------- */

static uint32_t (*code)[PAGE / 4];
static atomic_int versions[FUNCTIONS], latest, written;

static void* changing(void* arg) {
    uint32_t state = 77 + (intptr_t)arg;
    if (arg == 0) {
        for (int i = 1; i <= rounds && i < 2000; i++) {
            int slot = (state = state * 1103515245 + 12345) >> 16 & (FUNCTIONS - 1);
            code[slot][0] = (uint32_t)i << 20 | 0x513;          /* li a0, i */
            syscall(SYS_riscv_flush_icache, code[slot], code[slot] + 2, 0);
            atomic_store(&versions[slot], i);
            atomic_store(&latest, i);
            if (i % 8 == 0) sched_yield();
        }
        written = 1;
        return NULL;
    }
    while (!written) {
        int slot = (state = state * 1103515245 + 12345) >> 16 & (FUNCTIONS - 1);
        for (int k = 0; k < 40; k++) {
            int first = atomic_load(&versions[slot]);
            int value = ((int (*)(void))code[slot])();
            CHECK(first <= value && value <= atomic_load(&latest) + 1);
        }
    }
    return NULL;
}

static void test_code(void) {
    code = mmap(NULL, FUNCTIONS * PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK((void*)code != MAP_FAILED);
    for (int i = 0; i < FUNCTIONS; i++) {
        code[i][0] = 0x513;
        code[i][1] = RETURN;
    }
    syscall(SYS_riscv_flush_icache, code, code + FUNCTIONS, 0);
    all(changing);
}

int main(int argc, char** argv) {
    static const struct { const char* name; void (*test)(void); } parts[] = {
        { "locks", test_locks }, { "futexes", test_futexes }, { "processes", test_processes },
        { "signals", test_signals }, { "membarrier", test_membarrier }, { "pages", test_pages }, { "code", test_code },
    };
    rounds = argc > 1 ? atoi(argv[1]) : 100;
    if (rounds < 0) return -rounds - 1;         /* a child, which says its number */
    self = argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) {
        int before = failures;
        parts[i].test();
        printf("%s %s\n", parts[i].name, failures == before ? "ok" : "failed");
    }
    return failures != 0;
}
