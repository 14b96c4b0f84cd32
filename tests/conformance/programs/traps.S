# Privileged 3.1.14 to 3.1.16, 3.3.1: what mepc, mcause and mtval hold for each exception, delegated ones too; epc and tvec
# lose the bits that are always 0; medeleg acts from S and U, not from M.
main:   li      t0, -1
        .irp    csr, mepc, sepc, mcause, scause, mtval, stval, stvec, medeleg, mideleg, mie, sie, 0x30A, 0x10A, mcounteren
        csrw    \csr, t0
        csrr    t1, \csr
        csrw    \csr, zero
        .endr
        la      t0, supervisor
        csrw    stvec, t0
        .irp    delegated, 0, 0xB0FF        # environment calls come to M
        li      t0, \delegated
        csrw    medeleg, t0
        csrr    t1, medeleg
        .irp    mode, 0, 1, 3
        enter   \mode
        ebreak
        .word   0xFFFFFFFF
        .word   0x00000057
        csrw    cycle, t1
        csrr    t1, 0x5C0
        li      t2, 0x40000000          # nothing is there
        lw      t1, 1(t2)
        sd      t1, 3(t2)
        amoadd.w t1, t1, (t2)
        lr.d    t1, (t2)
        sc.d    t1, t1, (t2)
        la      t2, 9f + 1
        amoadd.d t1, t1, (t2)
        la      s10, 1f
        li      t2, 0x40000000
        jalr    t1, 2(t2)
1:      la      t2, 9f
        jalr    t1, 1(t2)               # bit 0 of a target is dropped
9:      to_machine
        .endr
        csrw    medeleg, zero
        .endr
        end_program
        .balign 4
supervisor:
        csrr    a0, scause
        csrr    a1, stval
        csrr    a2, sepc
        csrr    a3, sstatus
        addi    a4, a0, -1
        beqz    a4, 3f
        addi    a2, a2, 4
        csrw    sepc, a2
        sret
3:      csrw    sepc, s10
        sret
