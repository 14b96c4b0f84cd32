# Privileged 3.7: address matching (NA4, NAPOT, TOR), priority of the lowest entry, an entry that covers an access in part,
# locking, the reserved combination W without R, M-mode under locked entries.
main:   la      s0, area
        srli    s1, s0, 2
        csrw    pmpaddr0, s1            # NA4 at area, no permission
        addi    t0, s1, 2
        csrw    pmpaddr1, t0            # TOR up to area + 8, readable
        ori     t0, s1, 3
        csrw    pmpaddr2, t0            # NAPOT of 32 bytes, readable and writable
        addi    t0, s1, 16
        csrw    pmpaddr3, t0            # TOR from there to area + 64: executable only
        li      t0, 0x1F0000000C1B0910
        csrw    pmpcfg0, t0
        csrr    t1, pmpcfg0
        .irp    mode, 0, 1, 3
        enter   \mode
        .irp    offset, -4, 0, 2, 3, 4, 6, 7, 8, 24, 28, 30, 31, 32, 56, 60, 62, 64
        lw      t1, \offset(s0)
        ld      t1, \offset(s0)
        lb      t1, \offset(s0)
        sh      t1, \offset(s0)
        sd      t1, \offset(s0)
        .endr
        to_machine
        .endr
        li      t0, 0x000D0067          # jr s10
        sw      t0, 48(s0)
        fence.i
        la      s10, 1f
        enter   1
        addi    t0, s0, 48
        jr      t0
1:      to_machine
        la      s10, 2f
        enter   0
        jr      s0
2:      to_machine
        li      t0, 0x1F00000082868490  # reserved W without R; locked entries, one of them TOR
        csrw    pmpcfg0, t0
        csrr    t1, pmpcfg0
        li      t0, 0x1F0000000F8F0F0F
        csrw    pmpcfg0, t0
        csrr    t1, pmpcfg0
        li      t0, -1
        .irp    n, 0, 1, 2, 3, 4
        csrw    pmpaddr\n, t0
        csrr    t1, pmpaddr\n
        .endr
        lw      t1, 0(s0)               # locked: M-mode too
        lw      t1, 4(s0)
        sw      t1, 4(s0)
        sw      t1, 8(s0)
        la      s10, 3f
        jr      s0
3:      csrr    t1, 0x3A1               # odd ones do not exist
        csrr    t1, 0x3A2
        csrw    pmpaddr15, t0
        csrr    t1, pmpaddr15
        csrw    0x3C0, t0               # beyond 16 entries
        end_program
        .balign 64
area:   .fill   16, 8, 0x11111111
