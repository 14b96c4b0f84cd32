# Unprivileged 13.2 and 13.4: an LR, SC or AMO that is not aligned raises address-misaligned, before anything is stored.
# Run on a Spike without Zicclsm, which raises the same; with it, it raises an access fault.
main:   la      s0, area
        .irp    offset, 1, 2, 3, 5, 6, 7, 61, 62, 63
        addi    s1, s0, \offset
        li      a1, 0x55
        .irp    width, 2, 3
        .irp    operation, 0x00, 0x04, 0x08, 0x0C, 0x10, 0x20, 0x30, 0x40, 0x50, 0x60, 0x70
        li      a2, -1
        .insn   r 0x2F, \width, \operation, a2, s1, a1
        .endr
        .insn   r 0x2F, \width, 0x08, a2, s1, x0        # LR
        .insn   r 0x2F, \width, 0x0C, a2, s1, a1        # SC
        .endr
        .endr
        .irp    offset, 4, 12           # aligned for one width
        addi    s1, s0, \offset
        amoadd.d a2, a1, (s1)
        amoadd.w a2, a1, (s1)
        lr.d    a2, (s1)
        lr.w    a2, (s1)
        sc.w    a2, a1, (s1)
        lr.w    a2, (s1)
        sc.d    a2, a1, (s1)
        .endr
        .irp    offset, 0, 8, 16, 56, 64
        ld      a2, \offset(s0)
        .endr
        end_program
        .balign 64
area:   .fill   32, 4, 0x12345678
