# The frame of a generated program: it fills the registers from PARAMETERS, enters the random code in its mode, and has
# the trap handlers. A trap skips its instruction; one that comes from fetching goes on at tp; an environment call with
# the END code in a7 ends the program. Offsets are those of frame.py.

.equ TOHOST, 0x1000             # from the start of the image
.equ PARAMETERS, 0x2000
.equ END, 0x5EED
.equ CLINT, 0x2000000

        .option norvc                   # there may be no C
        la      s0, _start
        li      t0, PARAMETERS
        add     s0, s0, t0
        li      t0, CLINT + 0x4000      # Spike's mtimecmp is 0 at first
        li      t1, -1
        sd      t1, 0(t0)
        # x0 up to 31, f0 to f31, then the CSRs below.
        ld      t0, 512(s0)
        csrw    mtvec, t0
        ld      t0, 520(s0)
        csrw    mscratch, t0
        ld      t0, 528(s0)
        csrw    stvec, t0
        ld      t0, 536(s0)
        csrw    sscratch, t0
        ld      t0, 544(s0)
        csrw    medeleg, t0
        ld      t0, 552(s0)
        csrw    mideleg, t0
        ld      t0, 560(s0)
        csrw    mcounteren, t0
        ld      t0, 568(s0)
        csrw    scounteren, t0
        ld      t0, 576(s0)
        csrw    0x30A, t0               # menvcfg
        ld      t0, 704(s0)             # Sstc: its compare register has no reset value
        beqz    t0, 1f
        csrw    0x14D, t1
1:      ld      t0, 712(s0)             # Smstateen
        beqz    t0, 1f
        ld      t0, 720(s0)
        csrw    0x30C, t0               # mstateen0
1:      ld      t0, 728(s0)             # Zkr
        beqz    t0, 1f
        csrw    0x747, t0               # mseccfg
1:      .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        ld      t0, 584 + 8 * \n (s0)
        csrw    pmpaddr\n, t0
        .endr
        ld      t0, 648(s0)
        csrw    pmpcfg0, t0
        ld      t0, 656(s0)
        csrw    satp, t0
        sfence.vma
        ld      t0, 664(s0)
        csrw    mepc, t0
        ld      t0, 672(s0)
        csrw    mie, t0
        ld      t1, 688(s0)             # f registers: 0 none, 1 single, 2 double
        beqz    t1, 1f
        li      t0, 0x6000
        csrs    mstatus, t0
        ld      t0, 696(s0)
        csrw    fcsr, t0
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        flw     f\n, 256 + 8 * \n (s0)
        .endr
        addi    t1, t1, -1
        beqz    t1, 1f
        .irp    n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        fld     f\n, 256 + 8 * \n (s0)
        .endr
1:      csrw    0xB02, zero             # minstret
        ld      t0, 680(s0)
        csrw    mstatus, t0
        .irp    n, 1,2,3,4,5,6,7,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
        ld      x\n, 8 * \n (s0)
        .endr
        ld      s0, 64(s0)
        mret

        .balign 64
        .globl  machine_handler
machine_handler:
        csrrw   t6, mscratch, t6
        sd      t5, 0(t6)
        sd      t4, 8(t6)
        sd      t3, 16(t6)
        csrrw   t5, mscratch, t6
        sd      t5, 24(t6)
        csrr    t3, mtval
        csrr    t3, mip
        csrr    t3, mstatus
        csrr    t4, mepc
        csrr    t5, mcause
        bltz    t5, machine_interrupt
        li      t3, END
        bne     a7, t3, 1f
        addi    t3, t5, -8              # an environment call: 8, 9 or 11
        sltiu   t3, t3, 4
        bnez    t3, end
1:      addi    t3, t5, -12             # fetching failed: 1, 12
        beqz    t3, 2f
        addi    t3, t5, -1
        beqz    t3, 2f
        li      t3, 0xA0000             # MPRV and MXR: read the instruction as it was fetched
        csrrs   t3, mstatus, t3
        lhu     t5, 0(t4)
        csrw    mstatus, t3
        andi    t5, t5, 3
        addi    t5, t5, -3
        addi    t4, t4, 2
        bnez    t5, 3f
        addi    t4, t4, 2
        j       3f
2:      beq     t4, tp, end
        mv      t4, tp
3:      csrw    mepc, t4
machine_return:
        ld      t5, 0(t6)
        ld      t4, 8(t6)
        ld      t3, 16(t6)
        ld      t6, 24(t6)
        mret
machine_interrupt:                      # turn it off, and what raised it if software can
        li      t3, 1
        sll     t3, t3, t5
        csrc    mie, t3
        csrc    mip, t3
        addi    t5, t5, -3
        slli    t5, t5, 1
        bnez    t5, machine_return
        li      t3, CLINT
        sw      zero, 0(t3)
        j       machine_return

        .balign 64
        .globl  supervisor_handler
supervisor_handler:
        csrrw   t6, sscratch, t6
        sd      t5, 0(t6)
        sd      t4, 8(t6)
        sd      t3, 16(t6)
        csrrw   t5, sscratch, t6
        sd      t5, 24(t6)
        csrr    t3, stval
        csrr    t3, sip
        csrr    t3, sstatus
        csrr    t4, sepc
        csrr    t5, scause
        bltz    t5, supervisor_interrupt
        li      t3, END
        bne     a7, t3, 1f
        addi    t3, t5, -8
        bnez    t3, 1f
        ecall
1:      addi    t3, t5, -12
        beqz    t3, 2f
        addi    t3, t5, -1
        beqz    t3, 2f
        li      t3, 0xC0000             # SUM and MXR
        csrrs   t3, sstatus, t3
        lhu     t5, 0(t4)
        csrw    sstatus, t3
        andi    t5, t5, 3
        addi    t5, t5, -3
        addi    t4, t4, 2
        bnez    t5, 3f
        addi    t4, t4, 2
        j       3f
2:      beq     t4, tp, 4f
        mv      t4, tp
3:      csrw    sepc, t4
supervisor_return:
        ld      t5, 0(t6)
        ld      t4, 8(t6)
        ld      t3, 16(t6)
        ld      t6, 24(t6)
        sret
4:      li      a7, END
        ecall
supervisor_interrupt:
        li      t3, 1
        sll     t3, t3, t5
        csrc    sie, t3
        csrc    sip, t3
        j       supervisor_return

# Everything that no record shows is read into a register before the end.
end:
        .irp    csr, mstatus, mtvec, medeleg, mideleg, mie, mcounteren, scounteren, 0x30A, 0x10A, 0x320, mip, sie
        csrr    t0, \csr
        .endr
        .irp    csr, stvec, sepc, scause, stval, satp, pmpcfg0, pmpaddr0, pmpaddr1, pmpaddr2, pmpaddr3, 0xB02
        csrr    t0, \csr
        .endr
        la      t0, _start
        li      t1, TOHOST
        add     t0, t0, t1
        li      t1, 1
        .globl  finish
finish: sd      t1, 0(t0)
1:      wfi
        j       1b
