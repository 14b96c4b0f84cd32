"""Numbers of the supervisor binary interface (RISC-V SBI specification 3.0) that the core and vm/firmware share."""

from enum import IntEnum

from vm_native.riscv.csrs import EVENTS


class Extension(IntEnum):
    """What a call has in a7."""

    LEGACY_SET_TIMER = 0
    LEGACY_PUTCHAR = 1
    LEGACY_GETCHAR = 2
    LEGACY_CLEAR_IPI = 3
    LEGACY_SEND_IPI = 4
    LEGACY_FENCE_I = 5
    LEGACY_SFENCE_VMA = 6
    LEGACY_SFENCE_VMA_ASID = 7
    LEGACY_SHUTDOWN = 8
    BASE = 0x10
    TIME = 0x54494D45
    IPI = 0x735049
    RFENCE = 0x52464E43
    HSM = 0x48534D
    SRST = 0x53525354
    PMU = 0x504D55
    DBCN = 0x4442434E
    FWFT = 0x46574654


# What a call has in a6, from 0 on, by the names of the specification. Legacy calls are one each, whatever a6 has.
FUNCTIONS: dict[Extension, tuple[str, ...]] = {
    Extension.LEGACY_SET_TIMER: ("set_timer",),
    Extension.LEGACY_PUTCHAR: ("console_putchar",),
    Extension.LEGACY_GETCHAR: ("console_getchar",),
    Extension.LEGACY_CLEAR_IPI: ("clear_ipi",),
    Extension.LEGACY_SEND_IPI: ("send_ipi",),
    Extension.LEGACY_FENCE_I: ("remote_fence_i",),
    Extension.LEGACY_SFENCE_VMA: ("remote_sfence_vma",),
    Extension.LEGACY_SFENCE_VMA_ASID: ("remote_sfence_vma_asid",),
    Extension.LEGACY_SHUTDOWN: ("shutdown",),
    Extension.BASE: ("get_spec_version", "get_impl_id", "get_impl_version", "probe_extension", "get_mvendorid",
                     "get_marchid", "get_mimpid"),
    Extension.TIME: ("set_timer",),
    Extension.IPI: ("send_ipi",),
    Extension.RFENCE: ("remote_fence_i", "remote_sfence_vma", "remote_sfence_vma_asid", "remote_hfence_gvma_vmid",
                       "remote_hfence_gvma", "remote_hfence_vvma_asid", "remote_hfence_vvma"),
    Extension.HSM: ("hart_start", "hart_stop", "hart_get_status", "hart_suspend"),
    Extension.SRST: ("system_reset",),
    Extension.PMU: ("num_counters", "counter_get_info", "counter_config_matching", "counter_start", "counter_stop",
                    "counter_fw_read", "counter_fw_read_hi", "snapshot_set_shmem", "event_get_info"),
    Extension.DBCN: ("console_write", "console_read", "console_write_byte"),
    Extension.FWFT: ("fwft_set", "fwft_get"),
}


class Error(IntEnum):
    """Chapter 3: what a call gives back in a0."""

    SUCCESS = 0
    FAILED = -1
    NOT_SUPPORTED = -2
    INVALID_PARAM = -3
    DENIED = -4
    INVALID_ADDRESS = -5
    ALREADY_AVAILABLE = -6
    ALREADY_STARTED = -7
    ALREADY_STOPPED = -8
    NO_SHMEM = -9
    DENIED_LOCKED = -14


class FirmwareEvent(IntEnum):
    """Chapter 11, table "PMU Firmware Events": what firmware counts."""

    MISALIGNED_LOAD = 0
    MISALIGNED_STORE = 1
    ACCESS_LOAD = 2
    ACCESS_STORE = 3
    ILLEGAL_INSN = 4
    SET_TIMER = 5
    IPI_SENT = 6
    IPI_RECEIVED = 7
    FENCE_I_SENT = 8
    FENCE_I_RECEIVED = 9
    SFENCE_VMA_SENT = 10
    SFENCE_VMA_RECEIVED = 11
    SFENCE_VMA_ASID_SENT = 12
    SFENCE_VMA_ASID_RECEIVED = 13
    HFENCE_GVMA_SENT = 14
    HFENCE_GVMA_RECEIVED = 15
    HFENCE_GVMA_VMID_SENT = 16
    HFENCE_GVMA_VMID_RECEIVED = 17
    HFENCE_VVMA_SENT = 18
    HFENCE_VVMA_RECEIVED = 19
    HFENCE_VVMA_ASID_SENT = 20
    HFENCE_VVMA_ASID_RECEIVED = 21


# Chapter 11, table "PMU Hardware Events": those that harts count, as mhpmevent calls them. A reference cycle is one:
# there are no others.
CPU_CYCLES, INSTRUCTIONS, REF_CPU_CYCLES = 1, 2, 10
HARDWARE_EVENTS = {CPU_CYCLES: EVENTS["CYCLES"], INSTRUCTIONS: EVENTS["INSTRUCTIONS"], REF_CPU_CYCLES: EVENTS["CYCLES"]}
