# Privileged 3.1.9 and 12.1.3, SiFive's CLINT, PLIC 1.0: the machine timer, machine external and supervisor external
# interrupts as devices raise them. The timer is due at 0, so that no clock is asked; the UART says that it can send, as
# interrupt 1 of Spike's PLIC and 10 of ours. Interrupts are off while a device is written: Spike looks at CSR accesses.
.equ TIMER, 0x2004000
.equ UART, 0x10000000
.equ PLIC, 0xC000000

main:   li      s0, TIMER
        li      s1, -1
        li      s2, 0x80
        csrr    t1, mip
        sd      zero, 0(s0)
        csrr    t1, mip                 # read-only for software
        csrc    mip, s2
        csrr    t1, mip
        .irp    mode, 3, 1, 0           # MIE counts in M-mode only
        sd      zero, 0(s0)
        csrw    mie, s2
        csrsi   mstatus, 8
        csrci   mstatus, 8
        csrw    mie, s2
        enter   \mode
        nop
        nop
        to_machine
        sd      s1, 0(s0)
        csrr    t1, mip
        csrsi   mstatus, 8
        nop
        csrci   mstatus, 8
        .endr
        csrw    mideleg, s2             # it cannot be delegated
        csrr    t1, mideleg
        csrw    mie, zero

        la      t0, supervisor
        csrw    stvec, t0
        li      s0, PLIC
        li      t0, 1
        sw      t0, 4(s0)               # priorities
        sw      t0, 40(s0)
        li      s1, PLIC + 0x200000
        sw      zero, 0(s1)             # thresholds
        li      t0, 0x1000
        add     s1, s1, t0
        sw      zero, 0(s1)
        li      s1, PLIC + 0x2000       # enables
        li      s2, 1 << 1 | 1 << 10
        li      t0, UART
        sb      zero, 3(t0)
        sb      zero, 1(t0)
        csrr    t1, mip
        sw      s2, 0(s1)
        csrr    t1, mip
        li      t1, 2
        sb      t1, 1(t0)               # an interrupt when it can send
        csrr    t1, mip
        li      t2, 0x800
        csrc    mip, t2
        csrr    t1, mip
        .irp    mode, 3, 1, 0
        csrw    mie, t2
        csrsi   mstatus, 8
        csrci   mstatus, 8
        csrw    mie, t2
        enter   \mode
        nop
        to_machine
        .endr
        sw      zero, 0(s1)
        csrr    t1, mip

        li      t2, 0x200
        sw      s2, 0x80(s1)            # the other context
        csrr    t1, mip
        csrr    t1, sip
        csrc    mip, t2                 # what the PLIC raises, software does not clear, nor does it set the rest
        csrr    t1, mip
        csrs    mip, t2
        csrr    t1, mip
        csrc    mip, t2
        csrr    t1, mip
        .irp    delegated, 0, 0x200
        li      t0, \delegated
        csrw    mideleg, t0
        csrr    t1, sip
        .irp    mode, 3, 1, 0
        csrci   sstatus, 2
        csrw    mie, t2
        csrsi   mstatus, 8
        nop
        csrci   mstatus, 8
        csrw    mie, t2
        enter   \mode
        nop
        csrsi   sstatus, 2
        nop
        to_machine
        .endr
        .endr
        sw      zero, 0x80(s1)
        csrr    t1, mip
        end_program
        .balign 64
supervisor:
        csrr    t0, scause
        csrr    t1, sepc
        csrr    t1, sip
        bgez    t0, 1f
        li      t1, 1
        sll     t1, t1, t0
        csrc    sie, t1
        sret
1:      csrr    t1, sepc
        addi    t1, t1, 4
        csrw    sepc, t1
        sret
