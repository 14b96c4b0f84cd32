# Kernels of a few instructions, each to cost one thing. vm.bench.kernels sets pc, the privilege mode and the arguments.
#
# a0: turns. a1, a2: what the kernel says. All end by switching the machine off.

#define POWER 0x100000
#define POWER_OFF 0x5555

    .macro kernel name
    .globl \name
    .balign 64
\name:
    .endm

    .macro turn label                   # once more, or the end
    addi a0, a0, -1
    bnez a0, \label
    j finish
    .endm

    .text
    .globl _start
_start:
finish:
    li t0, POWER
    li t1, POWER_OFF
    sw t1, 0(t0)
    j finish

kernel arithmetic                       # 16 operations a turn
    li t1, 0x9e3779b9
1:  .rept 2
    add t2, t2, t1
    slli t3, t2, 13
    xor t2, t2, t3
    srli t3, t2, 7
    xor t2, t2, t3
    sub t4, t2, t1
    and t5, t4, t3
    mul t2, t2, t1
    .endr
    turn 1b

kernel loads                            # 8 loads a turn, round and round through [a1, a1 + a2)
    add a2, a1, a2
2:  mv t0, a1
1:  .irp n, 0,8,16,24,32,40,48,56
    ld t1, \n(t0)
    .endr
    addi t0, t0, 64
    addi a0, a0, -1
    beqz a0, finish
    bltu t0, a2, 1b
    j 2b

kernel stores                           # the same for stores
    add a2, a1, a2
2:  mv t0, a1
1:  .irp n, 0,8,16,24,32,40,48,56
    sd t0, \n(t0)
    .endr
    addi t0, t0, 64
    addi a0, a0, -1
    beqz a0, finish
    bltu t0, a2, 1b
    j 2b

kernel branches                         # 8 branches a turn, on the bits of a pseudo-random number
    li t1, 0x2545f491
1:  slli t2, t1, 13
    xor t1, t1, t2
    srli t2, t1, 7
    xor t1, t1, t2
    slli t2, t1, 17
    xor t1, t1, t2
    .irp n, 1,2,4,8,16,32,64,128
    andi t2, t1, \n
    beqz t2, 3f
    addi t3, t3, \n
3:
    .endr
    turn 1b

kernel calls                            # 4 calls a turn
1:  .rept 4
    call leaf
    .endr
    turn 1b
leaf:
    addi t1, t1, 1
    ret

kernel floating                         # 8 operations a turn
    li t0, 0x2000                       # mstatus.FS
    csrs mstatus, t0
    fcvt.d.w fa0, a0
    fcvt.d.w fa1, a0
    li t0, 3
    fcvt.d.w fa2, t0
    fdiv.d fa1, fa1, fa2
1:  fadd.d fa3, fa1, fa2
    fmul.d fa4, fa3, fa1
    fmadd.d fa5, fa4, fa2, fa1
    fsub.d fa3, fa5, fa4
    fmul.d fa6, fa3, fa2
    fadd.d fa7, fa6, fa5
    fsgnjn.d fa4, fa7, fa1
    fdiv.d fa1, fa7, fa5
    turn 1b

kernel csrs                             # 8 accesses to a CSR a turn
1:  .rept 4
    csrrw t1, mscratch, a0
    csrr t2, mscratch
    .endr
    turn 1b

kernel ecalls                           # an environment call a turn, into machine mode and back
    la t0, return_behind
    csrw mtvec, t0
1:  ecall
    turn 1b
    .balign 4
return_behind:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret

kernel words                            # a load of four bytes at a1 a turn
1:  lw t1, 0(a1)
    turn 1b

kernel pages                            # a load a turn, from a2 pages from a1 on, at another line in each
2:  mv t0, a1
    mv t1, a2
1:  ld t2, 0(t0)
    addi a0, a0, -1
    beqz a0, finish
    li t3, 4096 + 64
    add t0, t0, t3
    addi t1, t1, -1
    bnez t1, 1b
    j 2b

kernel switches                         # a1 and a2 into satp, with four loads after each; two switches a turn
    la t0, finish
1:  .irp which, a1, a2
    csrw satp, \which
    ld t1, 0(t0)
    li t2, 0x10000
    add t2, t2, t0
    ld t1, 0(t2)
    li t2, 0x20000
    add t2, t2, t0
    ld t1, 0(t2)
    li t2, 0x30000
    add t2, t2, t0
    ld t1, 0(t2)
    .endr
    turn 1b
