"""A thread for each hart, opt-in beside turns.

Harts run in rounds. In a round each thread runs slices of its hart, of some microseconds, until something asks for who
runs the machine: an event that is due, a call that Python serves, the end of what was asked for, all harts waiting.
Then the round ends, every hart stands between two slices, and all is as between the turns of one thread: state is
exact, and Python may look at everything and change it. A hart that waits for an interrupt sleeps in its round, until it
gets one or its timer runs out. Time is the host's.

The threads begin with the first round and end when the run of the machine does.
"""
import threading

from cython cimport no_gc_clear
from libc.stdint cimport int64_t, uint64_t
from vm_native.blocks cimport free_dead, settle_cache
from vm_native.clock cimport NEVER, host_ns
from vm_native.execution.loop cimport close_slice, open_slice, run_slice
from vm_native.line_marks cimport unmap_marks
from vm_native.machine cimport (
    STOP_NONE, STOP_RESCHEDULE, STOP_WAITING, STOP_WATCH, Cpu, deliver_mail, lock_code, unlock_code,
)
from vm_native.memory.ram cimport Ram, all_present
from vm_native.safepoints cimport (
    RUNNING, ask_for_look, bring_to_rest, close_safepoints, dismiss, end_pause, enter_gate, let_go, open_gate,
    open_safepoints, park, take_steps, unpark, wait_for_interrupt, wait_for_report, wait_for_round,
)
from vm_native.unlocked cimport add_to, load_flag

cdef enum:
    FIRST_SLICE = 1000      # steps
    SHORTEST_SLICE = 500    # more than any trace has
    LONGEST_SLICE = 100000
    SLICE_NS = 10000        # others wait so long for what cannot be done while a hart runs


