# Kernels of a few instructions, each to cost one thing. vm.bench.kernels sets pc, the privilege mode and the arguments.
#
# a0: turns. a1, a2: what the kernel says. All end by switching the machine off. They use the registers that compilers
# like best.

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
    li s0, POWER
    li a3, POWER_OFF
    sw a3, 0(s0)
    j finish

kernel arithmetic                       # 16 operations a turn
    li a3, 0x9e3779b9
1:  .rept 2
    add a4, a4, a3
    slli a5, a4, 13
    xor a4, a4, a5
    srli a5, a4, 7
    xor a4, a4, a5
    sub a6, a4, a3
    and a7, a6, a5
    mul a4, a4, a3
    .endr
    turn 1b

kernel loads                            # 8 loads a turn, round and round through [a1, a1 + a2)
    add a2, a1, a2
2:  mv s0, a1
1:  .irp n, 0,8,16,24,32,40,48,56
    ld a3, \n(s0)
    .endr
    addi s0, s0, 64
    addi a0, a0, -1
    beqz a0, finish
    bltu s0, a2, 1b
    j 2b

kernel stores                           # the same for stores
    add a2, a1, a2
2:  mv s0, a1
1:  .irp n, 0,8,16,24,32,40,48,56
    sd s0, \n(s0)
    .endr
    addi s0, s0, 64
    addi a0, a0, -1
    beqz a0, finish
    bltu s0, a2, 1b
    j 2b

kernel branches                         # 8 branches a turn, on the bits of a pseudo-random number
    li a3, 0x2545f491
1:  slli a4, a3, 13
    xor a3, a3, a4
    srli a4, a3, 7
    xor a3, a3, a4
    slli a4, a3, 17
    xor a3, a3, a4
    .irp n, 1,2,4,8,16,32,64,128
    andi a4, a3, \n
    beqz a4, 3f
    addi a5, a5, \n
3:
    .endr
    turn 1b

kernel calls                            # 4 calls a turn
1:  .rept 4
    call leaf
    .endr
    turn 1b
leaf:
    addi a3, a3, 1
    ret

kernel floating                         # 8 operations a turn
    li s0, 0x2000                       # mstatus.FS
    csrs mstatus, s0
    fcvt.d.w fa0, a0
    fcvt.d.w fa1, a0
    li s0, 3
    fcvt.d.w fa2, s0
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
    csrrw a3, mscratch, a0
    csrr a4, mscratch
    .endr
    turn 1b

kernel ecalls                           # an environment call a turn, into machine mode and back
    la s0, return_behind
    csrw mtvec, s0
1:  ecall
    turn 1b
    .balign 4
return_behind:
    csrr a3, mepc
    addi a3, a3, 4
    csrw mepc, a3
    mret

kernel words                            # a load of four bytes at a1 a turn
1:  lw a3, 0(a1)
    turn 1b

kernel pages                            # a load a turn, from a2 pages from a1 on, at another line in each
2:  mv s0, a1
    mv a3, a2
1:  ld a4, 0(s0)
    addi a0, a0, -1
    beqz a0, finish
    li a5, 4096 + 64
    add s0, s0, a5
    addi a3, a3, -1
    bnez a3, 1b
    j 2b

kernel switches                         # a1 and a2 into satp, with four loads after each; two switches a turn
    la s0, finish
1:  .irp which, a1, a2
    csrw satp, \which
    ld a3, 0(s0)
    li a4, 0x10000
    add a4, a4, s0
    ld a3, 0(a4)
    li a4, 0x20000
    add a4, a4, s0
    ld a3, 0(a4)
    li a4, 0x30000
    add a4, a4, s0
    ld a3, 0(a4)
    .endr
    turn 1b
