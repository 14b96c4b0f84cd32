/* Taking a message apart; messages.h says what one is. Nothing that it holds is trusted. */
#include <stdbool.h>

#include "messages.h"

#define VERSION 1
#define HEADER 4

struct reader {
    const uint8_t *message, *next, *end;
    struct settings *settings;
    int records, depth;
};

static int take_records(struct reader *reader, unsigned count);

static int digit_of(uint8_t character) {
    if (character >= '0' && character <= '9')
        return character - '0';
    character |= 0x20;
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : -1;
}

static int take_name(struct settings *settings, const uint8_t *text, size_t size) {
    size_t length = 0;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = text[i];
        if (byte == '\\') {
            if (++i == size)
                return BAD_TEXT;
            switch (text[i]) {
            case '\\': byte = '\\'; break;
            case 'n': byte = '\n'; break;
            case 't': byte = '\t'; break;
            case 'x': {
                if (size - i < 3)
                    return BAD_TEXT;
                int high = digit_of(text[i + 1]), low = digit_of(text[i + 2]);
                if (high < 0 || low < 0)
                    return BAD_TEXT;
                byte = (uint8_t)(high << 4 | low);
                i += 2;
                break;
            }
            default: return BAD_TEXT;
            }
        }
        if (length == NAME_SIZE - 1)
            return TOO_LARGE;
        settings->name[length++] = (char)byte;
    }
    settings->name[length] = 0;
    return 0;
}

static int take_number(struct settings *settings, const uint8_t *text, size_t size) {
    int64_t number = 0;
    int behind_point = -1;
    size_t i = 0;
    bool negative = size && text[0] == '-';
    if (size && (text[0] == '-' || text[0] == '+'))
        i++;
    if (i == size)
        return BAD_NUMBER;
    for (; i < size; i++) {
        if (text[i] == '.' && behind_point < 0) {
            behind_point = 0;
            continue;
        }
        if (text[i] < '0' || text[i] > '9' || behind_point == 3)
            return BAD_NUMBER;
        if (number > INT64_MAX / 100000)
            return TOO_LARGE;
        number = number * 10 + (text[i] - '0');
        behind_point += behind_point >= 0;
    }
    for (int place = behind_point < 0 ? 0 : behind_point; place < 3; place++)
        number *= 10;
    settings->number = negative ? -number : number;
    return 0;
}

static int take_list(struct reader *reader, const uint8_t *records, size_t size) {
    if (size == 0)
        return BAD_RECORD;
    if (reader->depth == MOST_DEEP)
        return TOO_DEEP;
    struct reader inner = *reader;
    inner.next = records + 1;
    inner.end = records + size;
    inner.depth++;
    int status = take_records(&inner, records[0]);
    reader->records = inner.records;
    return status;
}

static int take_picture(struct settings *settings, const uint8_t *runs, size_t size) {
    size_t length = 0;
    if (size % 2)
        return BAD_RECORD;
    for (size_t i = 0; i < size; i += 2) {
        if (runs[i] > PICTURE_SIZE - length)
            return TOO_LARGE;
        for (unsigned count = runs[i]; count; count--)
            settings->picture[length++] = runs[i + 1];
    }
    settings->picture_size = length;
    return 0;
}

static bool is_called(const char *key, const uint8_t *text, size_t size) {
    size_t i = 0;
    while (i < size && key[i] == (char)text[i])
        i++;
    return i == size && key[i] == 0;
}

static void keep(char *place, const uint8_t *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        place[i] = (char)text[i];
    place[size] = 0;
}

static int take_option(struct settings *settings, const uint8_t *text, size_t size) {
    size_t key = 0, place = 0;
    while (key < size && text[key] != '=') {
        if (text[key] == 0)
            return BAD_TEXT;
        key++;
    }
    if (key == 0 || key == size)
        return BAD_TEXT;
    size_t value = size - key - 1;
    if (key >= KEY_SIZE || value >= VALUE_SIZE)
        return TOO_LARGE;
    while (place < settings->option_count && !is_called(settings->options[place].key, text, key))
        place++;
    if (place == OPTIONS)
        return NO_ROOM;
    if (place == settings->option_count)
        settings->option_count++;
    keep(settings->options[place].key, text, key);
    keep(settings->options[place].value, text + key + 1, value);
    return 0;
}

static int check_sum(const uint8_t *message, const uint8_t *record, const uint8_t *payload, size_t size) {
    uint16_t sum = 0;
    if (size != 2)
        return BAD_RECORD;
    for (; message < record; message++)
        sum = (uint16_t)(sum + *message);
    return sum == (payload[0] << 8 | payload[1]) ? 0 : BAD_SUM;
}

static int take_spot(struct settings *settings, const uint8_t *payload, size_t size) {
    if (size != 5)
        return BAD_RECORD;
    unsigned x = payload[0] | payload[1] << 8, y = payload[2] | payload[3] << 8;
    if (x >= GRID || y >= GRID)
        return TOO_LARGE;
    settings->grid[y][x] = payload[4];
    return 0;
}

static int take_record(struct reader *reader, const uint8_t *record, const uint8_t *payload, size_t size) {
    switch (record[0]) {
    case NAME: return take_name(reader->settings, payload, size);
    case NUMBER: return take_number(reader->settings, payload, size);
    case LIST: return take_list(reader, payload, size);
    case PICTURE: return take_picture(reader->settings, payload, size);
    case OPTION: return take_option(reader->settings, payload, size);
    case CHECK: return check_sum(reader->message, record, payload, size);
    case SPOT: return take_spot(reader->settings, payload, size);
    default: return BAD_RECORD;
    }
}

static int take_records(struct reader *reader, unsigned count) {
    while (count--) {
        const uint8_t *record = reader->next;
        if (reader->end - record < 2 || reader->end - record - 2 < record[1])
            return TOO_SHORT;
        reader->next += 2 + record[1];
        reader->records++;
        int status = take_record(reader, record, record + 2, record[1]);
        if (status < 0)
            return status;
    }
    return reader->next == reader->end ? 0 : BAD_RECORD;
}

int handle_message(const uint8_t *data, size_t size, struct settings *settings) {
    struct reader reader = { .message = data, .next = data + HEADER, .end = data + size, .settings = settings };
    if (size < HEADER)
        return TOO_SHORT;
    if (data[0] != 'V' || data[1] != 'M')
        return NO_MESSAGE;
    if (data[2] != VERSION)
        return BAD_VERSION;
    int status = take_records(&reader, data[3]);
    return status < 0 ? status : reader.records;
}
