/* Settings of an instrument, as a message: "VM", a version, how many records, and the records: type, length, payload.
 *
 *     1 NAME    text with \\ \n \t and \xHH, at most 31 bytes when they are undone
 *     2 NUMBER  decimal text: a sign, digits, and up to three behind a point; kept in thousandths
 *     3 LIST    records, at most four lists deep
 *     4 PICTURE pairs of a count and a byte, 256 bytes in all at most
 *     5 OPTION  KEY=VALUE, at most eight of them; one that is there already is changed
 *     6 CHECK   the sum of all bytes of the message before this record, 16 bits, big-endian
 *     7 SPOT    x, y (16 bits each, little-endian) and a colour for a place of a grid, 16 by 16
 */
#ifndef MESSAGES_H
#define MESSAGES_H

#include <stddef.h>
#include <stdint.h>

enum record { NAME = 1, NUMBER, LIST, PICTURE, OPTION, CHECK, SPOT };

enum error { TOO_SHORT = -1, NO_MESSAGE = -2, BAD_VERSION = -3, BAD_RECORD = -4, BAD_TEXT = -5, BAD_NUMBER = -6,
             TOO_DEEP = -7, TOO_LARGE = -8, BAD_SUM = -9, NO_ROOM = -10 };

#define NAME_SIZE 32
#define PICTURE_SIZE 256
#define OPTIONS 8
#define KEY_SIZE 12
#define VALUE_SIZE 20
#define GRID 16
#define MOST_DEEP 4

struct settings {
    char name[NAME_SIZE];
    int64_t number;
    size_t picture_size;
    uint8_t picture[PICTURE_SIZE];
    size_t option_count;
    struct { char key[KEY_SIZE], value[VALUE_SIZE]; } options[OPTIONS];
    uint8_t grid[GRID][GRID];
};

/* How many records there were, those in lists too; or an error, and the settings are what came before it. */
int handle_message(const uint8_t *data, size_t size, struct settings *settings);

#endif
