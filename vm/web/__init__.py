"""A page of the browser that shows a machine and lets a person drive it; `Machine.web` opens it.

No thread of its own: sockets are looked at by the machine's inputs, between two slices, as those of a guest's network
are. The protocol of HTTP and WebSocket is spoken by `websockets`, which can do that without input or output of its own;
what is here decides who may speak.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vm.errors import VmError

if TYPE_CHECKING:
    from vm.machine import Machine
    from vm.web.console import WebConsole


def open_console(machine: Machine, port: int) -> WebConsole:
    """As `Machine.web`."""
    try:
        from vm.web.console import WebConsole  # here: the build, which fetches the terminal, needs neither
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "websockets":
            raise
        raise VmError("the web console needs websockets; install it with: pip install 'vm-emulator[web]'") from None
    from vm.web.files import page_files

    return WebConsole(machine, port, page_files())
