/* The firmware around it: messages come on the serial line, each behind its size in two bytes, little-endian. */
#include "messages.h"
#include "platform.h"

#define MOST 1024
#define UART_IRQ 10

static volatile uint8_t *const uart = (volatile uint8_t *)0x10000000;           /* PC16550D */
static volatile uint32_t *const plic_priority = (volatile uint32_t *)0x0c000000;
static volatile uint32_t *const plic_enable = (volatile uint32_t *)0x0c002000;  /* of hart 0 in M-mode */
static volatile uint32_t *const plic_claim = (volatile uint32_t *)0x0c200004;

static uint8_t message[MOST];
static struct settings settings;

static uint8_t get(void) {
    while (!(uart[5] & 1)) {
        __asm__ volatile("wfi");
        uint32_t source = *plic_claim;
        if (source)
            *plic_claim = source;
    }
    return uart[0];
}

_Noreturn void on_trap(uint64_t cause, uint64_t pc, uint64_t value) {
    print("trap %u at 0x%x, value 0x%x\n", cause, pc, value);
    power_off(64 + (unsigned)cause);
}

int main(void) {
    console_init();
    plic_priority[UART_IRQ] = 1;
    plic_enable[0] = 1u << UART_IRQ;
    uart[1] = 1;                                        /* an interrupt when something was received ... */
    csr_set(mie, 1 << 11);                              /* ... wakes from wfi; no trap is taken */
    print("ready\n");
    for (;;) {
        size_t size = get();
        size |= (size_t)get() << 8;
        for (size_t i = 0; i < size; i++) {
            uint8_t byte = get();
            if (i < MOST)
                message[i] = byte;
        }
        int records = size > MOST ? TOO_LARGE : handle_message(message, size, &settings);
        if (records < 0)
            print("error %u\n", (uint64_t)-records);
        else
            print("%u records\n", (uint64_t)records);
    }
}
