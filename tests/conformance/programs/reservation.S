# Unprivileged 13.2: a store-conditional succeeds after the load-reserved of the same word, once; without one, at another
# address, or after another store-conditional it fails. rd and the operands may be one register. By another virtual
# address of the word it is the same. What lies between is what a constrained loop may hold, and more.
main:   la      s0, area
        .irp    width, w, d, w.aqrl, d.aqrl
        li      a1, 0x123456789
        sc.\width a0, a1, (s0)          # there is no reservation
        lr.\width a0, (s0)
        sc.\width a0, a1, (s0)
        sc.\width a0, a1, (s0)          # it is used up
        ld      a2, 0(s0)
        addi    s1, s0, 8
        lr.\width a0, (s0)
        sc.\width a2, a1, (s1)          # another word; that ended it
        sc.\width a2, a1, (s0)
        ld      a2, 0(s0)
        ld      a2, 8(s0)
        lr.\width a0, (s0)
        sc.\width a1, a1, (s0)     # rd is the value
        ld      a2, 0(s0)
        mv      s2, s0
        lr.\width a0, (s2)
        sc.\width s2, a0, (s2)          # rd is the address
        ld      a2, 0(s0)
        lr.\width x0, (s0)
        sc.\width x0, a0, (s0)
        lr.\width a0, (s0)
        sc.\width a3, x0, (s0)
        ld      a2, 0(s0)
        lr.\width a0, (s0)
        lr.\width a0, (s1)              # the last one counts
        sc.\width a3, a1, (s1)
        ld      a2, 8(s0)
        .irp    offset, 1, 2, 3, 6      # not aligned: no matter what is reserved
        lr.\width a0, (s0)
        addi    s3, s0, \offset
        sc.\width a3, a1, (s3)
        .endr
        li      a4, 100                 # a lock's loop, compare and swap
1:      lr.\width a0, (s0)
        addi    a0, a0, 3
        sc.\width a3, a0, (s0)
        bnez    a3, 1b
        addi    a4, a4, -1
        bnez    a4, 1b
        ld      a2, 0(s0)
        .endr
        .irp    operation, add.w, xor.w, and.w, or.w, swap.w, min.w, max.w, minu.w, maxu.w
        li      a1, -2
        amo\operation a0, a1, (s0)
        amo\operation a1, a1, (s0)
        ld      a2, 0(s0)
        .endr
        .irp    operation, add.d, xor.d, and.d, or.d, swap.d, min.d, max.d, minu.d, maxu.d
        li      a1, -2
        amo\operation a0, a1, (s0)
        amo\operation a1, a1, (s0)
        ld      a2, 0(s0)
        .endr
        li      t1, 0x40000000
        lr.w    a0, (t1)
        sc.w    a0, a0, (t1)
        srli    t0, s0, 2
        ori     t0, t0, 1               # NAPOT of 16 bytes, for reading
        csrw    pmpaddr0, t0
        csrci   pmpcfg0, 31
        csrsi   pmpcfg0, 0x19
        enter   1
        lr.d    a0, (s0)
        sc.d    a3, a0, (s0)
        amoadd.d a0, a0, (s0)
        ld      a2, 0(s0)
        to_machine
        csrci   pmpcfg0, 1
        enter   0
        lr.d    a0, (s0)
        sc.d    a3, a0, (s0)
        to_machine
        end_program
        .balign 4096
area:   .dword  0x7FFFFFFF80000001, -1, 5, 0
