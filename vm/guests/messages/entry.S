# From power-on to main() in M-mode. A trap is reported from a stack of its own, and ends the run.
    .section .entry, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park                       # one hart does all the work
    la t0, trap
    csrw mtvec, t0
    la sp, stack_top
    li s0, 0                            # where stacks end
    call main
park:
    wfi
    j park

    .balign 4
trap:
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    la sp, trap_stack_top
    call on_trap