@no_gc_clear                                # what it is in must be there to the end
cdef class HartThreads:
    """Lets all harts of a machine, which it has by now, run at the same time."""

    def __cinit__(self, NativeMachine machine not None):
        self.owner = machine
        self.machine = &machine.machine
        self.threads = []
        if open_safepoints(&self.safepoints):
            raise MemoryError("no room for locks and marks")
        for number in range(self.machine.cpu_count):
            if open_gate(&self.safepoints, &self.machine.cpus[number].gate, &self.machine.cpus[number].attention):
                raise ValueError(f"{self.machine.cpu_count} harts: threads are for {number} at most")
            self.machine.cpus[number].thread_slice = FIRST_SLICE
            self.machine.cpus[number].marks = self.safepoints.marks
            self.machine.cpus[number].next_ticket = <uint64_t>(2 * number + 1)
        self.machine.safepoints = &self.safepoints

    def __dealloc__(self):
        self.machine.safepoints = NULL
        if self.is_forked():
            unmap_marks(self.safepoints.marks)      # the host would wait for those who wait in the other process
        else:
            close_safepoints(&self.safepoints)

    cdef bint is_forked(self) noexcept:
        """Whether the threads were left behind in the process that this one is a fork of."""
        return not self.owner.is_usable() and not self.owner.closed

    cdef int begin(self) except -1:
        """Have the threads. Raises RuntimeError where the host has no more, and what fetching absent pages raises."""
        cdef Ram ram
        if self.safepoints.leaving:
            self.end()                  # what a signal's handler has interrupted
        for ram in self.owner.bus.regions:
            if not all_present(&ram.region):
                ram.require(0, ram.region.size)     # which nobody does in a round
        if not self.threads:
            try:
                for number in range(self.machine.cpu_count):
                    thread = threading.Thread(target=self.serve, args=(number, self.safepoints.round),
                                              name=f"hart {number}", daemon=True)
                    thread.start()
                    self.threads.append(thread)
            except BaseException:
                self.end()
                raise
        return 0

    def end(self):
        """Between rounds: the threads end."""
        if self.is_forked():
            self.threads = []           # they are the other process's
            return
        with nogil:
            dismiss(&self.safepoints)
            end_pause(&self.safepoints.rests)
        while self.threads:
            self.threads[0].join()
            del self.threads[0]
        self.safepoints.leaving = 0

    def serve(self, int number, uint64_t round):
        """What a thread does: round after round, from the one behind this on."""
        cdef Cpu* cpu = self.machine.cpus[number]
        enter_gate(&cpu.gate)
        with nogil:
            while wait_for_round(&self.safepoints, &round):
                self.run_hart(cpu)
        enter_gate(NULL)
        if self.is_forked():
            raise RuntimeError(f"hart {number} ends here: a device has forked this process, and the machine belongs to "
                               "the other one; what is forked in a device shall exec, or exit")

    # --- Of who runs the machine -------------------------------------------------------------------------------------

    cdef int run(self, int first, uint64_t steps, uint64_t until_ns) noexcept nogil:
        """One round, of so many steps of all harts together at most, until so late on the host's clock. Returns the
        number of a hart that has stopped for something to be served, which Cpu.stop says; the first from `first` on;
        -1: none has.
        """
        cdef int number
        let_go(&self.safepoints, steps)
        wait_for_report(&self.safepoints, until_ns)
        bring_to_rest(&self.safepoints)
        for number in range(self.machine.cpu_count):
            deliver_mail(self.machine.cpus[number])
        lock_code(self.machine)         # another thread of Python's may be storing into code
        settle_cache(self.machine, self.machine.blocks.count)
        if self.machine.compiler != NULL and self.machine.compiler.wants_room:
            self.machine.compiler.make_room(self.machine.compiler)
        free_dead(self.machine)
        unlock_code(self.machine)
        return self.stopped_hart(first)

    cdef int stopped_hart(self, int first) noexcept nogil:
        """The first from this one on; before all others one that has done an access which is watched: that cannot be
        taken back.
        """
        cdef int i, number, found = -1
        for i in range(self.machine.cpu_count):
            number = (first + i) % self.machine.cpu_count
            if self.machine.cpus[number].stop == STOP_WATCH:
                return number
            if found < 0 and self.machine.cpus[number].stop != STOP_NONE:
                found = number
        return found

    # --- Of a hart's thread ------------------------------------------------------------------------------------------

    cdef void run_hart(self, Cpu* cpu) noexcept nogil:
        """Until the round is over, or the hart stops for something that is to be served."""
        cdef uint64_t length, deadline, began, ended
        cdef bint runnable
        while load_flag(&self.safepoints.going) == RUNNING:
            unpark(&cpu.gate)           # others that visit the hart wait, or this for them
            deliver_mail(cpu)
            cpu.front_end.poll(cpu)
            runnable = cpu.front_end.runnable(cpu)
            deadline = NEVER if runnable else cpu.front_end.deadline_ns(cpu)    # before others may set a timer again
            park(&cpu.gate)
            if not runnable:
                if deadline < NEVER - self.machine.timeline.started_ns:
                    deadline += self.machine.timeline.started_ns
                wait_for_interrupt(&cpu.gate, deadline)
                continue
            length = take_steps(&self.safepoints, cpu.thread_slice)
            if not length:
                ask_for_look(&self.safepoints)
                return
            began = host_ns()
            self.run_slice_of(cpu, <int64_t>length, length < <uint64_t>cpu.thread_slice)
            ended = host_ns()
            if ended - began > 2 * SLICE_NS:
                cpu.thread_slice = max(cpu.thread_slice // 2, <int64_t>SHORTEST_SLICE)
            elif ended - began < SLICE_NS // 2:
                cpu.thread_slice = min(cpu.thread_slice * 2, <int64_t>LONGEST_SLICE)
            if cpu.stop == STOP_WAITING or cpu.stop == STOP_RESCHEDULE:
                cpu.stop = STOP_NONE
            elif cpu.stop != STOP_NONE:
                ask_for_look(&self.safepoints)
                return

    cdef void run_slice_of(self, Cpu* cpu, int64_t length, bint last) noexcept nogil:
        cdef int64_t done
        cpu.may_end_early = not last
        unpark(&cpu.gate)               # before anything of the hart's changes, that others may be looking at
        open_slice(cpu, length)
        cpu.gate.inside = 1
        run_slice(self.translator, cpu)
        cpu.gate.inside = cpu.gate.changed = 0
        done = close_slice(cpu)
        cpu.state.steps += <uint64_t>done
        cpu.slice = cpu.budget = 0
        park(&cpu.gate)
        add_to(&self.machine.timeline.steps, <uint64_t>done)
        if done != length:
            add_to(&self.safepoints.steps_left, <uint64_t>(length - done))
