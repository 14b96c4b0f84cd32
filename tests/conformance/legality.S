# Runs words one by one: each is put into a slot with ebreak behind it, which is all that U- and S-mode may execute, while
# they may read and write nothing, and the cause of the trap that follows is noted. Offsets are those of legality.py.

.equ PARAMETERS, 0x2000
.equ WORDS, 0x10000

        .option norvc
        la      s0, _start
        li      t0, PARAMETERS
        add     s0, s0, t0
        la      t0, handler
        csrw    mtvec, t0
        la      t0, slot
        srli    t0, t0, 2
        addi    t0, t0, 7               # NAPOT, 64 bytes: the fetch of a long word reads on
        csrw    pmpaddr0, t0
        li      t0, 0x1C                # X
        csrw    pmpcfg0, t0
        ld      t0, 8(s0)               # enables
        csrw    mcounteren, t0
        csrw    scounteren, t0
        csrw    0x30A, t0               # menvcfg
        csrw    0x10A, t0               # senvcfg
        ld      t1, 16(s0)              # Smstateen
        beqz    t1, 1f
        csrw    0x30C, t0               # mstateen0
        csrw    0x10C, t0               # sstateen0
1:      ld      t0, 24(s0)              # interrupts that are pending
        csrw    mideleg, t0
        csrw    mie, t0
        csrw    mip, t0
        ld      s1, 48(s0)              # where results go
        li      s2, WORDS
        la      t0, _start
        add     s1, s1, t0
        add     s2, s2, t0
next:   ld      t0, 40(s0)              # how many are left
        beqz    t0, finish
        addi    t0, t0, -1
        sd      t0, 40(s0)
        sd      s1, 64(s0)
        sd      s2, 72(s0)
        lw      t0, 0(s2)
        la      t1, slot
        sw      t0, 0(t1)
        fence.i
        la      t2, beyond
        csrw    sepc, t2
        csrw    mepc, t2
        ld      t0, 0(s0)
        csrw    mstatus, t0
        ld      t0, 56(s0)              # floating point
        beqz    t0, 1f
        csrw    fcsr, zero
        ld      t0, 0(s0)
        csrw    mstatus, t0
1:      li      t2, 3 << 11
        ld      t0, 0(s0)
        and     t0, t0, t2
        ld      x1, 32(s0)
        beq     t0, t2, 1f
        csrw    mepc, t1
1:      sub     t0, t0, t2
        .irp    n, 2,3,4,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        mv      x\n, x1
        .endr
        beqz    t0, 1f
        mv      t0, x1
        mret
1:      mv      t0, x1
        j       slot

        .balign 4
handler:
        la      s0, _start
        li      t0, PARAMETERS
        add     s0, s0, t0
        ld      s1, 64(s0)
        ld      s2, 72(s0)
        csrr    t0, mcause
        csrr    t1, mepc
        la      t2, slot
        beq     t1, t2, 1f
        addi    t0, t0, 0x40            # something else than the word has trapped
1:      sb      t0, 0(s1)
        addi    s1, s1, 1
        addi    s2, s2, 4
        j       next

        .globl  finish
finish: la      t0, tohost
        li      t1, 1
        sd      t1, 0(t0)
1:      j       1b

        .balign 0x400
        .globl  slot
slot:   .rept 16
        ebreak
        .endr
beyond: ebreak
        .balign 64
        .globl  tohost
tohost: .dword  0
        .dword  0
