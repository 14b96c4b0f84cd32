"""Consoles of machines for these tests, and clients of them."""

import pytest

pytest.importorskip("websockets")

from tests.web.client import Client, Plain  # noqa: E402
from vm.machine import Machine  # noqa: E402
from vm.web.console import WebConsole  # noqa: E402


class Held:
    """A console of a machine that nobody runs, its page a file of a few bytes."""

    def __init__(self, machine: Machine, folder):
        (folder / "index.html").write_text("<p>the page")
        (folder / "main.mjs").write_text("export {}")
        self.machine = machine
        self.console = WebConsole(machine, 0, {path.name: path for path in folder.iterdir()})
        self.url = self.console.url
        self.token = self.url.partition("token=")[2]
        self.clients = []

    def poll(self) -> None:
        self.machine.inputs.poll(0.002)

    def plain(self) -> Plain:
        self.clients.append(Plain(self.url, self.poll))
        return self.clients[-1]

    def client(self, **options) -> Client:
        self.clients.append(Client(self.url, self.poll, **options))
        return self.clients[-1]

    def close(self) -> None:
        for client in self.clients:
            client.close()
        self.console.close()
        self.machine.close()


@pytest.fixture
def held(tmp_path):
    held = Held(Machine(memory="1M"), tmp_path)
    yield held
    held.close()
