/* The console on the NS16550A, driven by interrupts in both directions. IIR is never read.
 *
 * One character is on its way at a time: the interrupt after it sends the next.
 */

#include <stdarg.h>

#include "kernel.h"

#define UART ((volatile uint8_t *)0x10000000)
enum { DATA = 0, IER = 1, FCR = 2, LCR = 3, LSR = 5 };
#define IER_RECEIVE 1
#define IER_TRANSMIT 2
#define FCR_ENABLE_AND_CLEAR 7
#define LCR_DIVISOR 0x80
#define LCR_EIGHT_BITS 3
#define LSR_RECEIVED 1
#define LSR_IDLE 0x20

#define QUEUE 64

struct queue {
    volatile uint32_t first, end;
    char data[QUEUE];
};

static struct lock lock;
static struct queue output, input;
static bool sending;

void uart_init(void) {
    UART[IER] = 0;
    UART[LCR] = LCR_DIVISOR;
    UART[0] = 3;
    UART[1] = 0;
    UART[LCR] = LCR_EIGHT_BITS;
    UART[FCR] = FCR_ENABLE_AND_CLEAR;
    UART[IER] = IER_RECEIVE | IER_TRANSMIT;
}

static void send_next(void) {
    if (sending || output.first == output.end || !(UART[LSR] & LSR_IDLE))
        return;
    sending = true;
    UART[DATA] = (uint8_t)output.data[output.first++ % QUEUE];
}

void uart_interrupt(void) {
    acquire(&lock);
    while (UART[LSR] & LSR_RECEIVED) {
        char character = (char)UART[DATA];
        if (input.end - input.first < QUEUE)
            input.data[input.end++ % QUEUE] = character;
    }
    if (UART[LSR] & LSR_IDLE)
        sending = false;
    send_next();
    release(&lock);
}

void put(char character) {
    acquire(&lock);
    while (output.end - output.first == QUEUE) {
        uint32_t first = output.first;
        release(&lock);
        wait_while(&output.first, first);
        acquire(&lock);
    }
    output.data[output.end++ % QUEUE] = character;
    send_next();
    release(&lock);
}

void flush(void) {
    for (uint32_t first; (first = output.first) != output.end;)
        wait_while(&output.first, first);
}

/* A line that is typed, echoed, without its end. */
size_t read_line(char *line, size_t size) {
    size_t length = 0;
    for (;;) {
        wait_while(&input.end, input.first);
        char character = input.data[input.first++ % QUEUE];
        if (character == '\n' || character == '\r')
            break;
        put(character);
        if (length < size - 1)
            line[length++] = character;
    }
    put('\n');
    line[length] = 0;
    return length;
}

static void put_number(uint64_t value, unsigned base) {
    char digits[20];
    size_t first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[value % base];
    } while (value /= base);
    while (first < sizeof digits)
        put(digits[first++]);
}

void print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                put(*text);
            break;
        case 'u': put_number(va_arg(arguments, uint64_t), 10); break;
        case 'x': put_number(va_arg(arguments, uint64_t), 16); break;
        default: put(*format);
        }
    }
    va_end(arguments);
}
