"""Signal handlers written in Python, put off while something is half done.

Python runs a handler between any two byte codes of the main thread, and what the handler raises begins there: in the
middle of a device's access, or when a call of the guest has been taken from the core and is not served yet. So while
Python works for a machine, a stand-in that raises nothing is installed for every such handler. It notes the signal, and
the handlers are called, and are what they were, where nothing is half done: between slices, before the machine sleeps,
and before `run` returns.

That is soon, unless a device's method takes long or blocks. A signal that has waited for PATIENCE_NS is sent again,
which also ends a blocking system call, and its handler is called wherever that finds the main thread.
"""
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from posix.signal cimport SA_RESTART, sigaction, sigaction_t
from vm_native.clock cimport host_ns

import _thread
import os
import threading
from _signal import NSIG, getsignal, pthread_kill, signal   # without the enumerations of `signal`, which cost time

cdef extern from "Python.h":
    PyObject* PyEval_GetFrame()

cdef extern from "<signal.h>":
    int siginterrupt(int number, int flag)

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int microseconds)

cdef enum:
    PATIENCE_NS = 50000000

cdef bint noted = False         # a signal waits


cdef bint signal_waits() noexcept nogil:
    """Whether a signal's handler is to be called as soon as nothing is half done."""
    return noted


cdef class Deferral:
    """The stand-in for all handlers, of which the process has one; the first machine that asks owns it."""

    def __cinit__(self):
        self.handlers = {}
        self.waiting = {}

    def __call__(self, int number, frame):
        """The signal has come."""
        global noted
        cdef uint64_t now = host_ns()
        if now - <uint64_t>self.waiting.setdefault(number, now) >= PATIENCE_NS:
            del self.waiting[number]
            self.handlers[number][0](number, frame)
            return
        noted = True
        if not self.insisting:
            try:
                _thread.start_new_thread(self.insist, ())
                self.insisting = True
            except RuntimeError:
                pass                    # no more threads: it waits for as long as it takes

    def insist(self):
        """Send what waits for too long again, until nothing waits. With the GIL held, so that it is waiting still."""
        while True:
            with nogil:
                usleep(PATIENCE_NS / 1000)
            if not self.waiting:
                self.insisting = False
                return
            for number, came in list(self.waiting.items()):
                if host_ns() - <uint64_t>came >= PATIENCE_NS:
                    pthread_kill(self.thread, number)

    cdef int begin(self, owner) except -1:
        """Stand in for every handler. What one raises meanwhile is raised, and then all is as it was."""
        cdef sigaction_t action
        cdef int number, highest = NSIG
        self.owner = owner
        self.thread = _thread.get_ident()
        try:
            for number in range(1, highest):
                handler = getsignal(number)
                if callable(handler):
                    sigaction(number, NULL, &action)
                    self.handlers[number] = handler, action.sa_flags & SA_RESTART
                    signal(number, self)
        except BaseException:
            self.end()
            raise
        return 0

    cdef int end(self) except -1:
        """Put the handlers back and call those whose signals have come. What they raise first is raised."""
        global noted
        failure = self.put_back()
        calls = [(self.handlers[number][0], number) for number in self.waiting]
        self.handlers.clear()
        self.waiting.clear()
        self.owner = None
        noted = False
        for handler, number in calls:
            try:
                handler(number, current_frame())
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure
        return 0

    cdef object put_back(self):
        """Make the handlers what they were. What the first that is called meanwhile raises is returned, or None."""
        failure = None
        for number, (handler, restarts) in self.handlers.items():
            while getsignal(number) is self:
                try:
                    signal(number, handler)
                except BaseException as error:      # of a handler that is in its place already
                    failure = failure or error
            if restarts:
                siginterrupt(number, 0)
        return failure

    def after_fork(self):
        """In the child, which has one thread: if that is not the one that works for a machine, nothing is half done.

        If it is, in a device's method, the machine is to look up as soon as that returns: it is the parent's.
        """
        global noted
        self.insisting = False
        if self.owner is not None and _thread.get_ident() == self.thread:
            noted = True
        elif self.owner is not None:
            self.put_back()
            self.handlers.clear()
            self.waiting.clear()                    # those are the parent's
            self.owner = None
            noted = False


cdef object current_frame():
    cdef PyObject* frame = PyEval_GetFrame()
    return <object>frame if frame != NULL else None


cdef Deferral deferral = Deferral()
os.register_at_fork(after_in_child=deferral.after_fork)


cdef int put_off_handlers(owner) except -1:
    """From now on handlers wait until `release_handlers` of the same owner.

    Does nothing where they wait already, for a machine whose device runs another, and in threads that run no handlers.
    Raises what a handler raises, and then does nothing either.
    """
    if deferral.owner is None and _thread.get_ident() == threading.main_thread().ident:
        deferral.begin(owner)
    return 0


cdef int release_handlers(owner) except -1:
    """Nothing of this owner is half done: call the handlers of the signals that have come. Raises what they raise."""
    if deferral.owner is owner:
        deferral.end()
    return 0
