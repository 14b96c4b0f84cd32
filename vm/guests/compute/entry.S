# Start of a bare-metal program with floating point: machine mode, hart 0 alone, main()'s result is the exit code.
    .section .entry, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park
    la t0, trap
    csrw mtvec, t0
    li t0, 0x2000                       # mstatus.FS = initial
    csrs mstatus, t0
    la sp, stack_top
    call console_init
    call main
    call power_off
park:
    wfi
    j park
    .balign 4
trap:                                   # nothing here is to trap
    la sp, stack_top
    li a0, 99
    j power_off
