# Unprivileged 2.5, privileged 3.1.15: without C a jump or a taken branch to half a word traps, at the jump; mtval is the
# target and no register is linked. With C it goes there. A branch that is not taken never traps.
        .macro  half instruction:vararg
        la      s10, 97f
        la      t2, 96f
        li      a0, 0
        \instruction
        .balign 4
96:     .half   1, 1                    # c.nop
97:     mv      a1, a0
        .endm
        .macro  every_jump
        half    jal     a0, 96f + 2
        half    jal     x0, 96f + 2
        half    beq     x0, x0, 96f + 2
        half    bne     s10, x0, 96f + 2
        half    blt     x0, s10, 96f + 2
        half    bltu    x0, s10, 96f + 2
        half    bge     x0, x0, 96f + 2
        half    bgeu    x0, x0, 96f + 2
        half    jalr    a0, 2(t2)
        half    jalr    a0, 3(t2)
        half    jalr    x0, 2(t2)
        half    jalr    t2, 2(t2)
        la      s10, 2f
        bne     x0, x0, 1f + 2
        beq     x0, s10, 1f + 2
        bltu    s10, x0, 1f + 2
        j       2f
1:      .half   1, 1
2:
        .endm

main:   la      t0, supervisor
        csrw    stvec, t0
        every_jump
        .irp    delegated, 0, 1
        csrwi   medeleg, \delegated
        .irp    mode, 0, 1
        enter   \mode
        every_jump
        to_machine
        .endr
        .endr
        end_program
        .balign 4
supervisor:
        csrr    a1, scause
        csrr    a1, stval
        csrr    a1, sepc
        csrw    sepc, s10
        sret
