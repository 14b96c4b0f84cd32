"""A client of the web console without a browser: bytes on a socket, while the machine's inputs are looked at."""

import json
import socket
import time
from urllib.parse import urlsplit

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from vm.web.page import TEXT

PATIENCE = 20                       # host seconds for what must come


def request(url: str, path: str | None = None, host: str | None = None, **headers: str) -> bytes:
    """A request, as a browser sends it; other headers by their names, with _ for -."""
    place = urlsplit(url)
    lines = [f"GET {path or f'{place.path}?{place.query}'} HTTP/1.1", f"Host: {host or place.netloc}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Plain:
    """A connection on which bytes go and come. `poll` lets the server do what it does."""

    def __init__(self, url: str, poll):
        self.socket = socket.create_connection(("127.0.0.1", urlsplit(url).port))
        self.socket.setblocking(False)
        self.poll = poll
        self.ended = False

    def send(self, data: bytes) -> None:
        while data:
            try:
                data = data[self.socket.send(data):]
            except BlockingIOError:
                self.poll()

    def receive(self) -> bytes:
        """What is there after a look; nothing where nothing is, or at the end."""
        self.poll()
        try:
            data = self.socket.recv(1 << 20)
        except BlockingIOError:
            return b""
        except ConnectionResetError:
            data = b""
        self.ended = not data
        return data

    def until(self, true) -> None:
        end = time.monotonic() + PATIENCE
        while not true():
            assert time.monotonic() < end, "it did not come"

    def answer(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers in lower case and body of what is answered until the server hangs up."""
        self.send(data)
        received = bytearray()

        def ended():
            received.extend(self.receive())
            return self.ended

        self.until(ended)
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return int(status.split()[1]), headers, body

    def close(self) -> None:
        self.socket.close()


class Client(Plain):
    """A page's WebSocket. `messages` are those in JSON that came, `text` what was printed since the last "clear"."""

    def __init__(self, url: str, poll, origin: str | None = "", acknowledging: bool = True):
        super().__init__(url, poll)
        place = urlsplit(url)
        address = f"ws://{place.netloc}/{place.query.removeprefix('token=')}/socket"
        origin = f"http://{place.netloc}" if origin == "" else origin
        self._protocol = ClientProtocol(parse_uri(address), origin=origin, max_size=None)
        self._acknowledging = acknowledging
        self.messages = []
        self.text = b""
        self.pictures = []
        self.close_code = None
        self._protocol.send_request(self._protocol.connect())
        self._push()

    def _push(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.send(data)

    def look(self) -> None:
        """Take what has come."""
        data = self.receive()
        if data:
            self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._on_frame(event)
            else:
                self.status = event.status_code
        self._push()

    def _on_frame(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT:
            message = json.loads(frame.data)
            self.messages.append(message)
            if message["is"] == "clear":
                self.text = b""
        elif frame.opcode is Opcode.BINARY and frame.data[:1] == TEXT:
            self.text += frame.data[1:]
            if self._acknowledging:
                self.ask("shown", bytes=len(frame.data) - 1)
        elif frame.opcode is Opcode.BINARY:
            self.pictures.append(frame.data[1:])
        elif frame.opcode is Opcode.CLOSE:
            self.close_code = int.from_bytes(frame.data[:2], "big")

    def ask(self, what: str, **values) -> None:
        self.say(json.dumps({"do": what, **values}).encode())

    def say(self, data: bytes, fin: bool = True) -> None:
        self._protocol.send_text(data, fin)
        self._push()

    def type(self, data: bytes) -> None:
        self._protocol.send_binary(data)
        self._push()

    def last(self, kind: str):
        """The last message that is such, None before there is one."""
        return next((message for message in reversed(self.messages) if message["is"] == kind), None)

    def wait(self, true) -> None:
        """Look until something is true."""
        def looked():
            self.look()
            return true()

        self.until(looked)

    def opened(self) -> "Client":
        self.wait(lambda: self.last("snapshots") is not None)
        return self
