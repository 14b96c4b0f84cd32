# Sscofpmf, chapter 2: the counter-overflow interrupt, number 13, is raised by software here; taken in M-mode, delegated
# to S-mode, and after the software interrupt there. Without Sscofpmf the bits are zero and nothing happens.
main:   li      t0, 0x2000
        csrw    mip, t0
        csrr    t1, mip
        csrw    mie, t0
        csrr    t1, mie
        csrsi   mstatus, 8
        nop
        nop
        csrci   mstatus, 8
        csrw    mideleg, t0
        csrr    t1, mideleg
        csrw    mie, t0
        csrsi   mstatus, 8              # delegated: M-mode does not see it
        nop
        la      t0, supervisor
        csrw    stvec, t0
        csrci   sstatus, 2
        enter   1
        csrr    t1, sip
        csrr    t1, sie
        csrsi   sstatus, 2
        nop
        to_machine
        li      t0, 0x2002
        csrw    mideleg, t0
        csrw    mip, t0
        csrw    mie, t0
        enter   0
        nop
        nop
        to_machine
        csrw    mip, zero
        csrr    t1, mip
        end_program
        .balign 64
supervisor:
        csrr    t0, scause
        csrr    t1, sepc
        li      t1, 1
        sll     t1, t1, t0
        csrc    sie, t1
        csrc    sip, t1
        csrr    t1, sip
        sret
