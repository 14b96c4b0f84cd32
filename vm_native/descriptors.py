"""File descriptors below 3 are standard input, output and error, whatever stands there.

Where one of them is closed when the process starts, the next file that it opens gets the number, and whoever prints
writes into it.
"""

import fcntl
import os

STANDARD = (0, 1, 2)


def above_standard(descriptor: int) -> int:
    """The same file under another descriptor, if this is a standard one; closed on exec(2)."""
    if descriptor not in STANDARD:
        return descriptor
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, len(STANDARD))
    finally:
        os.close(descriptor)


def memory_file(size: int) -> int:
    """A file of so many bytes of zeroes, in the host's memory, for guest RAM. Raises MemoryError."""
    try:
        descriptor = above_standard(os.memfd_create("vm-ram", os.MFD_CLOEXEC))
        try:
            os.ftruncate(descriptor, size)
        except OSError:
            os.close(descriptor)
            raise
    except OSError as error:
        raise MemoryError(f"the host does not give {size} bytes of guest RAM ({error.strerror})") from error
    return descriptor


def open_standard() -> None:
    """Open /dev/null on each standard descriptor that is closed."""
    for number in STANDARD:
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
