"""The hart as Python sees it: registers by slot, CSRs by number, starting and stopping."""
import functools

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memset
from posix.stdlib cimport posix_memalign
from vm_native.arithmetic.float_rules cimport NAN32, NAN64
from vm_native.arithmetic.floating cimport collect_flags, restore_environment, save_environment
from vm_native.blocks cimport free_block, new_block
from vm_native.checks cimport static_assert
from vm_native.clock cimport NEVER
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.hart_state cimport FRONT_END_WORDS, REGISTER_SLOTS, HartState
from vm_native.ir.block cimport Block
from vm_native.jump_cache cimport ENTERED_PAGES, JUMP_CACHE_ENTRIES, EnteredPage, JumpCacheEntry
from vm_native.machine cimport (
    CONTINUE, REMEMBERED_ENTRIES, RETRY, Cpu, FrontEnd, StopCode, consumed_steps, depart, drop_reservation, interrupt,
    set_timer, visit,
)
from vm_native.memory.tlb cimport EXECUTE, READ, TLB_BANKS, BANK_ENTRIES, WRITE, TlbEntry, prepare_bank
from vm_native.memory.zeroed cimport map_zeroed, unmap_zeroed
from vm_native.riscv cimport privilege
from vm_native.riscv.aia cimport receive
from vm_native.riscv.constants cimport (
    BREAKPOINT, CSR_HGATP, CSR_SATP, CSR_VSATP, ECALL_FROM_U, FETCH_ACCESS, FIRMWARE_EVENTS, GUEST_FILES, IRQ_MEI,
    IRQ_MSI, IRQ_SEI, LOAD_ACCESS, LOAD_MISALIGNED, MSTATUS_SIE, SATP_MODE, SATP_MODE_BARE, STORE_ACCESS,
    STORE_MISALIGNED, TRIGGERS, VTYPE_VILL,
)
from vm_native.riscv.counters cimport counters_changed, update_counters
from vm_native.riscv.csr cimport csr_read, csr_write, reset_csrs
from vm_native.riscv.decode cimport Decoder, decode_block
from vm_native.riscv.helpers cimport helpers
from vm_native.riscv.interrupts cimport MACHINE_FILE, SUPERVISOR_FILE
from vm_native.riscv.mmu cimport WINDOW_START, look_up, open_unpaged_window, translate_address
from vm_native.riscv.pmp cimport digest_pmp
from vm_native.riscv.spaces cimport enter_space, flush_everything, flush_range, flush_translations, levels_of
from vm_native.riscv.state cimport (
    COUNTERS, FIRST_STATE_SLOT, MODE_PRIVILEGE, F0, IN_SUSPEND, IN_WFI, MACHINE, NOT_WAITING, SINK, SUPERVISOR,
    VECTOR_REGISTERS, X0, Hart, RiscvState, hart_of, riscv_state, MODE_VIRTUAL,
)
from vm_native.riscv.triggers cimport digest_triggers, has_trigger, trigger_fires
from vm_native.riscv.vector.describe cimport describe_vector
from vm_native.riscv.vector.settings cimport is_legal_type
from vm_native.riscv.worlds cimport exchange_worlds, has_guests

from vm_native.riscv.csrs import FEATURES
from vm_native.riscv.helpers import HELPERS

cdef enum:
    CACHE_LINE = 64

# Of the bytes that `NativeHart.save` gives: a change of HartState or RiscvState needs another number.
SCRATCH_SLOTS = (SINK, FIRST_STATE_SLOT)        # the words of a state from the one up to the other
STATE_LAYOUT = (7, sizeof(HartState), sizeof(RiscvState))

STATES = {NOT_WAITING: "started", IN_WFI: "waiting", IN_SUSPEND: "suspended"}
ACCESSES = {"read": READ, "write": WRITE, "execute": EXECUTE}


cdef int translate_block(Cpu* cpu, Block* block, int limit) noexcept nogil:
    return decode_block(cpu, hart_of(cpu).decode_table, block, limit)


cdef void enter(Cpu* cpu) noexcept nogil:
    save_environment(&hart_of(cpu).host_environment, hart_of(cpu).state.frm)


cdef void leave(Cpu* cpu) noexcept nogil:
    hart_of(cpu).state.fflags |= collect_flags()
    restore_environment(&hart_of(cpu).host_environment)


