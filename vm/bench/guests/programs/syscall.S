# Ways into and out of the supervisor, and what a process runs. struct process of syscall.c: x[32], pc, satp.
# sscratch holds the process that runs, and zero is in its x[0] for good.

#define PC 256
#define SATP 264

    .text
    .globl trap_entry
    .balign 4
trap_entry:
    csrrw x31, sscratch, x31
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30
    sd x\n, 8 * \n(x31)
    .endr
    csrr t0, sscratch
    sd t0, 8 * 31(x31)
    csrr t0, sepc
    sd t0, PC(x31)
    ld sp, own_stack
    mv a0, x31
    call on_trap
    beqz a0, leave

resume:                                 # the process in a0
    ld t0, PC(a0)
    csrw sepc, t0
    ld t0, SATP(a0)
    csrw satp, t0
    csrw sscratch, a0
    mv x31, a0
    .irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, 8 * \n(x31)
    .endr
    sret

    .globl run_from
run_from:
    addi sp, sp, -256
    sd ra, 0(sp)
    .irp n, 8,9,18,19,20,21,22,23,24,25,26,27
    sd x\n, 8 * \n(sp)
    .endr
    csrr t0, satp
    sd t0, 8(sp)
    la t0, own_stack
    sd sp, 0(t0)
    j resume

leave:
    ld t0, 8(sp)
    csrw satp, t0
    sfence.vma
    ld ra, 0(sp)
    .irp n, 8,9,18,19,20,21,22,23,24,25,26,27
    ld x\n, 8 * \n(sp)
    .endr
    addi sp, sp, 256
    ret

# A process. s0: calls to go (given), s1: the sum, s2: its pages.
    .balign 4096
    .globl user_program
user_program:
    li s2, 0x40200000
1:  mv a0, s1
    li a7, 0                            # NUMBER
    ecall
    srli t0, s1, 7
    slli t1, a0, 3
    add s1, t0, t1
    xor s1, s1, a0
    andi t0, s0, 7
    slli t0, t0, 12
    add t0, t0, s2
    sd s1, 0(t0)
    andi t0, s0, 15
    bnez t0, 2f
    srli a0, s0, 4
    li a7, 1                            # GIVE_WAY, without page a0
    ecall
2:  addi s0, s0, -1
    bnez s0, 1b
    mv a0, s1
    li a7, 2                            # LEAVE
    ecall
    .balign 4096

    .bss
    .balign 8
own_stack:
    .zero 8
