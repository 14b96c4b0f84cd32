/* What is said between host and agent: the protocol is told in vm/agent.py, whose names these are. */
#ifndef AGENT_H
#define AGENT_H

#include "linux.h"

#define VERSION 1
#define PORT 1024
#define LARGEST 32768                   /* bytes of a frame behind its header */
#define ARENA (512 << 10)               /* bytes of all arguments and variables of a command */
#define MOST_WORDS 4096

enum kind {
    HELLO = 'H', ARGUMENT = 'A', VARIABLE = 'V', DIRECTORY = 'D', RUN = 'R', INPUT = 'I',
    OUTPUT = 'O', ERRORS = 'E', STATUS = 'S', FAILURE = 'F', GET = 'G', PUT = 'P', TIME = 'T',
};

struct header { uint32_t kind, size; };

/* The frame that was received last; `frame[header.size]` is 0. */
extern struct header header;
extern char frame[LARGEST + 1];

/* agent.c: all of them end the process where nobody is at the other end. */
bool receive(int peer);                 /* the next frame; false where the host has ended, or says what no host says */
void send_frame(int peer, enum kind kind, const void *data, size_t size);
void send_number(int peer, enum kind kind, int32_t value);
void send_failure(int peer, long error);    /* of a call */
long write_all(int fd, const void *data, size_t size);

/* run.c */
bool add_word(enum kind kind);          /* the frame is an argument, a variable or the directory; false: too many */
void run(int peer);

/* files.c */
void get_file(int peer);                /* whose path is the frame */
void put_file(int peer);                /* the same behind its mode */

#endif
