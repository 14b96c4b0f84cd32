# Unprivileged 2.6 with Zicclsm: loads and stores of every width at every offset, inside a line, across lines and pages,
# and at the ends of RAM: what they read, which bytes they change, and which address a fault reports.
.equ RAM_END, 0x80000000 + (4 << 20)

        .macro  every_access base, offset
        .irp    load, lb, lbu, lh, lhu, lw, lwu, ld
        \load   a0, \offset(\base)
        .endr
        flw     fa0, \offset(\base)
        fld     fa1, \offset(\base)
        li      a1, 0x1122334455667788
        .irp    store, sb, sh, sw, sd
        not     a1, a1
        \store  a1, \offset(\base)
        ld      a2, -8(\base)
        ld      a2, 0(\base)
        ld      a2, 8(\base)
        .endr
        fmv.d.x fa2, a1
        fsw     fa2, \offset(\base)
        fsd     fa2, \offset(\base)
        ld      a2, 0(\base)
        ld      a2, 8(\base)
        .endm

main:   la      s0, area + 128
        la      s1, area + 4096
        .irp    offset, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7
        every_access s0, \offset
        every_access s1, \offset
        .endr
        li      s0, RAM_END - 16
        li      s1, 0x80000000
        .irp    offset, 8, 9, 11, 12, 13, 14, 15, 16
        .irp    access, lb, lh, lw, ld, sb, sh, sw, sd
        \access a0, \offset(s0)
        .endr
        fld     fa0, \offset(s0)
        .endr
        .irp    offset, -8, -7, -4, -2, -1
        .irp    access, lb, lh, lw, ld
        \access a0, \offset(s1)
        .endr
        .endr
        li      s1, -1                  # addresses wrap around
        ld      a0, 2(s1)
        lw      a0, -2047(s1)
        end_program
        .balign 4096
area:   .fill   1024, 4, 0x04030201
        .fill   1024, 4, 0x08070605
