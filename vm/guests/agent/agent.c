/* The agent listens on a port of AF_VSOCK, and does what the host asks: a process for each connection, each of which
 * is one request. `vm-agent [PORT]`. Without the C library: it runs in any guest whose kernel has virtio sockets.
 */

#include "agent.h"

enum { AF_VSOCK = 40, SOCK_STREAM = 1, SOCK_CLOEXEC = O_CLOEXEC, WAITING = 128, CLOCK_REALTIME = 0 };
#define ANY_CID 0xffffffff
#define HOST_CID 2

struct header header;
char frame[LARGEST + 1];

long write_all(int fd, const void *data, size_t size) {
    const char *next = data;
    while (size) {
        long written = call(SYS_WRITE, fd, next, size);
        if (written == -EINTR)
            continue;
        if (written < 0)
            return written;
        next += written;
        size -= written;
    }
    return 0;
}

static bool read_all(int fd, void *data, size_t size) {
    char *next = data;
    while (size) {
        long got = call(SYS_READ, fd, next, size);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            return false;
        next += got;
        size -= got;
    }
    return true;
}

bool receive(int peer) {
    if (!read_all(peer, &header, sizeof header) || header.size > LARGEST || !read_all(peer, frame, header.size))
        return false;
    frame[header.size] = 0;
    return true;
}

void send_frame(int peer, enum kind kind, const void *data, size_t size) {
    struct header out = {kind, size};
    if (write_all(peer, &out, sizeof out) || write_all(peer, data, size))
        leave(1);
}

void send_number(int peer, enum kind kind, int32_t value) {
    send_frame(peer, kind, &value, sizeof value);
}

void send_failure(int peer, long error) {
    send_number(peer, FAILURE, -error);
}

static void tell_time(int peer) {
    struct time now;
    if (header.size == sizeof now) {
        long failed = call(SYS_CLOCK_SETTIME, CLOCK_REALTIME, frame);
        if (failed) {
            send_failure(peer, failed);
            return;
        }
    }
    call(SYS_CLOCK_GETTIME, CLOCK_REALTIME, &now);
    send_frame(peer, TIME, &now, sizeof now);
}

static void serve(int peer) {
    struct { char name[8]; uint32_t version; } hello = {{'v', 'm', '-', 'a', 'g', 'e', 'n', 't'}, VERSION};
    send_frame(peer, HELLO, &hello, 12);
    while (receive(peer)) {
        switch (header.kind) {
        case ARGUMENT: case VARIABLE: case DIRECTORY:
            if (add_word(header.kind))
                continue;
            send_failure(peer, -E2BIG);
            return;
        case RUN:
            run(peer);
            return;
        case GET:
            get_file(peer);
            return;
        case PUT:
            put_file(peer);
            return;
        case TIME:
            tell_time(peer);
            return;
        default:
            send_failure(peer, -EPROTO);
            return;
        }
    }
}

static uint32_t number(const char *text) {
    uint32_t value = 0;
    while (*text >= '0' && *text <= '9')
        value = 10 * value + (*text++ - '0');
    return value;
}

_Noreturn void agent_main(long count, char **arguments) {
    struct socket_address address = {AF_VSOCK, 0, count > 1 ? number(arguments[1]) : PORT, ANY_CID, 0};
    long listener = call(SYS_SOCKET, AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || call(SYS_BIND, listener, &address, sizeof address) || call(SYS_LISTEN, listener, WAITING))
        leave(1);
    set_signal(SIGPIPE, 1);
    set_signal(SIGCHLD, 1);             /* nobody waits for them */
    call(SYS_SETSID, 0);
    for (;;) {
        struct socket_address from;
        uint32_t size = sizeof from;
        long peer = call(SYS_ACCEPT4, listener, &from, &size, SOCK_CLOEXEC);
        if (peer < 0)
            continue;
        if (from.cid == HOST_CID && fork() == 0) {      /* nobody in the guest may ask: the agent is root */
            call(SYS_CLOSE, listener);
            set_signal(SIGCHLD, 0);
            serve(peer);
            leave(0);
        }
        call(SYS_CLOSE, peer);
    }
}
