/* A command of the host's: it gets input and gives output as frames, until it ends. */

#include "agent.h"

static char arena[ARENA];
static size_t used;
static char *arguments[MOST_WORDS + 1], *variables[MOST_WORDS + 1];
static size_t argument_count, variable_count;
static char *directory;
static char output[LARGEST];

bool add_word(enum kind kind) {
    size_t size = header.size + 1;
    if (size > ARENA - used || argument_count == MOST_WORDS || variable_count == MOST_WORDS)
        return false;
    char *word = arena + used;
    __builtin_memcpy(word, frame, size);
    used += size;
    if (kind == ARGUMENT)
        arguments[argument_count++] = word;
    else if (kind == VARIABLE)
        variables[variable_count++] = word;
    else
        directory = word;
    return true;
}

static size_t length(const char *text) {
    size_t size = 0;
    while (text[size])
        size++;
    return size;
}

static bool has_slash(const char *name) {
    for (; *name; name++)
        if (*name == '/')
            return true;
    return false;
}

static const char *search_path(void) {
    static const char name[] = "PATH=";
    for (size_t i = 0; i < variable_count; i++) {
        size_t same = 0;
        while (name[same] && variables[i][same] == name[same])
            same++;
        if (!name[same])
            return variables[i] + same;
    }
    return "/usr/sbin:/usr/bin:/sbin:/bin";
}

/* As execvpe(3). Returns the error of the last file that was tried. */
static long execute(void) {
    char *name = arguments[0];
    if (!name)
        return -ENOENT;
    if (has_slash(name))
        return call(SYS_EXECVE, name, arguments, variables);
    long failed = -ENOENT;
    size_t size = length(name) + 1;
    for (const char *folder = search_path(); *folder;) {
        size_t head = 0;
        while (folder[head] && folder[head] != ':')
            head++;
        if (head + 1 + size <= LARGEST) {
            __builtin_memcpy(frame, folder, head);
            frame[head] = '/';
            __builtin_memcpy(frame + head + 1, name, size);
            long error = call(SYS_EXECVE, frame, arguments, variables);
            failed = error == -ENOENT ? failed : error;
        }
        folder += head + (folder[head] == ':');
    }
    return failed;
}

/* In the new process: standard input and outputs are the pipes, all else goes. `told` gets the error, if there is one. */
static _Noreturn void become_command(int in, int out, int err, int told) {
    call(SYS_SETSID, 0);
    set_signal(SIGPIPE, 0);
    long failed = directory ? call(SYS_CHDIR, directory) : 0;
    call(SYS_DUP3, in, 0, 0);
    call(SYS_DUP3, out, 1, 0);
    call(SYS_DUP3, err, 2, 0);
    int32_t error = failed ? failed : execute();
    write_all(told, &error, sizeof error);
    leave(127);
}

static bool forward(int peer, enum kind kind, int *fd) {
    long got = call(SYS_READ, *fd, output, LARGEST);
    if (got == -EAGAIN || got == -EINTR)
        return false;
    if (got <= 0) {
        call(SYS_CLOSE, *fd);
        *fd = -1;
        return false;
    }
    send_frame(peer, kind, output, got);
    return true;
}

static void close_pipe(int *fd) {
    call(SYS_CLOSE, *fd);
    *fd = -1;
}

/* Until the command has ended. What its own children still write is not waited for. */
static void pump(int peer, long child, int exited, int in, int out, int err) {
    enum { PEER, IN, OUT, ERR, EXITED, COUNT };
    size_t start = 0, end = 0;          /* of the input in `frame` that is not in the pipe yet */
    bool ended = false;
    while (!ended) {
        struct poll_fd polled[COUNT] = {
            {peer, start == end ? POLLIN : 0, 0}, {start == end ? -1 : in, POLLOUT, 0}, {out, POLLIN, 0},
            {err, POLLIN, 0}, {exited, POLLIN, 0},
        };
        if (call(SYS_PPOLL, polled, COUNT, 0, 0, 8) < 0)
            continue;
        ended = polled[EXITED].revents;
        if (polled[OUT].revents)
            forward(peer, OUTPUT, &out);
        if (polled[ERR].revents)
            forward(peer, ERRORS, &err);
        if (polled[IN].revents) {
            long written = call(SYS_WRITE, in, frame + start, end - start);
            if (written >= 0)
                start += written;
            else if (written != -EAGAIN && written != -EINTR) {
                close_pipe(&in);        /* the command reads no more: what comes is for nobody */
                start = end;
            }
        }
        if (polled[PEER].revents & (POLLIN | POLLERR | POLLHUP)) {
            if (!receive(peer)) {
                call(SYS_KILL, -child, SIGKILL);
                leave(1);
            }
            start = end = 0;
            if (header.kind == INPUT && header.size == 0 && in >= 0)
                close_pipe(&in);
            else if (header.kind == INPUT && in >= 0)
                end = header.size;
        }
    }
    while (out >= 0 && forward(peer, OUTPUT, &out))
        ;
    while (err >= 0 && forward(peer, ERRORS, &err))
        ;
}

void run(int peer) {
    int in[2], out[2], err[2], told[2];
    if (call(SYS_PIPE2, in, O_CLOEXEC) || call(SYS_PIPE2, out, O_CLOEXEC) || call(SYS_PIPE2, err, O_CLOEXEC)
        || call(SYS_PIPE2, told, O_CLOEXEC))
        leave(1);
    long child = fork();
    if (child == 0)
        become_command(in[0], out[1], err[1], told[1]);
    call(SYS_CLOSE, in[0]);
    call(SYS_CLOSE, out[1]);
    call(SYS_CLOSE, err[1]);
    call(SYS_CLOSE, told[1]);
    int32_t error = child < 0 ? child : 0;
    if (error || call(SYS_READ, told[0], &error, sizeof error) == sizeof error) {
        send_failure(peer, error);
        return;
    }
    long exited = call(SYS_PIDFD_OPEN, child, 0);
    if (exited < 0) {
        call(SYS_KILL, -child, SIGKILL);
        send_failure(peer, exited);
        return;
    }
    call(SYS_FCNTL, in[1], F_SETFL, O_NONBLOCK | O_WRONLY);
    call(SYS_FCNTL, out[0], F_SETFL, O_NONBLOCK);
    call(SYS_FCNTL, err[0], F_SETFL, O_NONBLOCK);
    pump(peer, child, exited, in[1], out[0], err[0]);
    int status = 0;
    while (call(SYS_WAIT4, child, &status, 0, 0) == -EINTR)
        ;
    int signal = status & 0x7f;
    send_number(peer, STATUS, signal ? -signal : status >> 8 & 0xff);
}
