/* The firmware of an instrument that answers commands on its serial line: crc TEXT, sort NUMBERS, hex NUMBER. */
#include <stddef.h>
#include <stdint.h>

#define UART_IRQ 10
#define LINE 120                    /* longest command */
#define NUMBERS 16                  /* most that are sorted */

static volatile uint8_t *const uart = (volatile uint8_t *)0x10000000;           /* an NS16550A */
static volatile uint32_t *const plic_priority = (volatile uint32_t *)0x0c000000;
static volatile uint32_t *const plic_enable = (volatile uint32_t *)0x0c002000;  /* of hart 0 in M-mode */
static volatile uint32_t *const plic_claim = (volatile uint32_t *)0x0c200004;

_Noreturn void finish(int code);

/* --- The serial line ----------------------------------------------------------------------------------------------- */

static void put(char byte)
{
    while (!(uart[5] & 0x20))       /* the transmitter is busy */
        ;
    uart[0] = byte;
}

static void print(const char *text)
{
    while (*text)
        put(*text++);
}

static void print_number(uint64_t number, unsigned base, unsigned digits)
{
    char text[65];
    char *first = text + sizeof text - 1;

    *first = 0;
    do {
        *--first = "0123456789abcdef"[number % base];
        number /= base;
    } while (number || first > text + sizeof text - 1 - digits);
    print(first);
}

static void listen(void)
{
    plic_priority[UART_IRQ] = 1;
    plic_enable[0] = 1u << UART_IRQ;
    uart[1] = 1;                                            /* an interrupt when something was received */
    __asm__ volatile("csrs mie, %0" : : "r"(1 << 11));      /* wakes from wfi; no trap is taken */
}

static char get(void)
{
    while (!(uart[5] & 1)) {
        __asm__ volatile("wfi");
        uint32_t source = *plic_claim;
        if (source)
            *plic_claim = source;
    }
    return uart[0];
}

static void read_line(char *line)
{
    size_t length = 0;
    char byte;

    while ((byte = get()) != '\n' && byte != '\r')
        if (length < LINE) {
            put(byte);
            line[length++] = byte;
        }
    put('\n');
    line[length] = 0;
}

/* --- What is computed ---------------------------------------------------------------------------------------------- */

uint32_t crc32(uint32_t crc, const uint8_t *data, size_t size)
{
    crc = ~crc;
    while (size--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

void sort(int64_t *numbers, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        int64_t number = numbers[i];
        size_t place = i;
        for (; place && numbers[place - 1] > number; place--)
            numbers[place] = numbers[place - 1];
        numbers[place] = number;
    }
}

static const char *parse(const char *text, int64_t *number)
{
    int negative = *text == '-';

    *number = 0;
    for (text += negative; *text >= '0' && *text <= '9'; text++)
        *number = *number * 10 + (*text - '0');
    if (negative)
        *number = -*number;
    while (*text == ' ')
        text++;
    return text;
}

/* --- Commands ------------------------------------------------------------------------------------------------------ */

static const char *after(const char *line, const char *name)
{
    while (*name)
        if (*line++ != *name++)
            return NULL;
    return *line == ' ' ? line + 1 : *line ? NULL : line;
}

static void sort_command(const char *text)
{
    int64_t numbers[NUMBERS];
    size_t count = 0;

    while (*text && count < NUMBERS)
        text = parse(text, &numbers[count++]);
    sort(numbers, count);
    for (size_t i = 0; i < count; i++) {
        print(i ? " " : "");
        print(numbers[i] < 0 ? "-" : "");
        print_number(numbers[i] < 0 ? -(uint64_t)numbers[i] : (uint64_t)numbers[i], 10, 1);
    }
}

static void obey(const char *line)
{
    const char *rest;
    int64_t number;

    if ((rest = after(line, "crc"))) {
        size_t size = 0;
        while (rest[size])
            size++;
        print_number(crc32(0, (const uint8_t *)rest, size), 16, 8);
    } else if ((rest = after(line, "sort"))) {
        sort_command(rest);
    } else if ((rest = after(line, "hex"))) {
        parse(rest, &number);
        print_number((uint64_t)number, 16, 1);
    } else if (after(line, "spin")) {
        for (;;)
            __asm__ volatile("");
    } else if (after(line, "crash")) {
        __asm__ volatile("sw zero, 8(zero)" ::: "memory");      /* nothing answers there */
    } else if (after(line, "off")) {
        finish(0);
    } else {
        print("unknown command");
    }
    put('\n');
}

int on_trap(uint64_t cause, uint64_t pc)
{
    print("trap ");
    print_number(cause, 10, 1);
    print(" at 0x");
    print_number(pc, 16, 1);
    put('\n');
    return 64 + (int)cause;
}

int main(void)
{
    char line[LINE + 1];

    print("memory: ");              /* what takes a while, and no test wants to wait for */
    print_number(crc32(0, (const uint8_t *)0x80000000, 4 << 20), 16, 8);
    put('\n');
    listen();
    for (;;) {
        print("ready> ");
        read_line(line);
        obey(line);
    }
}
