# Sstc 1.0: stimecmp raises STIP from M- and S-mode, its enables, and STIP without it. Deadlines are 0 and never, so
# that no clock is asked.
.equ STIMECMP, 0x14D
.equ MENVCFG, 0x30A

main:   li      s1, -1
        li      s2, 0x20
        slli    s3, s1, 63
        la      t0, supervisor
        csrw    stvec, t0
        csrw    STIMECMP, s1
        csrr    t1, mip
        csrs    mip, s2                 # STCE is 0: software's
        csrr    t1, mip
        csrc    mip, s2
        csrr    t1, mip
        csrw    MENVCFG, s3
        csrr    t1, MENVCFG
        csrw    STIMECMP, s1
        csrr    t1, mip
        csrs    mip, s2                 # STCE is 1: read-only
        csrr    t1, mip
        csrw    STIMECMP, zero
        csrr    t1, mip
        csrc    mip, s2
        csrr    t1, mip
        csrr    t1, STIMECMP
        .irp    delegated, 0, 0x20
        li      t0, \delegated
        csrw    mideleg, t0
        csrr    t1, sip
        .irp    mode, 3, 1, 0
        csrw    STIMECMP, zero
        csrci   sstatus, 2
        csrw    mie, s2
        csrsi   mstatus, 8
        nop
        csrci   mstatus, 8
        csrw    mie, s2
        enter   \mode
        nop
        csrsi   sstatus, 2
        nop
        to_machine
        csrw    STIMECMP, s1
        csrr    t1, mip
        .endr
        .endr
        li      t0, 0x20
        csrw    mideleg, t0
        .irp    enabled, 0, 1           # menvcfg.STCE and mcounteren.TM together allow S-mode, scounteren nothing
        .irp    counters, 0, 2, 5, 7
        csrc    MENVCFG, s3
        li      t0, \enabled << 63
        csrs    MENVCFG, t0
        csrwi   mcounteren, \counters
        csrwi   scounteren, 7
        enter   1
        csrw    STIMECMP, s1
        csrr    t1, STIMECMP
        csrr    t1, sip
        csrs    STIMECMP, zero
        to_machine
        enter   0
        csrr    t1, STIMECMP
        to_machine
        .endr
        .endr
        csrs    MENVCFG, s3
        csrwi   mcounteren, 7
        csrsi   sstatus, 2
        csrw    mie, s2
        enter   1
        csrw    STIMECMP, zero          # taken at once, by the handler of S-mode
        nop
        csrw    STIMECMP, s1
        csrr    t1, sip
        to_machine
        end_program
        .balign 64
supervisor:
        csrr    t0, scause
        csrr    t1, sepc
        csrr    t1, sip
        li      t1, 1
        sll     t1, t1, t0
        csrc    sie, t1
        sret
