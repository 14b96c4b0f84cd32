/* Files of the guest, read and written in frames. */

#include "agent.h"

enum { KEEP_MODE = -1, NEW_FILE = 0644 };

void get_file(int peer) {
    long file = call(SYS_OPENAT, AT_FDCWD, frame, O_CLOEXEC);
    if (file < 0) {
        send_failure(peer, file);
        return;
    }
    for (;;) {
        long got = call(SYS_READ, file, frame, LARGEST);
        if (got == -EINTR)
            continue;
        if (got < 0) {
            send_failure(peer, got);
            return;
        }
        if (got == 0)
            break;
        send_frame(peer, OUTPUT, frame, got);
    }
    send_number(peer, STATUS, 0);
}

/* The host sends the content when the file is open. What goes wrong later is told when all has come. */
void put_file(int peer) {
    int32_t mode = KEEP_MODE;
    if (header.size < sizeof mode) {
        send_failure(peer, -EPROTO);
        return;
    }
    __builtin_memcpy(&mode, frame, sizeof mode);
    long file = call(SYS_OPENAT, AT_FDCWD, frame + sizeof mode, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, NEW_FILE);
    if (file < 0) {
        send_failure(peer, file);
        return;
    }
    send_number(peer, STATUS, 0);
    long failed = 0;
    do {
        if (!receive(peer) || header.kind != INPUT)
            leave(1);
        if (!failed)
            failed = write_all(file, frame, header.size);
    } while (header.size);
    if (!failed && mode != KEEP_MODE)
        failed = call(SYS_FCHMOD, file, mode);
    long closed = call(SYS_CLOSE, file);
    if (failed || closed)
        send_failure(peer, failed ? failed : closed);
    else
        send_number(peer, STATUS, 0);
}
