# Start of every benchmark program: M-mode set-up, an identity map, then main() in S-mode.
#
# RISC-V Privileged Architecture: PMP, medeleg, mcounteren, mstatus, Sv39. The map is one 1 GiB page for devices and one
# for RAM, so the programs measure a machine with paging on. A trap that a program does not expect ends the run with
# exit code 99 (emulators that report traps to their host never come to the handler). Programs about traps put their
# own address into stvec, and define machine_trap.

#define PTE_DEVICES 0x00000c7           /* V R W A D */
#define PTE_RAM     0x200000cf          /* 0x80000000 >> 2, V R W X A D */

    .section .entry, "ax"
    .globl _start
_start:
    csrr t0, mhartid
    bnez t0, park
    la t0, machine_trap
    csrw mtvec, t0
    la t0, unexpected_trap
    csrw stvec, t0

    li t0, -1                           # PMP entry 0: everything, for everyone
    csrw pmpaddr0, t0
    li t0, 0x1f                         # NAPOT, R W X
    csrw pmpcfg0, t0
    li t0, 7                            # cycle, time and instret for S-mode
    csrw mcounteren, t0
    li t0, 0xb100                       # to S-mode: calls from U-mode, page faults
    csrw medeleg, t0
    li t0, 0x20                         # and its timer interrupt
    csrw mideleg, t0

    la t0, root_table
    li t1, PTE_DEVICES
    sd t1, 0(t0)
    li t1, PTE_RAM
    sd t1, 16(t0)
    srli t0, t0, 12
    li t1, 8 << 60                      # Sv39
    or t0, t0, t1
    csrw satp, t0
    sfence.vma

    li t0, 0x7800                       # mstatus.MPP = S, mstatus.FS = initial
    csrc mstatus, t0
    li t0, 0x2800
    csrs mstatus, t0
#ifdef __riscv_vector
    li t0, 0x200                        # mstatus.VS = initial
    csrs mstatus, t0
#endif
    la t0, supervisor
    csrw mepc, t0
    mret

supervisor:
    la sp, stack_top
    call console_init
    call main
    call power_off                      # the result of main() is the exit code

park:
    wfi
    j park

    .weak machine_trap
    .balign 4
machine_trap:
unexpected_trap:
    la sp, stack_top
    li a0, 99
    j power_off

    .bss                                # RAM is zero at power-on on every machine the programs run on
    .balign 4096
root_table:
    .zero 4096
