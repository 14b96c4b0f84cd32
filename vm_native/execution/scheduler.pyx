"""How the harts of a machine take turns, or run side by side in threads (hart_threads.pyx).

Harts run round-robin in one thread, a fixed quantum of steps each, cut into slices of at most 1,000,000 steps, in real
time of about 250 microseconds. A slice also ends where something is due: a timer, a device event, the end of what was
asked for. With a virtual clock all of this is a function of steps alone; while every hart waits, time jumps to what is
due next. Where somebody sits at a terminal it goes there at the pace of the host's clock (`paced`), and steps are the
same.

A hart gives up its reservation with its turn, so that a store-conditional never meets a store of another hart that it
does not know of (unprivileged specification, section 13.2: it may fail at any time, and a constrained LR/SC loop is far
shorter than a quantum).
"""
from cpython.exc cimport PyErr_CheckSignals
from libc.stdint cimport int64_t, uint64_t
from vm_native.blocks cimport free_dead
from vm_native.clock cimport NEVER, host_ns, steps_until_ns, timeline_ns
from vm_native.execution.allowance cimport run_begins, run_ended
from vm_native.execution.hart_threads cimport HartThreads
from vm_native.execution.loop cimport close_slice, open_slice, run_slice
from vm_native.execution.native_machine cimport NativeMachine
from vm_native.execution.translate cimport set_up_translator
from vm_native.interpreter.forms cimport form_named
from vm_native.machine cimport (
    STOP_BREAKPOINT, STOP_BUDGET, STOP_DEADLINE, STOP_EVENT, STOP_FIRMWARE, STOP_FULL, STOP_HOOK, STOP_IDLE,
    STOP_MEMORY, STOP_NONE, STOP_RAISED, STOP_REQUESTED, STOP_RESCHEDULE, STOP_SLEEP, STOP_TIMEOUT, STOP_TRAP_LOOP,
    STOP_UNHANDLED, STOP_WAITING, STOP_WATCH, Cpu, ask_to_stop, drop_reservation, reschedule,
)
from vm_native.memory.bus cimport forget_answers
from vm_native.safepoints cimport ask_for_look, end_pause, is_own
from vm_native.signals cimport signal_waits

cdef enum:
    MAX_SLICE = 1000000
    FIRST_REAL_SLICE = 1000     # in real time
    SHORTEST_REAL_SLICE = 100
    REAL_SLICE_NS = 250000      # timers wait for its end, and a step that asks a device takes 10,000 times as long
    SHORT_SLICE = 2000          # behind a hook, until the next
    BURST = 64                  # turns for which the GIL is kept
    MOST_UNSEEN = 16            # turns without a look at the host's clock
    SIGNALS_EVERY_NS = 20000000
    CALL_BYTES = 4              # of the instruction that calls the firmware
    FEW_STEPS = 1000            # a run of so many is done in turns: a debugger says which hart takes its one step
    SHORTEST_QUANTUM = 64       # steps: a constrained LR/SC loop has at most 16 instructions, and may be tried twice


