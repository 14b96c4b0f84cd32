"""A machine, a server in a thread, and a debugger that is a plain socket."""

import re
import socket
import threading
from contextlib import contextmanager, suppress

import pytest

import vm
from tests.assembler import assemble_elf
from vm.driving import Driver
from vm.gdb.packets import framed

SECONDS = 20                        # after which what does not answer hangs


class Client:
    """Sends packets, and gives what comes back."""

    def __init__(self, address: str):
        if "/" in address:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.connect(address)
        else:
            host, port = address.rsplit(":", 1)
            self.socket = socket.create_connection((host, int(port)))
        self.socket.settimeout(SECONDS)
        self.held = b""
        self.shown = b""            # text of O packets

    def send(self, payload: bytes | str) -> None:
        self.raw(framed(payload.encode() if isinstance(payload, str) else payload))

    def raw(self, data: bytes) -> None:
        self.socket.sendall(data)

    def take(self) -> bytes:
        """The next packet's payload; acknowledgements between are left out."""
        while (match := re.match(rb"[+-]*\$([^#]*)#[0-9a-f]{2}", self.held)) is None:
            data = self.socket.recv(1 << 16)
            if not data:
                raise EOFError(self.held)
            self.held += data
        self.held = self.held[match.end():]
        return match[1]

    def reply(self) -> str:
        """The next that is no O packet; the text of those is kept."""
        while (packet := self.take()).startswith(b"O") and packet != b"OK":
            self.shown += bytes.fromhex(packet[1:].decode())
        return packet.decode("latin-1")

    def ask(self, payload: bytes | str) -> str:
        self.send(payload)
        return self.reply()

    def monitor(self, line: str) -> str:
        self.shown = b""
        assert self.ask("qRcmd," + line.encode().hex()) == "OK"
        return self.shown.decode()

    def close(self) -> None:
        self.socket.close()


class Debugged:
    """What a test has: the machine, the client, and the server's end."""

    def __init__(self, machine: vm.Machine, where: int | str = 0, wait: bool = True, driver: Driver | None = None):
        self.machine = machine
        self.driver = driver
        self.server = machine.gdb(where, wait=wait)
        self.ended: list[vm.Stop | BaseException] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.client = Client(self.server.address)

    def _serve(self) -> None:
        try:
            self.ended.append(self.server.serve(self.driver))
        except BaseException as error:
            self.ended.append(error)

    def __getattr__(self, name: str):
        return getattr(self.client, name)

    def address(self, label: str) -> int:
        return self.machine.program.symbols[label].address

    def pc(self) -> int:
        return int.from_bytes(bytes.fromhex(self.ask("p20")), "little")

    def register(self, number: int) -> int:
        return int.from_bytes(bytes.fromhex(self.ask(f"p{number:x}")), "little")

    def wait(self) -> vm.Stop | BaseException:
        """What `serve` returned or raised."""
        self._thread.join(SECONDS)
        assert self.ended, "the server goes on"
        return self.ended[0]

    def finish(self) -> None:
        if not self.ended:
            with suppress(OSError):     # it has ended meanwhile
                self.client.raw(b"\x03")
                self.client.send("k")
        self._thread.join(SECONDS)
        self.client.close()
        self.server.close()
        assert not self._thread.is_alive()


@contextmanager
def debugging(machine: vm.Machine, where: int | str = 0, wait: bool = True, driver: Driver | None = None):
    debugged = Debugged(machine, where, wait, driver)
    try:
        yield debugged
    finally:
        debugged.finish()


@pytest.fixture
def debugged():
    """debugged(source, devices=(), history=False, wait=True, where=0, **machine options) -> Debugged"""
    made = []

    def make(source: str, devices=(), history=False, wait=True, where=0, **options) -> Debugged:
        machine = vm.Machine(**{"memory": "2M", **options})
        for device, address in devices:
            machine.attach(device, address)
        machine.load(assemble_elf(source))
        if history:
            machine.keep_history()
        made.append(Debugged(machine, where, wait))
        return made[-1]

    yield make
    for one in made:
        one.finish()
        one.machine.close()
