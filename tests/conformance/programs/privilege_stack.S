# Privileged 3.1.6.1, 3.3.2, 12.1.1: MIE/MPIE/MPP, SIE/SPIE/SPP over traps and returns; MPP has no reserved value; MPRV
# falls with a return below M; mret and sret where they are illegal.
main:   .irp    mpp, 0, 1, 2, 3
        li      t0, 0x1800
        csrc    mstatus, t0
        li      t0, \mpp << 11
        csrs    mstatus, t0
        csrr    t1, mstatus
        .endr
        .irp    mode, 0, 1, 3
        li      t0, 0x200AA             # MPRV, MPIE, SPIE, MIE, SIE
        csrs    mstatus, t0
        enter   \mode
        mret
        csrr    t1, sstatus
        to_machine
        csrr    t1, mstatus
        csrc    mstatus, t0
        enter   \mode
        to_machine
        csrr    t1, mstatus
        .endr
        .irp    spp, 0, 0x100           # sret from M and from S
        li      t0, 0x100
        csrc    sstatus, t0
        li      t0, \spp | 0x20
        csrs    sstatus, t0
        la      t0, 1f
        csrw    sepc, t0
        sret
1:      csrr    t1, sstatus
        to_machine
        csrr    t1, mstatus
        li      t0, 0x100
        csrc    sstatus, t0
        li      t0, \spp
        csrs    sstatus, t0
        la      t0, 2f
        csrw    sepc, t0
        enter   1
        sret
2:      csrr    t1, sstatus
        sret
        to_machine
        .endr
        .irp    bit, 20, 21, 22         # TVM, TW, TSR
        li      t0, 1 << \bit
        csrs    mstatus, t0
        enter   1
        csrr    t1, satp
        csrw    satp, zero
        sfence.vma
        la      t1, 3f
        csrw    sepc, t1
        li      t1, 0x100
        csrs    sstatus, t1
        sret
3:      to_machine
        csrc    mstatus, t0
        .endr
        end_program
