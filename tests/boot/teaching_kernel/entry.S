# Where harts begin, in M-mode, and the trap vectors of both modes. tp is the hart's number, always.

#define STACK_SHIFT    13               /* 8 KiB for each hart */
#define FINISHER       0x100000
#define SSIP           2

    .section .entry, "ax"
    .globl _start
_start:
    csrr tp, mhartid
    la sp, stacks
    addi t0, tp, 1
    slli t0, t0, STACK_SHIFT
    add sp, sp, t0
    call machine_start                  # (hart, device tree), as they were handed over; then on in S-mode

# The timer, passed on to S-mode as a software interrupt. mscratch points to struct timer.
    .balign 4
    .globl machine_vector
machine_vector:
    csrrw a0, mscratch, a0
    sd a1, 0(a0)
    sd a2, 8(a0)
    sd a3, 16(a0)
    csrr a1, mcause
    bgez a1, machine_failed
    ld a1, 24(a0)                       # mtimecmp
    ld a2, 32(a0)                       # interval
    ld a3, 0(a1)
    add a3, a3, a2
    sd a3, 0(a1)
    li a1, SSIP
    csrs sip, a1
    ld a1, 0(a0)
    ld a2, 8(a0)
    ld a3, 16(a0)
    csrrw a0, mscratch, a0
    mret
machine_failed:                         # the exit code says which exception
    slli a1, a1, 16
    li a2, 0x3333
    or a1, a1, a2
    li a2, FINISHER
    sw a1, 0(a2)
1:  j 1b

# Interrupts, and the faults of probe_load. What a C function may change is kept on the stack at hand.
    .balign 4
    .globl supervisor_vector
supervisor_vector:
    addi sp, sp, -128
    sd ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6
    sd t\n, 8 + \n * 8(sp)
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    sd a\n, 64 + \n * 8(sp)
    .endr
    call trap
    ld ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6
    ld t\n, 8 + \n * 8(sp)
    .endr
    .irp n, 0,1,2,3,4,5,6,7
    ld a\n, 64 + \n * 8(sp)
    .endr
    addi sp, sp, 128
    sret

# struct probed probe_load(address): a word and 0, or 0 and the cause of the fault. Interrupts are off.
    .globl probe_load, probe_failed
    .balign 4
    .option push
    .option norvc
probe_load:
    lw a0, 0(a0)
    li a1, 0
    ret
probe_failed:
    csrr a1, scause
    li a0, 0
    ret
    .option pop
