# From power-on in M-mode to main() in S-mode, the trap handlers of both, and a program for U-mode.
#
# RISC-V Privileged Architecture: chapters "Machine-Level ISA", "Supervisor-Level ISA" and "Sstc".

#define MENVCFG        0x30a
#define STIMECMP       0x14d
#define MTIMECMP       0x2004000        /* CLINT, hart 0 */
#define TIMER_M        (1 << 7)         /* bit of mie and mip */
#define TIMER_S        (1 << 5)
#define ECALL_FROM_S   9
#define STATUS_SIE     (1 << 1)
#define STATUS_SPIE    (1 << 5)
#define STATUS_SPP     (1 << 8)
#define FRAME          (34 * 8)         /* struct trap_frame */

    .section .entry, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park                       # one hart does all the work

    li t0, -1                           # PMP entry 0: all memory, read, write and execute, for S and U
    csrw pmpaddr0, t0
    li t0, 0x1f
    csrw pmpcfg0, t0
    li t0, 0xb109                       # S-mode handles page faults, breakpoints, U-mode ecalls ...
    csrw medeleg, t0
    li t0, 0x222                        # ... and its own software, timer and external interrupts
    csrw mideleg, t0
    li t0, 7                            # S-mode may read cycle, time and instret
    csrw mcounteren, t0

    la t0, 1f                           # Sstc? Either CSR may be missing: the trap goes on at 1 with a2 = 0
    csrw mtvec, t0
    li a2, 0
    li t0, -1 << 63                     # STCE
    csrs MENVCFG, t0
    li t0, -1
    csrw STIMECMP, t0
    csrr a2, MENVCFG
    srli a2, a2, 63
    .balign 4
1:  la t0, machine_trap
    csrw mtvec, t0
    la t0, machine_stack_top
    csrw mscratch, t0

    li t0, 0x1800                       # mstatus.MPP = S, interrupts on in S-mode only later
    csrc mstatus, t0
    li t0, 0x0800
    csrs mstatus, t0
    la t0, main
    csrw mepc, t0
    la sp, stack_top
    csrr a0, mhartid
    csrr a1, misa                       # main(hart, misa, sstc)
    mret

park:
    wfi
    j park

# Without Sstc only M-mode gets timer interrupts. S-mode asks by ecall (deadline in a0); M-mode passes them down.
    .balign 4
machine_trap:
    csrrw sp, mscratch, sp
    addi sp, sp, -16
    sd t0, 0(sp)
    sd t1, 8(sp)
    csrr t0, mcause
    bltz t0, machine_timer
    li t1, ECALL_FROM_S
    bne t0, t1, machine_failure
    li t0, MTIMECMP
    sd a0, 0(t0)
    li t0, TIMER_S
    csrc mip, t0
    li t0, TIMER_M
    csrs mie, t0
    csrr t0, mepc
    addi t0, t0, 4
    csrw mepc, t0
    j machine_return
machine_timer:
    li t0, TIMER_M
    csrc mie, t0
    li t0, TIMER_S
    csrs mip, t0
machine_return:
    ld t0, 0(sp)
    ld t1, 8(sp)
    addi sp, sp, 16
    csrrw sp, mscratch, sp
    mret
machine_failure:
    csrr a0, mcause
    csrr a1, mepc
    csrr a2, mtval
    j fatal_trap

# sscratch is zero while S-mode runs, and S-mode's stack pointer while U-mode runs.
    .balign 4
    .globl supervisor_trap
supervisor_trap:
    csrrw sp, sscratch, sp
    bnez sp, 1f
    csrr sp, sscratch
1:  addi sp, sp, -FRAME
    sd x1, 8(sp)
    .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    sd x\n, \n * 8(sp)
    .endr
    csrrw t0, sscratch, zero            # the interrupted stack pointer
    sd t0, 16(sp)
    csrr t0, sepc
    sd t0, 0(sp)
    csrr t0, sstatus
    sd t0, 256(sp)
    mv a0, sp
    call trap
    ld t0, 256(sp)
    csrw sstatus, t0
    andi t0, t0, STATUS_SPP
    bnez t0, 2f
    addi t0, sp, FRAME                  # back to U-mode
    csrw sscratch, t0
2:  ld t0, 0(sp)
    csrw sepc, t0
    ld x1, 8(sp)
    .irp n, 3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ld x\n, \n * 8(sp)
    .endr
    ld sp, 16(sp)
    sret

# uint64_t run_user(pc, sp): the trap handler comes back through user_return, on the stack left here, with the result.
    .globl run_user, user_return
run_user:
    csrci sstatus, STATUS_SIE           # no interrupt between here and sret: sscratch and sepc are in use
    addi sp, sp, -112
    sd ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    sd s\n, 8 + \n * 8(sp)
    .endr
    csrw sscratch, sp
    csrw sepc, a0
    li t0, STATUS_SPP
    csrc sstatus, t0
    li t0, STATUS_SPIE
    csrs sstatus, t0
    mv sp, a1
    sret
user_return:
    ld ra, 0(sp)
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11
    ld s\n, 8 + \n * 8(sp)
    .endr
    addi sp, sp, 112
    ret

# Runs in U-mode at another address: prints, tries to read S-mode's memory (a fault), returns 1 + 2 + ... + 100.
    .section .user, "ax"
    .balign 4
    .globl user_program
user_program:
    addi sp, sp, -16
    la a0, greeting
    li a1, greeting_end - greeting
    li a7, 1                            # USER_PRINT
    ecall
    li t0, 1 << 31
    .option push
    .option norvc                       # the handler skips four bytes
    lw t1, 0(t0)
    .option pop
    li t0, 100
    sd zero, 0(sp)
1:  ld t1, 0(sp)
    add t1, t1, t0
    sd t1, 0(sp)
    addi t0, t0, -1
    bnez t0, 1b
    ld a0, 0(sp)
    li a7, 2                            # USER_EXIT
    ecall
greeting:
    .ascii "Hello from U-mode, by way of ecall.\n"
greeting_end:
