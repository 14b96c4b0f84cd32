# Privileged 3.1.6.6 and unprivileged 20.2: FS off makes everything illegal, fcsr too; Initial and Clean become Dirty; an
# invalid rounding mode, static or dynamic, is illegal; frm holds what was written.
main:   .irp    state, 0, 1, 2, 3
        li      t0, 0x6000
        csrc    mstatus, t0
        li      t0, \state << 13
        csrs    mstatus, t0
        csrr    t1, fcsr
        csrr    t1, mstatus
        fsw     f0, 0(sp)
        fmv.x.d t1, f0
        csrr    t1, mstatus
        fmv.d.x f1, t0
        csrr    t1, mstatus
        li      t0, 0x6000
        csrc    mstatus, t0
        li      t0, \state << 13
        csrs    mstatus, t0
        csrwi   frm, 1
        csrr    t1, mstatus
        csrwi   fflags, 0
        enter   0
        fadd.d  f2, f1, f1
        csrr    t1, frm
        to_machine
        csrr    t1, mstatus
        .endr
        li      t0, 0x6000
        csrs    mstatus, t0
        .irp    mode, 0, 1, 2, 3, 4, 5, 6, 7
        csrwi   frm, \mode
        csrr    t1, fcsr
        fadd.s  f2, f1, f1
        .insn   r 0x53, \mode, 1, f2, f1, f1
        fsgnj.d f3, f1, f1
        .endr
        li      t0, -1
        csrw    fcsr, t0
        csrr    t1, fcsr
        csrw    fflags, t0
        csrr    t1, fflags
        end_program
