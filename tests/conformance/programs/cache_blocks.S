# Zicbom, Zicboz (unprivileged 20.4) and menvcfg, senvcfg (privileged 3.1.18, 12.1.10): each enable in each mode, what is
# zeroed, and which permission an operation needs. Where the hart has none of it, everything is illegal.
main:   la      s0, area
        .irp    machine, 0, 0x10, 0x30, 0x40, 0x80, 0xF0
        .irp    supervisor, 0, 0x10, 0x30, 0x40, 0x80, 0xF0
        li      t0, \machine
        csrw    0x30A, t0
        csrr    t1, 0x30A
        li      t0, \supervisor
        csrw    0x10A, t0
        csrr    t1, 0x10A
        .irp    mode, 0, 1
        enter   \mode
        .irp    operation, 0, 1, 2, 4
        .insn   i 0x0F, 2, x0, s0, \operation
        .endr
        to_machine
        .endr
        .endr
        .endr
        .irp    operation, 0, 1, 2, 4   # M-mode needs no enable
        .insn   i 0x0F, 2, x0, s0, \operation
        .endr
        li      t0, 0x20                # CBIE has a reserved value
        csrw    0x30A, t0
        csrr    t1, 0x30A
        li      t0, 0xF0
        csrw    0x30A, t0
        csrw    0x10A, t0

        .irp    offset, 0, 1, 63, 64    # a whole block, from wherever in it
        la      s0, area
        li      t0, -1
        .irp    place, 0, 8, 56, 64, 120, 128, 184
        sd      t0, \place(s0)
        .endr
        addi    t1, s0, 64 + \offset
        .insn   i 0x0F, 2, x0, t1, 4
        .irp    place, 0, 8, 56, 64, 120, 128, 184
        ld      t0, \place(s0)
        .endr
        .endr

        li      t1, 0x40000000          # nothing is there
        .irp    operation, 0, 1, 2, 4
        .insn   i 0x0F, 2, x0, t1, \operation
        .endr
        la      s0, area                # management needs any permission, zeroing that to write
        srli    t0, s0, 2
        ori     t0, t0, 7               # NAPOT of 64 bytes
        csrw    pmpaddr0, t0
        .irp    permissions, 0, 1, 3, 4, 5, 7
        li      t0, 0x18 | \permissions
        csrc    pmpcfg0, 7
        csrs    pmpcfg0, t0
        .irp    mode, 0, 1
        enter   \mode
        .irp    operation, 0, 1, 2, 4
        .insn   i 0x0F, 2, x0, s0, \operation
        .endr
        lb      t1, 0(s0)
        to_machine
        .endr
        .endr
        end_program
        .balign 4096
area:   .fill   64, 4, 0x22222222
