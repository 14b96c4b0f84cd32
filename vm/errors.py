"""One exception tree: everything this package raises on purpose derives from `VmError`."""


class VmError(Exception):
    """Base of all errors raised by `vm`."""


class ConfigurationError(VmError, ValueError):
    """A machine cannot be built or run as asked: memory size, ISA string, hart count, device, setting, limit."""


class LoadError(VmError, ValueError):
    """A file cannot be loaded into the machine. The message names the file and what to do."""


class ImageError(VmError):
    """A guest image cannot be found, downloaded or verified."""


class MachineBusy(VmError, RuntimeError):
    """`run` was called while the machine runs, from a callback or a thread, or while memory is open for writing."""


class ExpectTimeout(VmError, TimeoutError):
    """The console did not print what was expected in the given guest time. The message ends with its last output."""


class GuestError(VmError):
    """The guest asked for something that cannot be done."""


class BusError(GuestError):
    """A guest physical address is neither RAM nor a device.

    Attributes: `address` (physical), `access` ('read' | 'write' | 'execute').
    """

    def __init__(self, address: int, access: str, detail: str = ""):
        self.address = address
        self.access = access
        super().__init__(f"nothing answers at physical address {address:#x} ({access}{detail and ', '}{detail})")


class PageFault(GuestError):
    """A guest virtual address has no translation.

    Attributes: `address` (virtual), `access` ('read' | 'write' | 'execute').
    """

    def __init__(self, address: int, access: str):
        self.address = address
        self.access = access
        super().__init__(f"virtual address {address:#x} has no translation ({access})")