cdef class Scheduler:
    """Lets the harts of a machine run.

    `form` is the interpreter's dispatch form, `quantum` the steps a hart runs before it is the next one's turn. To
    measure what that brings, `fusion=False` gives every uop a handler of its own.
    """

    def __cinit__(self, NativeMachine machine not None, *, str form, int64_t quantum=10_000, bint fusion=True):
        if quantum < SHORTEST_QUANTUM:
            raise ValueError(f"quantum={quantum}: at least {SHORTEST_QUANTUM} steps")
        self.owner = machine
        self.machine = &machine.machine
        self.form = form
        self.quantum = quantum
        self.event_ns = NEVER
        self.ceiling_ns = NEVER
        self.real_slice = FIRST_REAL_SLICE
        set_up_translator(&self.translator, form_named(form), fusion)

    def use_threads(self):
        """From now on each hart, all of which the machine has by now, runs in a thread of its own, and none has turns.

        The clock is real. Raises ValueError for too many harts.
        """
        self.threads = HartThreads(self.owner)
        self.threads.translator = &self.translator

    # --- Running -----------------------------------------------------------------------------------------------------

    def run(self, uint64_t limit, uint64_t stop_ns, uint64_t host_deadline):
        """Run until something stops it. Returns (StopCode, hart number).

        `limit`: steps at most, all harts together; `stop_ns`: guest time to stop at; `host_deadline`: on the host's
        monotonic clock, ns. 2**64 - 1 means none. An exception of a device, or a signal's, is raised unchanged; what
        the run ended for is then what the next one ends for, at once.

        Handlers of signals are put off from here on, so that the caller can serve what it is told of: until the next
        run looks for them, or `release_handlers`.
        """
        cdef int code = self.unserved
        self.raise_later()
        cdef uint64_t end = self.machine.timeline.steps + limit
        if self.machine.probes.event_count or self.owner.waiting:      # since a hook has raised
            code = self.call_hooks(code)
        if code == STOP_NONE:
            self.limits = Limits(end if end >= limit else NEVER, stop_ns, host_deadline, host_ns() + SIGNALS_EVERY_NS)
            if self.threads is not None:
                if not self.owner.is_usable():      # where this process is a fork, it has no such threads
                    return STOP_REQUESTED, self.turn
                self.threads.begin()
            run_begins(self.machine)
            with nogil:
                code = self.run_harts()
                self.settle()
            run_ended(self.machine)
        if self.owner.bus.pending_exception is not None:
            error, self.owner.bus.pending_exception = self.owner.bus.pending_exception, None
            raise error
        if code not in (STOP_BUDGET, STOP_DEADLINE, STOP_IDLE):     # in these there is nothing to serve
            self.unserved = code
            if self.threads is not None:
                self.owner.bus.release_handlers()       # which threads of harts can have put off for nobody
            self.owner.bus.put_off_handlers()
        self.unserved = STOP_NONE       # also where it is what the last run has left
        return code, self.turn

    def put_off_handlers(self):
        """Handlers of signals wait from now on. Raises what one raises."""
        self.owner.bus.put_off_handlers()

    def release_handlers(self):
        """Nothing is half done: call the handlers of signals that have come meanwhile. Raises what they raise."""
        self.owner.bus.release_handlers()

    cdef int run_harts(self) noexcept nogil:
        """Turn after turn, until the run ends. Why it does."""
        cdef int code
        self.turns_unseen = MOST_UNSEEN
        while True:
            code = self.take_turn(MAX_SLICE)
            if self.machine.probes.event_count:
                code = self.tell_hooks(code)
            if code not in (STOP_NONE, STOP_WAITING, STOP_RESCHEDULE):
                return code

    cdef int look_at_host(self) noexcept nogil:
        """At its clock and its signals: why the run ends for them, if it does."""
        cdef uint64_t now = host_ns()
        self.turns_unseen = 0
        if now >= self.limits.signals_at or signal_waits():
            self.limits.signals_at = now + SIGNALS_EVERY_NS
            with gil:
                if self.handler_raised():
                    return STOP_RAISED
                if not self.owner.is_usable():      # a device has forked this process
                    return STOP_REQUESTED
        return STOP_TIMEOUT if now >= self.limits.host_deadline else STOP_NONE

    cdef int take_turn(self, int64_t most) noexcept nogil:
        """Let a hart take at most so many steps, or time go on where all wait. Why the turn has ended."""
        cdef uint64_t now, end_ns = min(self.limits.stop_ns, self.ceiling_ns)
        cdef int code
        cdef int64_t length
        self.turns_unseen += 1
        if self.turns_unseen >= MOST_UNSEEN or most == MAX_SLICE:
            code = self.look_at_host()
            if code == STOP_RAISED or code == STOP_REQUESTED:
                return code
        else:
            code = STOP_NONE
        if self.stop_asked:
            self.stop_asked = False
            return STOP_REQUESTED
        if code != STOP_NONE:
            return code
        now = timeline_ns(self.machine.timeline, self.machine.timeline.steps)
        if now >= self.event_ns:
            return STOP_EVENT
        if now >= end_ns:
            return STOP_DEADLINE
        if self.machine.timeline.steps >= self.limits.end:
            return STOP_BUDGET
        if self.next_runnable() < 0:
            if self.machine.safepoints != NULL:
                end_pause(&self.machine.safepoints.rests)       # nobody would have run
            return self.nobody_runs(self.limits.stop_ns)
        if self.threads is not None and self.limits.end - self.machine.timeline.steps > FEW_STEPS:
            return self.take_round(end_ns)
        length = self.slice_length(min(self.limits.end - self.machine.timeline.steps, <uint64_t>most), end_ns)
        code = self.run_one_slice(self.machine.cpus[self.turn], length)
        if self.threads is not None:
            self.machine.cpus[self.turn].stop = STOP_NONE       # else a round would find it, and end for it again
        if code == STOP_REQUESTED:
            self.stop_asked = False
        return code

    cdef int take_round(self, uint64_t end_ns) noexcept nogil:
        """Let all harts run until something is due, or to be served. Why they came to rest."""
        cdef uint64_t due = min(self.event_ns, end_ns)
        cdef uint64_t until_ns = min(self.limits.host_deadline, self.limits.signals_at)
        cdef int code, number
        cdef bint raised
        if due < NEVER - self.machine.timeline.started_ns:
            until_ns = min(until_ns, self.machine.timeline.started_ns + due)
        number = self.threads.run(self.turn + 1, self.limits.end - self.machine.timeline.steps, until_ns)
        if number < 0:
            return STOP_NONE
        self.turn = number
        code = self.machine.cpus[number].stop
        raised = self.take_back_stops(number)
        if code == STOP_REQUESTED:
            self.stop_asked = False
        if raised and self.has_raised():
            self.unserved = code if code != STOP_RAISED else STOP_NONE
            return STOP_RAISED
        return code if code != STOP_RAISED else STOP_NONE   # what another hart was raised for: the access is repeated

    cdef bint take_back_stops(self, int served) noexcept nogil:
        """All harts but this one do again what they have stopped for: between rounds nobody needs to know of more than
        one. What a hook is to be told is kept elsewhere, and so are hits of watchpoints and that somebody has asked
        for a stop. Whether a device has raised, for any of them.
        """
        cdef Cpu* cpu
        cdef bint raised = False
        cdef int i
        for i in range(self.machine.cpu_count):
            cpu = self.machine.cpus[i]
            raised = raised or cpu.stop == STOP_RAISED
            if i != served and cpu.stop == STOP_FIRMWARE:
                cpu.state.pc -= CALL_BYTES
                cpu.state.steps -= 1
                self.machine.timeline.steps -= 1
            elif i != served and cpu.stop == STOP_BREAKPOINT:
                cpu.reported_step = 0
            cpu.stop = STOP_NONE
        return raised

    cdef int raise_later(self) except -1:
        """What another hart's device has raised in a round that has raised something already."""
        if self.threads is not None and self.owner.bus.has_raised():
            error, self.owner.bus.pending_exception = self.owner.bus.pending_exception, None
            raise error
        return 0

    cdef bint has_raised(self) noexcept nogil:
        with gil:
            return self.owner.bus.has_raised()

    cdef int tell_hooks(self, int code) noexcept nogil:
        """Call hooks for the events that wait, of a turn that has ended for this reason. Why the run ends, if it does.

        Where one hook is called, the next is often near: turns follow here, short ones, for which no other thread gets
        the GIL but while a hook runs. Where a hook raises, the run ends for what the turn ended for when it goes on.
        """
        cdef int _turn
        with gil:
            if self.threads is not None:        # the others want the GIL, too
                return self.call_hooks(code)
            for _turn in range(BURST):
                code = self.call_hooks(code)
                if code not in (STOP_NONE, STOP_WAITING, STOP_RESCHEDULE):
                    return code
                code = self.take_turn(SHORT_SLICE)
                if self.machine.probes.event_count == 0:
                    return code
            return self.call_hooks(code)

    cdef int call_hooks(self, int code) noexcept:
        """The same, once."""
        cdef uint64_t restores = self.owner.restores
        cdef bint ends_slice = False
        self.settle()
        if code == STOP_HOOK:
            code = STOP_NONE
        error = self.owner.call_hooks(&ends_slice)
        if self.owner.restores != restores:
            code = STOP_NONE                # which was of another state
        if error is not None:
            self.owner.bus.keep(error)
            self.unserved = code if code not in (STOP_WAITING, STOP_RESCHEDULE) else STOP_NONE
            return STOP_RAISED
        if not self.owner.is_usable():      # a hook has forked this process, or closed the machine
            return STOP_REQUESTED
        if ends_slice and code in (STOP_NONE, STOP_WAITING, STOP_RESCHEDULE):
            return STOP_HOOK
        return code if self.owner.restores == restores else STOP_HOOK

    cdef bint handler_raised(self) noexcept:
        """Call the handlers of the signals that have come; nothing is half done."""
        try:
            PyErr_CheckSignals()
            self.owner.bus.release_handlers()
        except BaseException as error:
            self.owner.bus.pending_exception = error
            return True
        return False

    cdef int next_runnable(self) noexcept nogil:
        """Make it a runnable hart's turn: the current one's while its quantum lasts. -1 if none is."""
        cdef Cpu* cpu
        cdef int i, candidate
        self.settle()
        for i in range(self.machine.cpu_count):
            self.machine.front_end.poll(self.machine.cpus[i])
        if self.quantum_left > 0 and self.machine.front_end.runnable(self.machine.cpus[self.turn]):
            return self.turn
        for i in range(1, self.machine.cpu_count + 1):
            candidate = (self.turn + i) % self.machine.cpu_count
            cpu = self.machine.cpus[candidate]
            if self.machine.front_end.runnable(cpu):
                self.give_turn(candidate)
                return candidate
        return -1

    cdef void give_turn(self, int hart) noexcept nogil:
        if hart != self.turn:
            drop_reservation(self.machine.cpus[self.turn])
            drop_reservation(self.machine.cpus[hart])       # it can have one from a state that was loaded
        self.turn = hart
        self.quantum_left = self.quantum

    cdef void settle(self) noexcept nogil:
        """Between slices every hart stands at the machine's present step."""
        cdef int i
        cdef Cpu* cpu
        for i in range(self.machine.cpu_count):
            cpu = self.machine.cpus[i]
            cpu.state.steps += <uint64_t>(cpu.slice - cpu.budget)
            cpu.slice = 0
            cpu.budget = 0
            cpu.slice_start = self.machine.timeline.steps

    cdef uint64_t first_deadline(self) noexcept nogil:
        cdef int i
        cdef uint64_t first = self.event_ns
        for i in range(self.machine.cpu_count):
            first = min(first, self.machine.front_end.deadline_ns(self.machine.cpus[i]))
        return first

    cdef int64_t slice_length(self, uint64_t limit, uint64_t stop_ns) noexcept nogil:
        cdef uint64_t most = <uint64_t>self.real_slice if self.machine.timeline.real else MAX_SLICE
        cdef uint64_t length = min(limit, most)
        cdef uint64_t due
        if self.machine.cpu_count > 1:
            length = min(length, <uint64_t>self.quantum_left)
        if not self.machine.timeline.real:
            due = min(self.first_deadline(), stop_ns)
            if due != NEVER:
                due = steps_until_ns(self.machine.timeline, due, self.machine.timeline.steps)
                length = min(length, max(due, <uint64_t>1))
        return <int64_t>length

    cdef int run_one_slice(self, Cpu* cpu, int64_t length) noexcept nogil:
        cdef int64_t done
        cdef uint64_t began = host_ns() if self.machine.timeline.real else 0
        free_dead(self.machine)
        forget_answers(self.machine.map)
        cpu.stop = STOP_NONE
        cpu.may_end_early = False
        self.machine.current = cpu
        open_slice(cpu, length)
        run_slice(&self.translator, cpu)
        done = close_slice(cpu)
        self.machine.current = NULL
        cpu.gate.parked = 1             # where it has a thread, that rests
        self.machine.timeline.steps = cpu.slice_start + <uint64_t>done
        if self.machine.cpu_count > 1:      # of one alone what is left would follow from how its runs are divided
            self.quantum_left -= done
        if self.machine.timeline.real:
            self.fit_real_slice(done, host_ns() - began)
        return cpu.stop

    cdef void fit_real_slice(self, int64_t done, uint64_t took) noexcept nogil:
        """Let the next slice take about REAL_SLICE_NS, after one of so many steps that took so long."""
        if took > 2 * <uint64_t>REAL_SLICE_NS:
            done = <int64_t>(<uint64_t>done * REAL_SLICE_NS // took)
            self.real_slice = max(min(done, self.real_slice), <int64_t>SHORTEST_REAL_SLICE)
        elif done >= self.real_slice and took < REAL_SLICE_NS // 2:
            self.real_slice = min(2 * self.real_slice, <int64_t>MAX_SLICE)

    cdef int nobody_runs(self, uint64_t stop_ns) noexcept nogil:
        """Every hart waits: jump to what comes next, or say what there is to wait for."""
        cdef uint64_t now, due = min(self.first_deadline(), stop_ns)
        if self.machine.timeline.real:
            return STOP_SLEEP
        if due == NEVER:
            return STOP_IDLE
        if self.paced:
            return STOP_SLEEP
        due = min(due, self.ceiling_ns)
        now = timeline_ns(self.machine.timeline, self.machine.timeline.steps)
        if due > now:           # another thread may have said that something is due since the deadline was looked at
            self.machine.timeline.skipped_ns += due - now
        return STOP_NONE

    # --- What Python may ask for at any time --------------------------------------------------------------------------

    def request_stop(self):
        """Stop after the instruction at hand; outside a run, at once when the next one begins."""
        cdef Cpu* current = self.machine.current        # another thread's slice may end meanwhile
        cdef int number
        self.stop_asked = True
        if current != NULL:
            ask_to_stop(current, STOP_REQUESTED)
        if self.threads is not None:
            number = self.own_hart()
            if number >= 0:
                ask_to_stop(self.machine.cpus[number], STOP_REQUESTED)
            ask_for_look(self.machine.safepoints)

    def forget_request(self):
        """What `request_stop` asked for is done."""
        self.stop_asked = False

    def leave_unserved(self, int code):
        """What the last run ended for is not served now: the next one ends for it, at once."""
        self.unserved = code

    def forget_stop(self):
        """The machine starts anew: what it has stopped for, and was asked to stop for, is of the past."""
        self.unserved = STOP_NONE
        self.stop_asked = False

    def save(self):
        """Whose turn it is and what a run has yet to say, a tuple; the event that is due is the queue's to tell."""
        return self.turn, self.quantum_left, self.unserved, self.stop_asked

    def load(self, saved):
        """Go on as after `save`. Raises ValueError for what cannot be that."""
        self.refuse_unfit(saved)
        self.turn, self.quantum_left, self.unserved, self.stop_asked = saved

    def refuse_unfit(self, saved):
        """Raise ValueError for what is no state of this scheduler."""
        turn, quantum_left, unserved, _ = saved
        if not 0 <= turn < self.machine.cpu_count:
            raise ValueError(f"it cannot be the turn of hart {turn}")
        if unserved not in (STOP_NONE, *STOP_CODES.values()) or quantum_left > self.quantum:
            raise ValueError(f"{saved} is no state of a scheduler with quantum={self.quantum}")

    def differs(self, saved):
        """Whether `save` would give something else."""
        return self.save() != saved

    def let_pass(self, uint64_t ns):
        """Virtual time goes on although no hart takes a step; not past `next_deadline_ns`."""
        self.machine.timeline.skipped_ns += ns

    def set_event(self, uint64_t due_ns):
        """Guest time of the first device event; 2**64 - 1 for none. The slice at hand is cut anew."""
        self.event_ns = due_ns
        reschedule(self.machine)

    def next_deadline_ns(self):
        """Guest time at which the next timer or event is due; 2**64 - 1 if nothing is."""
        return self.first_deadline()

    def settle_harts(self):
        """Let every hart stand at the machine's present step, which somebody may have set between two runs."""
        self.settle()

    @property
    def running(self):
        """Whether a hart is inside a slice: the caller is a callback."""
        return self.machine.current != NULL or self.own_hart() >= 0

    @property
    def current_hart(self):
        """Number of the hart whose turn it is, or whose thread asks."""
        cdef int number = self.own_hart()
        return self.turn if number < 0 else number

    cdef int own_hart(self) noexcept:
        """The number of the hart whose thread this is; -1: it is no hart's."""
        cdef int number
        if self.threads is not None:
            for number in range(self.machine.cpu_count):
                if is_own(&self.machine.cpus[number].gate):
                    return number
        return -1

    def end_threads(self):
        """The run of the machine is over."""
        if self.threads is not None:
            self.threads.end()


# What `Scheduler.run` returns first, for Python.
STOP_CODES = {
    "budget": STOP_BUDGET, "deadline": STOP_DEADLINE, "timeout": STOP_TIMEOUT, "event": STOP_EVENT,
    "requested": STOP_REQUESTED, "firmware": STOP_FIRMWARE, "watch": STOP_WATCH, "breakpoint": STOP_BREAKPOINT,
    "restored": STOP_HOOK, "full": STOP_FULL, "memory": STOP_MEMORY,
    "sleep": STOP_SLEEP, "idle": STOP_IDLE, "unhandled-trap": STOP_UNHANDLED, "trap-loop": STOP_TRAP_LOOP,
}
