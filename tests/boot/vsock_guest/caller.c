/* `caller PORT TEXT [CID]`: connects to a port of the host, or of another address, sends the text, prints what comes
 * until its end, and closes. The exit status is the error.
 */

#include "linux.h"

enum { AF_VSOCK = 40, SOCK_STREAM = 1, HOST = 2, CONNECT = 203 };

static char buffer[4096];

_Noreturn void agent_main(long count, char **arguments) {
    struct socket_address address = {AF_VSOCK, 0, 0, HOST, 0};
    if (count > 3)
        address.cid = *arguments[3] - '0';
    for (const char *digit = arguments[1]; *digit; digit++)
        address.port = 10 * address.port + (*digit - '0');
    long peer = call(SYS_SOCKET, AF_VSOCK, SOCK_STREAM, 0);
    long failed = call(CONNECT, peer, &address, sizeof address);
    if (failed)
        leave(-failed);
    size_t size = 0;
    while (arguments[2][size])
        size++;
    call(SYS_WRITE, peer, arguments[2], size);
    for (;;) {
        long got = call(SYS_READ, peer, buffer, sizeof buffer);
        if (got <= 0)
            leave(-got);
        call(SYS_WRITE, 1, buffer, got);
    }
}
