# A RISC-V hart as C structs: the CPU that engines run on, and the architectural state that only the front end knows.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from vm_native.arithmetic.floating cimport HostEnvironment
from vm_native.hart_state cimport HartState
from vm_native.machine cimport Cpu
from vm_native.memory.tlb cimport ADDRESS_SPACES
from vm_native.riscv.constants cimport EVENT_COUNTERS, FIRMWARE_EVENTS, GUEST_FILES, PMP_ENTRIES, TRIGGERS
from vm_native.riscv.decode_table cimport DecodeTable

cdef enum:                  # register slots
    X0 "VM_X0" = 0
    F0 "VM_F0" = 32
    SINK = 64               # where writes to x0 go
    FIRST_STATE_SLOT = 65   # of RiscvState

cdef extern from *:
    """
    /* Without size: what comes next begins with a line of the host's cache, if the struct does. */
    typedef struct {} __attribute__((aligned(64))) vm_line_of_cache;
    """
    ctypedef struct CacheLine "vm_line_of_cache":
        pass

cdef enum:
    VECTOR_REGISTERS = 32
    MAX_VLENB = 128         # bytes of a vector register, at most

cdef enum:
    FILES = 2 + GUEST_FILES     # of interrupts, in an IMSIC
    FILE_WORDS = 4
    IDENTITIES = 64 * FILE_WORDS - 1

cdef enum Privilege:
    USER = 0
    SUPERVISOR = 1
    MACHINE = 3

cdef enum:
    COUNTERS = 32           # cycle, time (none of these), instret, hpmcounter3 ...
    MODES_OF_PRIVILEGE = 4
    MODES = 2 * MODES_OF_PRIVILEGE  # those of guests behind the others

cdef enum:                  # rounding modes of an instruction, beside those of arithmetic (Rounding); 5, 6 are reserved
    DYNAMIC = 7             # what frm says

cdef enum:                  # TLB banks: one per effective data mode; all but the first are those of an address space
    BANK_M = 0
    BANK_S = 1
    BANK_S_SUM = 2
    BANK_U = 3

# The mode, the low MODE_BITS of Cpu.key: everything besides the address that decoding or translation depends on.
cdef enum:                  # bits 0 and 1 are the fetch privilege
    MODE_PRIVILEGE = 0x03   # of fetches
    MODE_VIRTUAL = 0x04     # the hart runs a guest: V = 1
    MODE_BANK = 0x18        # data bank << MODE_BANK_SHIFT
    MODE_FP_ON = 0x20       # mstatus.FS is not Off, nor in a guest vsstatus.FS
    MODE_FP_DIRTY = 0x40    # they are Dirty: nothing to do on a write of an f register
    MODE_FP_NEAREST = 0x80  # frm is round-to-nearest-even: what rounds so anyway needs no helper
    MODE_FP_ROUNDS = 0x100  # the host rounds as frm says: dynamic rounding needs no helper
    MODE_LANDING_PADS = 0x200   # a jump sets ELP, if it is one that does
    MODE_EXPECTS_LANDING = 0x400    # ELP is set: the next instruction must be lpad
    MODE_BANK_SHIFT = 3

cdef struct RiscvState:     # architectural state beyond the registers; no pointers
    # These are register slots, too, and uops name them: FIRST_STATE_SLOT and those behind it
    uint64_t mscratch
    uint64_t mepc
    uint64_t mcause
    uint64_t mtval
    uint64_t mtvec
    uint64_t sscratch
    uint64_t sepc
    uint64_t scause
    uint64_t stval
    uint64_t stvec
    uint64_t mstatus        # SD is added on reading
    # Those behind these are none
    uint64_t features       # Feature bits
    uint64_t misa
    uint8_t max_levels      # of page tables: 3 Sv39, 4 Sv48, 5 Sv57
    uint64_t hart_id
    uint8_t privilege
    uint64_t medeleg
    uint64_t mideleg
    uint64_t mie
    uint64_t mip            # the software-writable bits
    uint64_t lines          # bits driven from outside: MSIP, SEIP, MEIP by devices, MTIP and (Sstc) STIP by time
    uint64_t mcounteren
    uint64_t mcountinhibit
    uint64_t menvcfg
    uint64_t mseccfg
    uint64_t mstateen[4]
    uint64_t mhpmevent[EVENT_COUNTERS]
    uint64_t entropy        # state of the generator behind the seed register
    uint64_t scounteren
    uint64_t senvcfg
    uint64_t satp
    uint64_t stimecmp
    uint64_t mtimecmp       # the CLINT's, for this hart
    uint32_t frm
    uint32_t fflags         # flags collected so far; the host's status word may hold more
    uint8_t pmpcfg[PMP_ENTRIES]
    uint64_t pmpaddr[PMP_ENTRIES]
    uint64_t tselect
    uint64_t tdata1[TRIGGERS]     # 0: disabled
    uint64_t tdata2[TRIGGERS]
    # Hypervisor extension
    uint64_t hstatus
    uint64_t hedeleg
    uint64_t hideleg        # hvip has its bits in mip, hie its in mie
    uint64_t hcounteren
    uint64_t htimedelta
    uint64_t htval
    uint64_t htinst
    uint64_t hgatp
    uint64_t henvcfg
    uint64_t hstateen[4]
    uint64_t mtval2
    uint64_t mtinst
    # The supervisor's registers of the world that is not at hand, see worlds.pyx: the guest's, or while the hart runs
    # one, its host's
    uint64_t vsstatus
    uint64_t vstvec
    uint64_t vsscratch
    uint64_t vsepc
    uint64_t vscause
    uint64_t vstval
    uint64_t vsatp
    uint64_t vstimecmp      # the guest's always
    bint virtual            # V: the hart runs a guest
    int waiting             # one of Waiting
    bint stopped            # HSM: the hart has not been started
    bint sbi                # supervisor calls are served by the machine, not by M-mode code
    uint64_t vlenb          # bytes of a vector register; 0: there are none
    uint64_t vstart
    uint64_t vl
    uint64_t vtype
    uint64_t vcsr
    uint64_t standing_counters  # a bit for each, as in mcountinhibit: which do not count now
    uint64_t mcyclecfg
    uint64_t minstretcfg
    uint64_t ssp            # of Zicfiss
    bint expects_landing    # ELP, of Zicfilp
    # Advanced Interrupt Architecture
    uint64_t miselect
    uint64_t siselect
    uint64_t vsiselect
    uint64_t hvictl
    bint imsic              # there are interrupt files: of M-mode, S-mode, and guests, one behind the other
    int guest_files         # how many of guests (GEILEN)
    uint64_t hgeip          # which of these have an interrupt
    uint64_t hgeie
    uint64_t eidelivery[FILES]
    uint64_t eithreshold[FILES]
    uint64_t eip[FILES * FILE_WORDS]
    uint64_t eie[FILES * FILE_WORDS]
    # Counters of events
    uint64_t armed_counters     # those of which an overflow is to be told, and has not been
    uint64_t interrupts     # how many were taken
    uint64_t counters[COUNTERS]     # by number: while one stands what it shows, else that less what has happened
    uint64_t firmware_events[FIRMWARE_EVENTS]   # where the machine is the firmware: how often each was, by its code

