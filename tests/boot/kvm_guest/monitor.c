// A virtual machine monitor for one test: a guest of one hart, with no device but the console of SBI.
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#define GUEST_BASE 0x80000000UL
#define GUEST_SIZE (2UL << 20)
#define DEBUG_CONSOLE 0x4442434E
#define REGISTER (KVM_REG_RISCV | KVM_REG_SIZE_U64)

// It says hello, lets a timer interrupt it, tells the cause, and switches itself off.
extern const char guest[], guest_end[];
__asm__(
    "       .pushsection .rodata\n"
    "       .balign 8\n"
    "       .option push\n"
    "       .option norelax\n"
    "guest: la   s0, hello\n"
    "       jal  print\n"
    "       la   t0, handler\n"
    "       csrw stvec, t0\n"
    "       rdtime a0\n"
    "       li   t1, 20000\n"
    "       add  a0, a0, t1\n"
    "       li   a7, 0x54494D45\n"     // TIME, set_timer
    "       li   a6, 0\n"
    "       ecall\n"
    "       li   t0, 32\n"
    "       csrs sie, t0\n"
    "       csrsi sstatus, 2\n"
    "1:     wfi\n"
    "       j    1b\n"
    "       .balign 4\n"
    "handler:\n"
    "       csrr s1, scause\n"
    "       la   s0, interrupted\n"
    "       jal  print\n"
    "       andi a0, s1, 15\n"
    "       addi a0, a0, '0'\n"
    "       ecall\n"
    "       li   a0, '\\n'\n"
    "       ecall\n"
    "       li   a7, 0x53525354\n"     // SRST, shutdown
    "       li   a6, 0\n"
    "       li   a0, 0\n"
    "       li   a1, 0\n"
    "       ecall\n"
    "print: li   a7, 0x4442434E\n"     // DBCN, write_byte
    "       li   a6, 2\n"
    "1:     lbu  a0, (s0)\n"
    "       beqz a0, 2f\n"
    "       ecall\n"
    "       addi s0, s0, 1\n"
    "       j    1b\n"
    "2:     ret\n"
    "hello: .asciz \"hello from a guest\\n\"\n"
    "interrupted: .asciz \"interrupt \"\n"
    "guest_end:\n"
    "       .option pop\n"
    "       .popsection\n");

static int checked(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
    return result;
}

static void set_register(int vcpu, uint64_t id, uint64_t value) {
    struct kvm_one_reg reg = {.id = REGISTER | id, .addr = (uint64_t)&value};
    checked(ioctl(vcpu, KVM_SET_ONE_REG, &reg), "KVM_SET_ONE_REG");
}

int main(void) {
    int kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
    int vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
    char *memory = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(memory, guest, guest_end - guest);
    struct kvm_userspace_memory_region region = {
        .slot = 0, .guest_phys_addr = GUEST_BASE, .memory_size = GUEST_SIZE, .userspace_addr = (uint64_t)memory};
    checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
    int vcpu = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
    int size = checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
    struct kvm_run *run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
    set_register(vcpu, KVM_REG_RISCV_SBI_EXT | KVM_REG_RISCV_SBI_SINGLE | KVM_RISCV_SBI_EXT_DBCN, 1);
    set_register(vcpu, KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(regs.pc), GUEST_BASE);
    set_register(vcpu, KVM_REG_RISCV_CORE | KVM_REG_RISCV_CORE_REG(mode), 1);
    for (;;) {
        checked(ioctl(vcpu, KVM_RUN, 0), "KVM_RUN");
        if (run->exit_reason == KVM_EXIT_RISCV_SBI && run->riscv_sbi.extension_id == DEBUG_CONSOLE) {
            putchar((int)run->riscv_sbi.args[0]);
            run->riscv_sbi.ret[0] = 0;
        } else if (run->exit_reason == KVM_EXIT_SYSTEM_EVENT) {
            return 0;
        } else {
            printf("exit %u\n", run->exit_reason);
            return 1;
        }
    }
}
