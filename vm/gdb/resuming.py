"""The packet vCont: GDB manual, E.2. It names an action for each thread, the first that fits counts."""

from __future__ import annotations

from collections.abc import Sequence

from vm.gdb.running import Resume
from vm.gdb.syntax import Malformed, number, parted, signed_thread
from vm.hart import Hart

SUPPORTED = b"vCont;c;C;s;S;r"


def resume_of(rest: bytes, harts: Sequence[Hart], default: Hart) -> bytes | Resume:
    """What is asked for: the steps of the first hart that is to step, or that all run. `default` stands for any hart.

    A hart that is named neither by itself nor by an action for all stays where it is as far as possible: vm.gdb.running
    says how far that is.
    """
    if rest == b"?":
        return SUPPORTED
    if rest[:1] != b";":
        raise Malformed
    stepping: Resume | None = None
    others = False                  # an action lets them run
    for action in rest[1:].split(b";"):
        kind, arguments, thread = read_action(action)
        if thread > len(harts):
            raise Malformed
        everyone = thread < 0
        if kind in b"cC":
            others = True
        elif stepping is None:
            hart = default if thread <= 0 else harts[thread - 1]
            stepping = Resume("step", hart, within=arguments)
            others = others or (everyone and len(harts) > 1)
    return Resume("run", default) if stepping is None else stepping._replace(others=others)


def read_action(action: bytes) -> tuple[bytes, range, int]:
    """The letter, the range of `r`, and the thread; -1 without one."""
    what, colon, thread = action.partition(b":")
    within = range(0)
    match what[:1]:
        case b"c" | b"s" if len(what) == 1:
            pass
        case b"C" | b"S":
            number(what[1:])
        case b"r":
            within = range(*map(number, parted(what[1:], b",", 2)))
        case _:
            raise Malformed
    return what[:1], within, signed_thread(thread) if colon else -1