cdef FrontEnd front_end
front_end.translate_address = translate_address
front_end.translate_block = translate_block
front_end.take_trap = privilege.take_trap
front_end.attend = privilege.attend
front_end.set_interrupts = privilege.set_interrupts
front_end.set_timer = privilege.set_timer
front_end.fence = flush_range
front_end.poll = privilege.poll
front_end.runnable = privilege.runnable
front_end.deadline_ns = privilege.deadline_ns
front_end.has_trigger = has_trigger
front_end.trigger_fires = trigger_fires
front_end.enter = enter
front_end.leave = leave
front_end.access_fault[READ] = LOAD_ACCESS
front_end.access_fault[WRITE] = STORE_ACCESS
front_end.access_fault[EXECUTE] = FETCH_ACCESS
front_end.misaligned[READ] = LOAD_MISALIGNED
front_end.misaligned[WRITE] = STORE_MISALIGNED
front_end.helpers = helpers
front_end.sink = SINK
front_end.zero = X0
# Compilers take a5 to a0, then s0, sp and so on; fa5 to fa0, then ft0 on.
for _place, _slot in enumerate((15, 14, 10, 13, 11, 12, 8, 2, 16, 1, 9, 17, 18, 19, 5, 6)):
    front_end.hot_slots[_place] = _slot
for _place, _slot in enumerate((15, 14, 13, 12, 11, 10, 0, 1, 2, 3, 4, 5, 16, 17, 8, 9)):
    front_end.hot_floats[_place] = F0 + _slot
front_end.first_float = F0
front_end.float_count = 32
front_end.nan_single = NAN32
front_end.nan_double = NAN64
front_end.data_bank = privilege.data_bank_of
front_end.window_start = WINDOW_START
front_end.open_window = open_unpaged_window
front_end.uses_float = privilege.uses_float
front_end.jump_helper = HELPERS["checked_jump"]
front_end.illegal_helper = HELPERS["illegal"]
front_end.zeroing_helper = HELPERS["cbo_zero"]
front_end.vector_helper = HELPERS["vector"]
front_end.describe_vector = describe_vector
front_end.privilege_bits = MODE_PRIVILEGE | MODE_VIRTUAL
front_end.call_causes = 1 << BREAKPOINT | 0b1111 << ECALL_FROM_U
front_end.address_space = privilege.address_space


cdef struct Tables:         # of a hart; the host gives them a page at a time, as they are written
    TlbEntry banks[TLB_BANKS * BANK_ENTRIES]     # first: no entry, of 32 bytes, lies in two cache lines
    JumpCacheEntry jump_cache[JUMP_CACHE_ENTRIES]
    EnteredPage entered_pages[ENTERED_PAGES]


@functools.cache
def decoder_for(extensions):
    """Harts with the same extensions share a decoder, which never changes: to build one takes milliseconds."""
    return Decoder(extensions, HELPERS)


