/* Linux starts a program with the number of its arguments at sp, and pointers to them behind that. */

    .global _start
_start:
    ld a0, 0(sp)
    addi a1, sp, 8
    andi sp, sp, -16
    call agent_main
