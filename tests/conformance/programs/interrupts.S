# Privileged 3.1.9, 12.1.3: the order of simultaneous interrupts, delegation, global enables by privilege, vectored
# handlers of M and S, and that an interrupt that is delegated is not taken in M-mode. All are raised by software.
main:   la      t0, trap + 1            # vectored
        csrw    mtvec, t0
        csrr    t1, mtvec
        li      t0, 0x222
        csrs    mip, t0
        csrr    t1, sip
        li      t1, 0xAAA
        csrw    mie, t1
        li      t2, 0x2000000           # the line of the software interrupt: seen when the next CSR is written
        li      t3, 1
        sw      t3, 0(t2)
        csrr    t1, mip
        csrsi   mstatus, 8
        nop
        nop
        nop
        nop
        nop
        sw      zero, 0(t2)
        csrci   mstatus, 8
        li      t1, 0x222
        csrw    mideleg, t1             # delegated: M does not see them
        csrw    mie, t1
        csrsi   mstatus, 8
        nop
        nop
        la      t0, supervisor + 1
        csrw    stvec, t0
        csrci   sstatus, 2
        enter   1                       # S-mode with SIE clear: nothing
        nop
        csrsi   sstatus, 2
        nop
        nop
        csrr    t1, sip
        csrr    t1, sie
        to_machine
        li      t1, 0x222
        csrw    mie, t1
        csrci   sstatus, 2              # U-mode: taken whatever SIE says
        enter   0
        nop
        nop
        to_machine
        csrw    mideleg, zero           # not delegated: taken from S although MIE is clear
        li      t1, 0x222
        csrw    mie, t1
        csrci   mstatus, 8
        enter   1
        nop
        nop
        to_machine
        li      t1, 0x200               # only some are delegated
        csrw    mideleg, t1
        csrr    t1, sie
        csrr    t1, sip
        li      t1, 0x222
        csrw    sip, t1
        csrw    sie, t1
        csrw    mip, zero
        csrr    t1, mip
        csrw    mie, t1
        csrci   mstatus, 8
        csrsi   mie, 2                  # wfi ends for a pending interrupt that is not enabled globally
        csrsi   mip, 2
        wfi
        csrr    t1, mip
        end_program
        .balign 64
supervisor:
        .rept   12
        j       1f
        .endr
1:      csrr    t0, scause
        csrr    t1, sepc
        csrr    t1, sstatus
        li      t1, 1
        sll     t1, t1, t0
        csrc    sie, t1
        sret