cdef enum Waiting:          # why a hart has nothing to do until an enabled interrupt is pending
    NOT_WAITING = 0
    IN_WFI = 1
    IN_SUSPEND = 2          # HSM

cdef enum:
    REMEMBERED_FILLS = 128
    MEGAPAGE_SHIFT = 21
    GIGAPAGE_SHIFT = 30

cdef struct Trigger:        # what it is for, digested from tdata1 and tdata2
    int accesses            # a bit for each of READ, WRITE, EXECUTE; 0: it never fires
    uint64_t base           # virtual
    uint64_t last

cdef struct AddressSpace:   # what the TLB has of one value of satp, and of hgatp, see spaces.pyx
    uint64_t satp
    uint64_t guest          # hgatp, with OF_GUEST, where it is one of a guest; 0
    uint64_t entered        # when that was last, counted; 0: never
    uint64_t generation     # of its fetch translations, as in Cpu.key
    # What a flush must clear in its banks: the entries filled since the last, or all if there were more
    uint16_t fills[REMEMBERED_FILLS]
    int fill_count
    uint64_t megapages      # filter: a bit is set, as filter_bit has it, if part of such a page may be in the TLB
    uint64_t gigapages
    bint larger             # whether part of a larger one may be

cdef struct Hart:
    Cpu cpu                 # first: the engine's Cpu* is the front end's Hart*
    RiscvState* state       # in cpu.state
    const DecodeTable* decode_table
    bint counts_modes       # a trap may be something to a counter: it counts traps, or not in all modes
    HostEnvironment host_environment
    # PMP, digested from pmpcfg and pmpaddr: entry i covers [pmp_low, pmp_high)
    uint64_t pmp_low[PMP_ENTRIES]
    uint64_t pmp_high[PMP_ENTRIES]
    int pmp_count           # entries up to the last active one
    Trigger triggers[TRIGGERS]
    AddressSpace spaces[ADDRESS_SPACES]
    int space               # the one at hand
    uint64_t generations    # that have been given to one of them, or to what is common, so far
    uint64_t common_generation  # of fetches that satp has no say in: M-mode's, and S-mode's where these are global
    bint global_supervisor  # all that S-mode has fetched since the last flush is mapped in all address spaces
    uint64_t entries        # into one of them
    # Of the exception that is about to be taken, where it is a guest-page fault: htval and htinst
    uint64_t guest_physical
    uint64_t guest_instruction
    bint reaches_guest      # an instruction of the host's is at an address of its guest's
    # Digested, as `counts_modes`, from mcountinhibit, mhpmevent, mcyclecfg and minstretcfg
    uint64_t standing_in[MODES]     # by mode: which counters do not count in it
    # Architectural state, too, of as many bytes as the hart has: register follows register. Groups are aligned, so that
    # elements of one follow each other.
    CacheLine vectors_begin_a_line
    uint8_t vectors[VECTOR_REGISTERS * MAX_VLENB]

cdef inline bint expects_landing(int register) noexcept nogil:
    # Zicfilp: whether a jump to what it holds is one of a pointer: not to a link, nor guarded by software.
    return register != 1 and register != 5 and register != 7

cdef inline RiscvState* riscv_state(HartState* state) noexcept nogil:
    return <RiscvState*>(<uint64_t*>state + FIRST_STATE_SLOT)

cdef inline Hart* hart_of(Cpu* cpu) noexcept nogil:
    return <Hart*>cpu