cdef class NativeHart:
    """A hart of a machine. It owns its C struct, keeps the machine alive and is kept alive by it.

    `isa` is an `Isa` of vm_native.riscv.isa. The hart is in its reset state: M-mode, pc 0, and the CSR as `mtvec` says.
    """

    def __cinit__(self, NativeMachine machine not None, int hart_id, isa, uint64_t seed=0, uint64_t mtvec=0,
                  bint imsic=False, int guest_files=0):
        self.mtvec = mtvec
        self.imsic = imsic
        if not 0 <= guest_files <= GUEST_FILES:
            raise ValueError(f"a hart has no {guest_files} interrupt files of guests")
        self.guest_files = guest_files
        self.machine = machine
        self.isa = isa
        self.decoder = decoder_for(isa.extensions)
        cdef void* room
        cdef Tables* tables = <Tables*>map_zeroed(sizeof(Tables))
        static_assert(sizeof(RiscvState) <= (REGISTER_SLOTS - FIRST_STATE_SLOT + FRONT_END_WORDS) * sizeof(uint64_t))
        static_assert(sizeof(HartState) % CACHE_LINE == 0)
        # The hart itself is written all over at once: in general the process has memory for that, and maps none.
        if tables == NULL or posix_memalign(&room, CACHE_LINE, sizeof(Hart)) != 0:
            unmap_zeroed(tables, sizeof(Tables))
            raise MemoryError("no room for a hart")
        memset(room, 0, sizeof(Hart))
        self.hart = <Hart*>room
        self.hart.state = riscv_state(&self.hart.cpu.state)
        self.hart.decode_table = &self.decoder.table
        self.hart.state.hart_id = hart_id
        self.hart.state.entropy = seed + (<uint64_t>hart_id << 56)
        self.hart.cpu.state.origin_step = NEVER       # no trap yet
        self.hart.cpu.front_end = &front_end
        self.hart.cpu.has_vectors = isa.vlen > 0
        self.hart.cpu.banks = tables.banks
        prepare_bank(tables.banks)          # M-mode's; the others when they are entered
        self.hart.cpu.jump_cache.entries = tables.jump_cache
        self.hart.cpu.jump_cache.pages = tables.entered_pages
        self.hart.cpu.scratch = new_block()
        if self.hart.cpu.scratch == NULL:
            raise MemoryError("no room for a hart's block")
        self.hart.cpu.page_entry_fills = REMEMBERED_ENTRIES     # the first flush makes all of them invalid
        self.reset()
        machine.add(&self.hart.cpu, self)

    def __dealloc__(self):
        if self.hart != NULL:
            if self.hart.cpu.scratch != NULL:
                free_block(self.hart.cpu.scratch)
            unmap_zeroed(<Tables*>self.hart.cpu.banks, sizeof(Tables))      # the first of its members
            free(self.hart)

    def reset(self):
        """Back to the reset state; steps go on counting."""
        cdef RiscvState* state = self.hart.state
        cdef uint64_t hart_id = state.hart_id, entropy = state.entropy
        for i in range(len(self.hart.cpu.state.regs)):
            self.hart.cpu.state.regs[i] = 0
        self.hart.cpu.state.pc = 0
        drop_reservation(&self.hart.cpu)
        memset(state, 0, sizeof(RiscvState))
        state.hart_id, state.entropy = hart_id, entropy
        memset(self.hart.vectors, 0, sizeof(self.hart.vectors))
        state.vlenb = self.isa.vlen // 8
        state.vtype = VTYPE_VILL if state.vlenb else 0
        state.misa = self.isa.misa
        state.imsic = self.imsic
        state.guest_files = self.guest_files
        state.max_levels = self.isa.levels
        for bit, name in enumerate(FEATURES):
            if name in self.isa.extensions:
                state.features |= <uint64_t>1 << <int>bit
        state.privilege = MACHINE
        state.mtimecmp = NEVER                  # a CLINT has another reset value
        reset_csrs(self.hart)
        state.mtvec = self.mtvec
        self.refresh()

    # --- State -------------------------------------------------------------------------------------------------------

    def save(self):
        """The architectural state, bytes: equal for harts that a guest cannot tell apart. Between slices only."""
        return (<char*>&self.hart.cpu.state)[:sizeof(HartState)] + (<char*>self.hart.vectors)[:self.vector_bytes()]

    cdef Py_ssize_t vector_bytes(self):
        return VECTOR_REGISTERS * self.hart.state.vlenb

    def load(self, bytes state not None):
        """Become what `save` of a hart with the same ISA and number gave. Raises ValueError for what cannot be that."""
        self.refuse_unfit(state)
        memcpy(&self.hart.cpu.state, <const char*>state, sizeof(HartState))
        memcpy(self.hart.vectors, <const char*>state + sizeof(HartState), self.vector_bytes())
        self.refresh()

    def refuse_unfit(self, bytes state not None):
        """Raise ValueError for what is no state of this hart."""
        cdef HartState new
        cdef RiscvState* now = self.hart.state
        cdef RiscvState* then = riscv_state(&new)
        self.refuse_length(state)
        memcpy(&new, <const char*>state, sizeof(HartState))
        if (then.features, then.misa, then.max_levels, then.vlenb) != (
            now.features, now.misa, now.max_levels, now.vlenb
        ):
            raise ValueError("that is the state of a hart with another ISA")
        if (then.imsic, then.guest_files) != (now.imsic, now.guest_files):
            raise ValueError("that is the state of a hart with another interrupt controller")
        if not is_legal_type(now, then):
            raise ValueError(f"vl {then.vl} and vtype {then.vtype:#x} are no hart's")
        if then.hart_id != now.hart_id:
            raise ValueError(f"that is the state of hart {then.hart_id}, not {now.hart_id}")
        for name, value in (("satp", then.satp), ("vsatp", then.vsatp), ("hgatp", then.hgatp)):
            if value & SATP_MODE and not 3 <= levels_of(value) <= then.max_levels:
                raise ValueError(f"{name} {value:#x} has a mode that this hart has not")
        if then.privilege not in (0, 1, 3) or new.regs[X0]:
            raise ValueError(f"privilege {then.privilege} and x0 {new.regs[X0]} are no hart's")
        if then.virtual not in (0, has_guests(self.hart) and then.privilege != MACHINE):
            raise ValueError(f"a hart with privilege {then.privilege} has no guest {then.virtual}")
        if (then.standing_counters | then.armed_counters) >> COUNTERS or then.standing_counters & then.armed_counters:
            raise ValueError(f"no hart has counters of which {then.standing_counters:#x} stand and "
                             f"{then.armed_counters:#x} may overflow")
        if then.tselect >= TRIGGERS:
            raise ValueError(f"tselect {then.tselect} selects no trigger that this hart has")

    def refuse_length(self, bytes state not None):
        cdef Py_ssize_t length = sizeof(HartState) + self.vector_bytes()
        if len(state) != length:
            raise ValueError(f"the state of a hart has {length} bytes, not {len(state)}")

    def renew_entropy(self, uint64_t seed):
        """Begin the generator behind the CSR `seed` anew, as a hart of a machine with this seed does."""
        self.hart.state.entropy = seed + (self.hart.state.hart_id << 56)

    def forget_memory(self):
        """Look at page tables and pages anew: the TLB, and what is made of it, is empty."""
        flush_everything(self.hart)

    def differences(self, bytes state not None):
        """What of the state differs from one that `save` gave, a list of lines. Raises ValueError for none such."""
        cdef HartState other
        self.refuse_length(state)
        memcpy(&other, <const char*>state, sizeof(HartState))
        ours, theirs = described(&self.hart.cpu.state), described(&other)
        for number in range(VECTOR_REGISTERS if self.hart.state.vlenb else 0):
            ours[f"v{number}"] = self.read_v(number).hex()
            place = sizeof(HartState) + number * self.hart.state.vlenb
            theirs[f"v{number}"] = state[place:place + self.hart.state.vlenb].hex()
        return [f"hart {self.id}: {name} {shown(ours[name])}, in the snapshot {shown(theirs[name])}"
                for name in ours if ours[name] != theirs[name]]

    cdef void refresh(self):
        """Make anew all that follows from the state."""
        digest_pmp(self.hart)
        digest_triggers(self.hart)
        counters_changed(self.hart)
        flush_everything(self.hart)
        enter_space(self.hart)
        privilege.update_mode(self.hart)
        self.hart.cpu.attention = True

    # --- Registers ---------------------------------------------------------------------------------------------------

    @property
    def id(self):
        """mhartid."""
        return self.hart.state.hart_id

    @property
    def pc(self):
        """Virtual address of the next instruction. Writable, which ends a wfi; an odd address raises ValueError."""
        return self.hart.cpu.state.pc

    @pc.setter
    def pc(self, uint64_t value):
        if value & (1 if "Zca" in self.isa.extensions else 3):
            raise ValueError(f"pc {value:#x} is not aligned to an instruction")
        if self.hart.state.expects_landing and value != self.hart.cpu.state.pc:
            self.hart.state.expects_landing = False     # of where its own jump led
            privilege.update_mode(self.hart)
        self.hart.cpu.state.pc = value
        self.hart.state.waiting = NOT_WAITING   # wfi may end at any time

    def read_x(self, int number):
        """An integer register, 64 bits unsigned."""
        return self.hart.cpu.state.regs[checked(number)]

    def write_x(self, int number, uint64_t value):
        """Set an integer register; x0 stays 0."""
        if checked(number):
            self.hart.cpu.state.regs[number] = value
            self.hart.cpu.attention = True  # compiled code may know what a callback has changed to be 32 bits, extended

    def read_f(self, int number):
        """The raw image of a floating-point register; a single is NaN-boxed."""
        return self.hart.cpu.state.regs[F0 + checked(number)]

    def write_f(self, int number, uint64_t value):
        """Set the raw image of a floating-point register."""
        self.hart.cpu.state.regs[F0 + checked(number)] = value
        self.hart.cpu.attention = True      # compiled code may know what a callback has changed to be a boxed single

    def read_v(self, int number):
        """A vector register, bytes; none on a hart without vectors."""
        return (<char*>self.vector_register(number))[:self.hart.state.vlenb]

    def write_v(self, int number, bytes value not None):
        """Set a vector register. Raises ValueError for another number of bytes than it has."""
        if len(value) != self.hart.state.vlenb:
            raise ValueError(f"a vector register has {self.hart.state.vlenb} bytes, not {len(value)}")
        memcpy(self.vector_register(number), <const char*>value, len(value))

    cdef uint8_t* vector_register(self, int number) except NULL:
        return &self.hart.vectors[checked(number) * self.hart.state.vlenb]

    def read_csr(self, int number):
        """A CSR by number, whatever the privilege; None where this hart has none of that number."""
        cdef uint64_t value = 0
        cdef bint in_guest = self.hart.state.virtual
        enter(&self.hart.cpu)
        if in_guest:
            exchange_worlds(self.hart)      # names are those of the host
        cdef bint there = csr_read(self.hart, number, &value)
        if in_guest:
            exchange_worlds(self.hart)
        leave(&self.hart.cpu)
        return value if there else None

    def write_csr(self, int number, uint64_t value):
        """Set a CSR by number, by its WARL rules, whatever the privilege; False where none is or it is read-only."""
        if number >> 10 == 3:
            return False
        cdef bint in_guest = self.hart.state.virtual
        enter(&self.hart.cpu)
        if in_guest:
            exchange_worlds(self.hart)
        cdef bint there = csr_write(self.hart, number, value)
        if in_guest:
            exchange_worlds(self.hart)
            update_counters(self.hart, 0)
            privilege.update_mode(self.hart)
        leave(&self.hart.cpu)
        # Whoever gives a hart page tables from outside executes no fence.
        if number in (CSR_SATP, CSR_VSATP, CSR_HGATP):
            flush_translations(self.hart)
        self.hart.cpu.attention = True      # a callback's write ends the block, which was translated for another mode
        return there

    @property
    def privilege(self):
        """0 user, 1 supervisor, 3 machine; of a guest 4 and 5. Writable."""
        return self.hart.state.privilege | (MODE_VIRTUAL if self.hart.state.virtual else 0)

    @privilege.setter
    def privilege(self, int value):
        cdef bint of_guest = has_guests(self.hart) and value in (4, 5)
        if value not in (0, 1, 3) and not of_guest:
            known = ", 4 (VU), 5 (VS)" if has_guests(self.hart) else ""
            raise ValueError(f"privilege {value} is none of 0 (U), 1 (S), 3 (M){known}")
        if of_guest != self.hart.state.virtual:
            exchange_worlds(self.hart)
        self.hart.state.privilege = value & MODE_PRIVILEGE
        self.hart.cpu.attention = True
        update_counters(self.hart, 0)
        privilege.update_mode(self.hart)

    @property
    def steps(self):
        """Retired instructions and instructions that trapped, since the machine was built."""
        return consumed_steps(&self.hart.cpu)

    def translate(self, uint64_t address, str access):
        """Physical address behind a virtual one as the hart would see it now, or None; nothing changes.

        Raises what fetching a page of its tables raises.
        """
        cdef uint64_t physical
        cdef StopCode stop = self.hart.cpu.stop
        cdef int status = look_up(self.hart, address, ACCESSES[access], &physical)
        if status == RETRY:
            self.hart.cpu.stop = stop
            error, self.machine.bus.pending_exception = self.machine.bus.pending_exception, None
            raise error
        if status != CONTINUE:
            return None
        return physical

    # --- Lines and timers --------------------------------------------------------------------------------------------

    def set_interrupt(self, int bit, bint level):
        """Drive an interrupt line, by its bit in mip: MSIP, SEIP or MEIP."""
        if bit not in (IRQ_MSI, IRQ_SEI, IRQ_MEI):
            raise ValueError(f"interrupt {bit} is not a line from outside")
        interrupt(&self.machine.machine, self.hart.cpu.number, <uint64_t>1 << bit, level)

    def receive_message(self, int interrupt_number, uint64_t identity, uint8_t guest=0, /):
        """An IMSIC's: make an identity pending for one of the external interrupts, or for a guest by its number; none
        such is ignored.
        """
        cdef int file = MACHINE_FILE if interrupt_number == IRQ_MEI else SUPERVISOR_FILE + guest
        cdef uint64_t lines
        lines = receive(hart_of(visit(&self.machine.machine, self.hart.cpu.number)), file, identity)
        depart(&self.machine.machine, self.hart.cpu.number)
        if lines:
            interrupt(&self.machine.machine, self.hart.cpu.number, lines, True)

    @property
    def mtimecmp(self):
        """Timebase ticks at which MTIP rises."""
        return self.hart.state.mtimecmp

    @mtimecmp.setter
    def mtimecmp(self, uint64_t value):
        set_timer(&self.machine.machine, self.hart.cpu.number, value)

    # --- Supervisor binary interface ---------------------------------------------------------------------------------

    @property
    def sbi(self):
        """Whether supervisor calls are served by the machine, and traps into M-mode stop it. Writable."""
        return self.hart.state.sbi

    @sbi.setter
    def sbi(self, bint value):
        self.hart.state.sbi = value

    def firmware_event(self, int code):
        """How often something happened that firmware counts, by its code in the SBI."""
        if not 0 <= code < FIRMWARE_EVENTS:
            raise IndexError(f"there is no firmware event {code}")
        return self.hart.state.firmware_events[code]

    @property
    def state(self):
        """'started', 'stopped', 'waiting' (for an interrupt, in wfi) or 'suspended' (the same, as it asked of SBI)."""
        return "stopped" if self.hart.state.stopped else STATES[self.hart.state.waiting]

    def start(self, uint64_t address, uint64_t opaque):
        """Hart state management: begin in S-mode at a physical address, a0 = hart id, a1 = opaque, translation off."""
        self.hart.state.stopped = False
        self.hart.state.waiting = NOT_WAITING
        self.hart.state.expects_landing = False
        self.hart.state.privilege = SUPERVISOR
        if self.hart.state.virtual:
            exchange_worlds(self.hart)
        write_reset_supervisor(self.hart)
        self.hart.cpu.state.pc = address
        self.hart.cpu.state.regs[10] = self.hart.state.hart_id
        self.hart.cpu.state.regs[11] = opaque
        flush_everything(self.hart)
        enter_space(self.hart)
        update_counters(self.hart, 0)
        privilege.update_mode(self.hart)

    def stop(self):
        """Hart state management: run nothing until `start`."""
        self.hart.state.stopped = True
        self.machine.reschedule()

    def suspend(self):
        """Hart state management: wait for an interrupt, like wfi."""
        self.hart.state.waiting = IN_SUSPEND
        self.machine.reschedule()

    # --- After a stop ------------------------------------------------------------------------------------------------

    @property
    def trap(self):
        """(cause, value) of the last exception."""
        return self.hart.cpu.trap_cause, self.hart.cpu.trap_value

    @property
    def trap_origin(self):
        """(pc, cause, value) of the last exception that was not taken at its own handler's first instruction."""
        return self.hart.cpu.state.origin_pc, self.hart.cpu.state.origin_cause, self.hart.cpu.state.origin_value


cdef dict described(HartState* state):
    """What the fields hold, by name."""
    cdef dict fields = dict(state[0])
    registers = fields.pop("regs")
    del fields["front_end"]
    names = [f"x{number}" for number in range(F0)] + [f"f{number}" for number in range(32)]
    for name, value in zip(names, registers):
        fields[name] = value
    fields.update(dict(riscv_state(state)[0]))
    return fields


def shown(value):
    return hex(value) if isinstance(value, int) else repr(value)


cdef int checked(int number) except -1:
    if not 0 <= number < 32:
        raise IndexError(f"there is no register {number}")
    return number


cdef void write_reset_supervisor(Hart* hart) noexcept:
    """What SBI promises at hart start: satp 0, sstatus.SIE 0."""
    hart.state.satp = SATP_MODE_BARE
    hart.state.mstatus &= ~MSTATUS_SIE
