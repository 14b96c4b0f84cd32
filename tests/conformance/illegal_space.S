# Executes each entry of TABLE in U-mode, where nothing but SLOT may be touched, and notes by which cause it came back:
# an instruction that does its work falls into the ecall behind it. Control block and offsets as in illegal_space.py.

.equ CONTROL, 0x1100            # count, address of the table, address of the results, whether there is F
.equ SLOT, 0x2000
.equ TOHOST, 0x1000

        .option norvc
        la      s0, _start
        li      t0, CONTROL
        add     s0, s0, t0
        csrw    mscratch, s0
        la      t0, handler
        csrw    mtvec, t0
        la      s1, _start
        li      t0, SLOT
        add     s1, s1, t0
        srli    t0, s1, 2
        ori     t0, t0, 1               # NAPOT, 16 bytes
        csrw    pmpaddr0, t0
        li      t0, 0x1D                # readable and executable
        csrw    pmpcfg0, t0
        li      t0, -1
        csrw    mcounteren, t0
        csrw    scounteren, t0
        li      t0, 0xF0
        csrw    0x30A, t0               # menvcfg and senvcfg: cache-block operations
        csrw    0x10A, t0
        ld      s2, 8(s0)
        ld      s3, 16(s0)
        ld      s4, 0(s0)
        add     s4, s4, s3
next:
        ld      t0, 0(s2)
        sd      t0, 0(s1)
        addi    s2, s2, 8
        fence.i
        csrw    mepc, s1
        ld      t1, 24(s0)
        beqz    t1, 1f
        li      t0, 0x6000
        csrs    mstatus, t0
        csrw    fcsr, zero
1:      li      t0, 0x1800
        csrc    mstatus, t0
        sd      s1, 32(s0)
        sd      s2, 40(s0)
        sd      s3, 48(s0)
        sd      s4, 56(s0)
        .irp    n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        li      x\n, 0
        .endr
        mret

        .balign 64
handler:
        csrr    s0, mscratch
        ld      s1, 32(s0)
        ld      s2, 40(s0)
        ld      s3, 48(s0)
        ld      s4, 56(s0)
        csrr    t0, mcause
        sb      t0, 0(s3)
        addi    s3, s3, 1
        bltu    s3, s4, next
        la      t0, _start
        li      t1, TOHOST
        add     t0, t0, t1
        li      t1, 1
        .globl  finish
finish: sd      t1, 0(t0)
1:      wfi
        j       1b
