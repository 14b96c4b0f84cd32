"""A program in C to build, made up: files of some hundred lines, each a table of another kind of records."""

KEYS = ("int", "unsigned", "long", "short")
VALUES = ("double", "long", "unsigned long", "float")
FILE = """\
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {{ {key} key; {value} value; char name[{width}]; int next; }} Record{i};
typedef struct {{ Record{i} *records; int *buckets; int count, room, mask; }} Table{i};

static unsigned hash{i}({key} key) {{
    unsigned long mixed = (unsigned long)key * {factor}ul;
    mixed ^= mixed >> {shift};
    return (unsigned)(mixed * 0x9E3779B1u);
}}

static void link_record{i}(Table{i} *table, int at) {{
    int *bucket = &table->buckets[hash{i}(table->records[at].key) & table->mask];
    table->records[at].next = *bucket;
    *bucket = at;
}}

static int grow{i}(Table{i} *table) {{
    int room = table->room ? table->room * 2 : {room};
    Record{i} *records = realloc(table->records, room * sizeof *records);
    int *buckets = malloc(2 * room * sizeof *buckets);
    if (!records || !buckets)
        return -1;
    free(table->buckets);
    table->records = records, table->buckets = buckets, table->room = room, table->mask = 2 * room - 1;
    memset(buckets, 0xff, 2 * room * sizeof *buckets);
    for (int at = 0; at < table->count; at++)
        link_record{i}(table, at);
    return 0;
}}

Record{i} *find{i}(Table{i} *table, {key} key) {{
    int at = table->room ? table->buckets[hash{i}(key) & table->mask] : -1;
    while (at >= 0 && table->records[at].key != key)
        at = table->records[at].next;
    return at < 0 ? NULL : &table->records[at];
}}

int add{i}(Table{i} *table, {key} key, {value} value, const char *name) {{
    Record{i} *record = find{i}(table, key);
    if (record) {{
        record->value += value;
        return 0;
    }}
    if (table->count == table->room && grow{i}(table) < 0)
        return -1;
    record = &table->records[table->count];
    record->key = key, record->value = value;
    snprintf(record->name, sizeof record->name, "%s", name);
    link_record{i}(table, table->count++);
    return 1;
}}

int parse{i}(Table{i} *table, FILE *input) {{
    char line[256], *end;
    int number = 0;
    while (fgets(line, sizeof line, input)) {{
        char *at = line;
        number++;
        while (isspace((unsigned char)*at))
            at++;
        if (*at == '#' || !*at)
            continue;
        {key} key = ({key})strtol(at, &end, 0);
        if (end == at) {{
            fprintf(stderr, "line %d: no number: %s", number, line);
            return -number;
        }}
        {value} value = ({value})strtod(end, &at);
        at += strspn(at, " \\t");
        at[strcspn(at, "\\n")] = 0;
        if (add{i}(table, key, value, at) < 0)
            return -number;
    }}
    return number;
}}

static int compare{i}(const void *left, const void *right) {{
    const Record{i} *a = left, *b = right;
    return a->value < b->value ? 1 : a->value > b->value ? -1 : strcmp(a->name, b->name);
}}

{value} report{i}(Table{i} *table, FILE *output, int most) {{
    {value} sum = 0, least = 0, greatest = 0;
    Record{i} *sorted = malloc((table->count + 1) * sizeof *sorted);
    if (!sorted)
        return 0;
    memcpy(sorted, table->records, table->count * sizeof *sorted);
    qsort(sorted, table->count, sizeof *sorted, compare{i});
    for (int at = 0; at < table->count; at++) {{
        {value} value = sorted[at].value * {scale} / (at + 1);
        sum += value;
        least = value < least ? value : least;
        greatest = value > greatest ? value : greatest;
        if (at < most)
            fprintf(output, "%-{width}s %ld %g\\n", sorted[at].name, (long)sorted[at].key, (double)value);
    }}
    free(sorted);
    return greatest - least + sum;
}}
"""
MAKEFILE = """\
CC = gcc
CFLAGS = -O2 -Wall
all: {objects}
"""


def c_program(count: int) -> dict[str, str]:
    """So many files in C, and the Makefile that compiles them all; by name."""
    files = {
        f"table{i}.c": FILE.format(i=i, key=KEYS[i % len(KEYS)], value=VALUES[i // len(KEYS) % len(VALUES)],
                                   width=16 + 8 * (i % 5), factor=2654435761 + 2 * i, shift=11 + i % 7,
                                   room=8 << i % 4, scale=3 + i)
        for i in range(count)
    }
    objects = " ".join(name.replace(".c", ".o") for name in files)
    return {"Makefile": MAKEFILE.format(objects=objects)} | files
