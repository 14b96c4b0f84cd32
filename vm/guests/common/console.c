/* Text out through the NS16550A at 0x10000000, and power-off through the test device at 0x100000. */

#include <stdarg.h>

#include "platform.h"

#define UART ((volatile uint8_t *)0x10000000)
#define UART_THR 0              /* transmit holding register */
#define UART_FCR 2
#define UART_LCR 3
#define UART_LSR 5
#define LSR_THR_EMPTY 0x20

#define POWER ((volatile uint32_t *)0x100000)
#define POWER_OFF 0x5555
#define POWER_FAIL 0x3333       /* exit code in the upper half */

void console_init(void) {
    UART[UART_LCR] = 3;         /* 8 data bits, no parity, one stop bit */
    UART[UART_FCR] = 1;
}

void console_put(char character) {
    while (!(UART[UART_LSR] & LSR_THR_EMPTY)) {
    }
    UART[UART_THR] = (uint8_t)character;
}

static void put_padded(const char *text, int length, int width, char fill) {
    for (int i = length; i < width; i++)
        console_put(fill);
    for (int i = 0; i < length; i++)
        console_put(text[i]);
    for (int i = length; i < -width; i++)
        console_put(' ');
}

static void put_number(uint64_t value, unsigned base, int width, char fill) {
    char digits[20];
    int first = sizeof digits;
    do {
        digits[--first] = "0123456789abcdef"[value % base];
    } while (value /= base);
    put_padded(digits + first, (int)sizeof digits - first, width, fill);
}

void print(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            console_put(*format);
            continue;
        }
        bool left = *++format == '-';
        format += left;
        char fill = *format == '0' ? '0' : ' ';
        int width = 0;
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + (*format - '0');
        if (left)
            width = -width;
        switch (*format) {
        case 's': {
            const char *text = va_arg(arguments, const char *);
            int length = 0;
            while (text[length])
                length++;
            put_padded(text, length, width, ' ');
            break;
        }
        case 'c': console_put((char)va_arg(arguments, int)); break;
        case 'u': put_number(va_arg(arguments, uint64_t), 10, width, fill); break;
        case 'x': put_number(va_arg(arguments, uint64_t), 16, width, fill); break;
        default: console_put(*format);
        }
    }
    va_end(arguments);
}

_Noreturn void power_off(unsigned exit_code) {
    *POWER = exit_code ? exit_code << 16 | POWER_FAIL : POWER_OFF;
    for (;;) {
    }
}
