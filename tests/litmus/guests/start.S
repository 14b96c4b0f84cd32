# Start of the guests in C: work(hart) on every hart, in M-mode; then they wait.
        .section .entry, "ax"
        .globl  _start
_start: la      t0, trap
        csrw    mtvec, t0
        li      t0, 0x6600              # floating point and vectors
        csrs    mstatus, t0
        csrr    a0, mhartid
        la      sp, stacks
        addi    t0, a0, 1
        slli    t0, t0, 12
        add     sp, sp, t0
        call    work
        fence   rw, rw
        .balign 4
trap:   wfi
        j       trap

        .bss
        .balign 4096
stacks: .zero   8 * 4096
