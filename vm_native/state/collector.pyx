"""Freeing beside the machines that run.

A snapshot of a large machine is many thousand pages: to free them takes milliseconds, which whoever drops it should
not wait for. It is put on a list, and a thread frees what is there. The thread needs no GIL, is started by the first
piece of garbage and sleeps while there is none.
"""
from libc.stdint cimport uint64_t

cdef extern from *:
    """
    #include <pthread.h>

    struct vm_garbage { struct vm_garbage *next; void (*dispose)(struct vm_garbage *); };

    static pthread_mutex_t vm_collector_lock = PTHREAD_MUTEX_INITIALIZER;
    static pthread_cond_t vm_garbage_came = PTHREAD_COND_INITIALIZER;
    static pthread_cond_t vm_garbage_gone = PTHREAD_COND_INITIALIZER;
    static struct vm_garbage *vm_garbage_list;
    static int vm_collector_runs;               /* there is a thread */
    static int vm_collector_busy;               /* it holds garbage that is on the list no more */
    static unsigned long long vm_collected;

    static void *vm_collector(void *unused) {
        struct vm_garbage *mine, *next;
        pthread_mutex_lock(&vm_collector_lock);
        for (;;) {
            while (!vm_garbage_list) {
                vm_collector_busy = 0;
                pthread_cond_broadcast(&vm_garbage_gone);
                pthread_cond_wait(&vm_garbage_came, &vm_collector_lock);
            }
            vm_collector_busy = 1;
            mine = vm_garbage_list;
            vm_garbage_list = NULL;
            pthread_mutex_unlock(&vm_collector_lock);
            for (; mine; mine = next) {
                next = mine->next;
                mine->dispose(mine);
                __atomic_fetch_add(&vm_collected, 1, __ATOMIC_RELAXED);
            }
            pthread_mutex_lock(&vm_collector_lock);
        }
        return NULL;
    }

    static void vm_give_away(struct vm_garbage *garbage) {
        pthread_t thread;
        int alone;
        pthread_mutex_lock(&vm_collector_lock);
        if (!vm_collector_runs) {
            vm_collector_runs = pthread_create(&thread, NULL, vm_collector, NULL) == 0;
            if (vm_collector_runs) pthread_detach(thread);
        }
        alone = !vm_collector_runs;
        if (!alone) {
            garbage->next = vm_garbage_list;
            vm_garbage_list = garbage;
            pthread_cond_signal(&vm_garbage_came);
        }
        pthread_mutex_unlock(&vm_collector_lock);
        if (alone) garbage->dispose(garbage);   /* the host gives no thread */
    }

    static void vm_wait_for_collector(void) {
        pthread_mutex_lock(&vm_collector_lock);
        while (vm_collector_runs && (vm_garbage_list || vm_collector_busy))
            pthread_cond_wait(&vm_garbage_gone, &vm_collector_lock);
        pthread_mutex_unlock(&vm_collector_lock);
    }

    /* A fork of the process has the list, but no thread: the next piece of garbage starts one. */
    static void vm_before_fork(void) { pthread_mutex_lock(&vm_collector_lock); }
    static void vm_in_parent(void) { pthread_mutex_unlock(&vm_collector_lock); }
    static void vm_in_child(void) {
        vm_collector_runs = vm_collector_busy = 0;
        pthread_cond_init(&vm_garbage_came, NULL);
        pthread_cond_init(&vm_garbage_gone, NULL);
        pthread_mutex_unlock(&vm_collector_lock);
    }
    static int vm_collector_survives_forks(void) {
        return pthread_atfork(vm_before_fork, vm_in_parent, vm_in_child);
    }
    """
    void vm_give_away(void* garbage) noexcept nogil
    void vm_wait_for_collector() noexcept nogil
    int vm_collector_survives_forks()
    uint64_t vm_collected

if vm_collector_survives_forks():
    raise MemoryError("no room to hear of forks")


cdef void give_away(Garbage* garbage) noexcept nogil:
    """Have `garbage.dispose(garbage)` called by the collector, soon; nobody else knows of it any more."""
    vm_give_away(<void*>garbage)


def wait():
    """Return when all that was given away is freed."""
    with nogil:
        vm_wait_for_collector()


def collected():
    """How many pieces the thread has freed."""
    return vm_collected
