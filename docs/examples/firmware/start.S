    .section .text.start
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park               # one hart is enough here
    la   t0, trap
    csrw mtvec, t0
    la   sp, stack_top
    la   t0, bss_start
    la   t1, bss_end
1:  bgeu t0, t1, 2f
    sd   zero, 0(t0)
    addi t0, t0, 8
    j    1b
2:  call main
    call finish

    .globl finish
finish:                         # a0: 0 is a pass, other numbers are the exit code
    li   t0, 0x100000           # the test device
    li   t1, 0x5555             # power off; exit code 0
    beqz a0, 1f
    slli t1, a0, 16
    li   t2, 0x3333             # exit with a code
    or   t1, t1, t2
1:  sw   t1, 0(t0)
park:
    wfi
    j    park

    .balign 4
trap:                           # none is expected: report it, and end
    csrr a0, mcause
    csrr a1, mepc
    call on_trap
    j    finish
