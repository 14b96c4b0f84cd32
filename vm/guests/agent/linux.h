/* System calls of Linux on RV64, as the agent needs them: numbers of asm-generic/unistd.h, structures of uapi/linux.
 * A call returns what the kernel does: an error is a negative number, from -4095 to -1.
 */
#ifndef LINUX_H
#define LINUX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum call {
    SYS_DUP3 = 24, SYS_FCNTL = 25, SYS_CHDIR = 49, SYS_FCHMOD = 52, SYS_OPENAT = 56, SYS_CLOSE = 57, SYS_PIPE2 = 59,
    SYS_READ = 63, SYS_WRITE = 64, SYS_PPOLL = 73, SYS_EXIT_GROUP = 94, SYS_CLOCK_SETTIME = 112,
    SYS_CLOCK_GETTIME = 113, SYS_KILL = 129, SYS_RT_SIGACTION = 134, SYS_SETSID = 157, SYS_SOCKET = 198,
    SYS_BIND = 200, SYS_LISTEN = 201, SYS_CLONE = 220, SYS_EXECVE = 221, SYS_ACCEPT4 = 242, SYS_WAIT4 = 260,
    SYS_PIDFD_OPEN = 434,
};

enum { EINTR = 4, EAGAIN = 11, ENOENT = 2, E2BIG = 7, EPROTO = 71, ENAMETOOLONG = 36 };
enum { O_WRONLY = 1, O_CREAT = 0100, O_TRUNC = 01000, O_NONBLOCK = 04000, O_CLOEXEC = 02000000, AT_FDCWD = -100 };
enum { POLLIN = 1, POLLOUT = 4, POLLERR = 8, POLLHUP = 16 };
enum { F_SETFL = 4 };
enum { SIGKILL = 9, SIGPIPE = 13, SIGCHLD = 17 };

struct poll_fd { int fd; short events, revents; };
struct signal_action { void *handler; unsigned long flags, mask; };
struct socket_address { uint16_t family, reserved; uint32_t port, cid, zero; };     /* of AF_VSOCK */
struct time { int64_t seconds, nanoseconds; };

static inline long call6(enum call number, long a, long b, long c, long d, long e) {
    register long a7 __asm__("a7") = number;
    register long a0 __asm__("a0") = a;
    register long a1 __asm__("a1") = b;
    register long a2 __asm__("a2") = c;
    register long a3 __asm__("a3") = d;
    register long a4 __asm__("a4") = e;
    __asm__ volatile("ecall" : "+r"(a0) : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4) : "memory");
    return a0;
}

#define CALL_(number, a, b, c, d, e, ...) \
    call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e))
#define call(number, ...) CALL_(number, __VA_ARGS__, 0, 0, 0, 0, 0)

static inline _Noreturn void leave(int status) {
    for (;;)
        call(SYS_EXIT_GROUP, status);
}

static inline long fork(void) {
    return call(SYS_CLONE, SIGCHLD, 0);
}

/* `handler`: 0 for what the kernel does, 1 to ignore it. */
static inline void set_signal(int signal, long handler) {
    struct signal_action action = {(void *)handler, 0, 0};
    call(SYS_RT_SIGACTION, signal, &action, 0, 8);
}

#endif
