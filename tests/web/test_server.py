"""Who gets in, and what clients cannot do: token, Host, Origin, sizes, malformed frames, clients that do not read."""

import logging
import os
import resource
import select
import struct

import pytest

from tests.web.client import request
from vm.errors import ConfigurationError
from vm.web.connection import CHUNK, LARGEST_HEAD, MOST_KEPT, MOST_RECEIVED, MOST_UNSENT
from vm.web.console import WebConsole
from vm.web.page import MOST_UNSHOWN
from vm.web.scrollback import LIMIT
from vm.web.server import MOST_CALLERS, MOST_CLIENTS

POLICY_VIOLATION, PROTOCOL_ERROR, TOO_BIG, INVALID = 1008, 1002, 1009, 1007     # RFC 6455, section 7.4.1


def masked(first: int, payload: bytes, length: int | None = None) -> bytes:
    """A frame of a client with a mask of zeros (RFC 6455, section 5.2); `length`: what it says of itself."""
    length = len(payload) if length is None else length
    if length < 126:
        head = bytes([first, 0x80 | length])
    elif length < 1 << 16:
        head = struct.pack(">BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack(">BBQ", first, 0x80 | 127, length)
    return head + bytes(4) + payload


# --- Who gets in -----------------------------------------------------------------------------------------------------

def test_the_address_leads_to_the_page(held):
    status, headers, _ = held.plain().answer(request(held.url))
    assert (status, headers["location"]) == (303, f"/{held.token}/")
    status, headers, body = held.plain().answer(request(held.url, headers["location"]))
    assert (status, body) == (200, b"<p>the page")
    assert headers["content-type"] == "text/html; charset=utf-8"
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "frame-ancestors 'none'" in policy
    assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"


def test_modules_are_javascript(held):
    status, headers, body = held.plain().answer(request(held.url, f"/{held.token}/main.mjs"))
    assert (status, headers["content-type"], body) == (200, "text/javascript; charset=utf-8", b"export {}")


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=wrong", "/index.html", "/wrong/", "/wrong/socket",
                                  "/favicon.ico", "//[", "/%00/"])
def test_nothing_without_the_token(held, path):
    status, _, body = held.plain().answer(request(held.url, path))
    assert status == 403 and b"token" in body


@pytest.mark.parametrize("name", ["nothing", "../console.py", "..%2fconsole.py", "/etc/passwd", "main.mjs/"])
def test_no_other_files(held, name):
    assert held.plain().answer(request(held.url, f"/{held.token}/{name}"))[0] == 404


@pytest.mark.parametrize("host", ["attacker.example", "attacker.example:{port}", "127.0.0.1", "127.0.0.1:1",
                                  "127.0.0.1:{port}.attacker.example"])
def test_a_name_that_somebody_else_gave_this_address_is_refused(held, host):
    """DNS rebinding: the token is right, as one that leaked, and the name is not ours."""
    port = held.url.partition("//")[2].partition("/")[0].partition(":")[2]
    for path in (None, f"/{held.token}/", f"/{held.token}/socket"):
        assert held.plain().answer(request(held.url, path, host=host.format(port=port)))[0] == 403


def test_localhost_is_a_name_of_it(held):
    port = held.url.partition("//")[2].partition("/")[0].partition(":")[2]
    assert held.plain().answer(request(held.url, host=f"localhost:{port}"))[0] == 303


def test_other_pages_of_the_browser_are_refused(held):
    for origin in ("http://attacker.example", "null", "https://127.0.0.1"):
        assert held.plain().answer(request(held.url, f"/{held.token}/", Origin=origin))[0] == 403
        client = held.client(origin=origin)
        client.wait(lambda client=client: hasattr(client, "status"))
        assert client.status == 403


def test_a_websocket_says_where_it_comes_from(held):
    client = held.client(origin=None)
    client.wait(lambda: hasattr(client, "status"))
    assert client.status == 403


def test_two_hosts_are_none(held):
    twice = request(held.url).replace(b"\r\n\r\n", b"\r\nHost: attacker.example\r\n\r\n")
    assert held.plain().answer(twice)[0] == 400


def test_a_socket_that_is_no_websocket_is_told_so(held):
    assert held.plain().answer(request(held.url, f"/{held.token}/socket"))[0] == 426


def test_nothing_is_posted(held):
    assert held.plain().answer(request(held.url, f"/{held.token}/").replace(b"GET", b"POST"))[0] == 405


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"HELO\r\n\r\n",
                                  b"GET /" + b"a" * 100_000, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 10_000 + b"\r\n"])
def test_what_is_no_request_is_hung_up_on(held, data):
    client = held.plain()
    try:
        client.send(data)
    except (BrokenPipeError, ConnectionResetError):
        return
    client.until(lambda: (client.receive(), client.ended)[1])


def test_only_loopback_is_listened_on(held):
    assert held.console._server._listener.getsockname()[0] == "127.0.0.1"


def test_each_console_has_a_token_of_its_own(held):
    with WebConsole(held.machine, 0, {}) as other:
        assert len(held.token) >= 43 and other.url.partition("token=")[2] != held.token


def test_a_port_that_is_taken_is_an_error(held):
    port = held.console._server.port
    with pytest.raises(ConfigurationError, match=f"port {port}: .* name another port"):
        WebConsole(held.machine, port, {})
    with pytest.raises(ConfigurationError, match="up to 65535"):
        WebConsole(held.machine, 65536, {})


def test_files_are_read_at_the_start(held, tmp_path):
    """The cache may be cleaned while the machine runs."""
    (tmp_path / "main.mjs").unlink()
    assert held.plain().answer(request(held.url, f"/{held.token}/main.mjs"))[::2] == (200, b"export {}")
    with pytest.raises(ConfigurationError, match=r"cannot be read: .*gone\.css"):
        WebConsole(held.machine, 0, {"gone.css": tmp_path / "gone.css"})


# --- What clients send -----------------------------------------------------------------------------------------------

def ended_with(client) -> int:
    client.wait(lambda: client.ended or client.close_code is not None)
    return client.close_code


@pytest.mark.parametrize("frame, code", [
    (masked(0x82, b"", MOST_RECEIVED + 1), TOO_BIG),
    (masked(0x82, b"", 1 << 62), TOO_BIG),
    (masked(0x01, b"a" * MOST_RECEIVED) + masked(0x80, b"a"), TOO_BIG),         # in two parts
    (masked(0x83, b""), PROTOCOL_ERROR),                                        # an opcode that there is not
    (masked(0xC2, b""), PROTOCOL_ERROR),                                        # an extension that nobody spoke of
    (masked(0x80, b""), PROTOCOL_ERROR),                                        # the end of nothing
    (masked(0x09, b""), PROTOCOL_ERROR),                                        # a ping in parts
    (masked(0x89, b"a" * 126), PROTOCOL_ERROR),                                 # a ping that is too long
    (bytes([0x82, 1, 97]), PROTOCOL_ERROR),                                     # without a mask
    (masked(0x81, b"{"), POLICY_VIOLATION),
    (masked(0x81, b"\xff"), POLICY_VIOLATION),
    (masked(0x81, b"[" * 60_000), POLICY_VIOLATION),
    (masked(0x81, b"[]"), POLICY_VIOLATION),
    (masked(0x81, b"{}"), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "close"}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": ["pause"]}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "step"}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "step", "count": 0}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "step", "count": true}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "step", "count": 1e3}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "step", "count": 9999999999999999}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "restore", "number": -1}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "snapshot", "name": "' + b"a" * 81 + b'"}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "button", "button": 5, "down": true}'), POLICY_VIOLATION),
    (masked(0x81, b'{"do": "move", "x": 32768, "y": 0}'), POLICY_VIOLATION),
])
def test_what_no_page_sends_ends_the_connection(held, frame, code):
    client = held.client().opened()
    client.send(frame)
    assert ended_with(client) == code
    assert held.client().opened().last("state")["mode"] == "unserved"      # others are served as before


@pytest.mark.parametrize("behind", [b"\xff\xff", masked(0x88, b""), masked(0x89, b"ping"), bytes([0x82, 1, 97]),
                                    masked(0x81, b"{}"), b"a" * CHUNK],
                         ids=["no opcode", "close", "ping", "no mask", "text", "much"])
@pytest.mark.parametrize("path, status", [("/", 403), ("/{token}/", 200), ("/{token}/socket", 426)])
def test_what_is_behind_a_request_is_not_looked_at(held, path, status, behind):
    """It comes in one piece with it. Nothing but the answer to the request is said."""
    data = request(held.url, path.format(token=held.token)) + behind
    answered, headers, body = held.plain().answer(data[:CHUNK])
    assert answered == status and len(body) == int(headers["content-length"])
    assert held.client().opened().last("state")


def test_a_websocket_may_speak_at_once(held):
    client = held.client()
    client.socket.close()
    data = (b"GET /%s/socket HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n")
    host = held.url.split("/")[2].encode()
    held.plain().send(data % (held.token.encode(), host, host) + masked(0x82, b"a"))
    client.until(lambda: (held.poll(), held.machine.console.unread == 1)[1])


def test_a_request_comes_in_pieces(held):
    client = held.plain()
    *pieces, last = (bytes([byte]) for byte in request(held.url, "/"))
    for piece in pieces:
        client.send(piece)
        held.poll()
    assert client.answer(last)[0] == 403


def test_a_request_without_an_end_is_hung_up_on(held):
    client = held.plain()
    client.send(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (LARGEST_HEAD // 6))
    client.until(lambda: (client.receive(), client.ended)[1])


def test_what_fails_for_one_client_is_not_the_end_of_the_run(held, monkeypatch, caplog):
    page, other = held.client().opened(), held.client().opened()
    (connection, _) = held.console._pages
    monkeypatch.setattr(connection._protocol, "receive_data", lambda data: 1 / 0)
    with caplog.at_level(logging.ERROR, "vm.web"):
        page.type(b"a")
        page.until(lambda: (page.receive(), page.ended)[1])
    assert "ZeroDivisionError" in caplog.text and held.token not in caplog.text
    other.type(b"b")
    other.wait(lambda: held.machine.console.unread == 1)


def test_what_the_machine_raises_for_a_page_comes_out(held, monkeypatch):
    def refuse(data):
        raise RuntimeError("no paper")

    monkeypatch.setattr(held.machine.console, "send", refuse)
    page = held.client().opened()
    page.type(b"a")
    with pytest.raises(RuntimeError, match="no paper"):
        page.until(lambda: held.poll())


def test_a_message_may_come_in_parts(held):
    client = held.client().opened()
    client.say(b'{"do": "pau', fin=False)
    for _ in range(1000):
        client.send(masked(0x00, b""))
    client.send(masked(0x80, b'se"}'))
    client.wait(lambda: client.last("error"))
    assert "does not serve" in client.last("error")["text"]


def test_pings_are_answered_and_do_not_pile_up(held):
    """Who sends them and reads nothing is not read any more, until it reads."""
    client = held.client().opened()
    ping = masked(0x89, b"a" * 125) * 100
    refused = 0
    while refused < 20:                 # looks at which nothing more was taken
        try:
            client.socket.send(ping)
            refused = 0
        except BlockingIOError:
            refused += 1
        held.poll()
    (connection,) = held.console._pages
    assert MOST_UNSENT < connection.unsent < MOST_UNSENT + 2 * CHUNK and not connection.gone


def test_keys_come_to_the_guest(held):
    client = held.client().opened()
    client.type("ä\r".encode())
    client.wait(lambda: held.machine.console.unread == 3)
    assert held.machine.board.uart.take(9) == "ä\r".encode()


def test_keys_that_nobody_reads_are_lost_and_it_says_so(held):
    client = held.client().opened()
    for _ in range(20):
        client.type(b"a" * 60_000)
    client.wait(lambda: client.last("error"))
    assert held.machine.console.unread == 17 * 60_000
    assert [message["text"] for message in client.messages if message["is"] == "error"] == [
        "the guest does not read; what is typed is lost until it does"]


# --- Many, and those who do not read ---------------------------------------------------------------------------------

def test_so_many_clients_and_no_more(held):
    clients = [held.client().opened() for _ in range(MOST_CLIENTS)]
    status, _, body = held.plain().answer(request(held.url))
    assert status == 503 and b"32 pages are open" in body
    held.machine.console.write(b"for all of you")
    for client in clients:
        client.wait(lambda client=client: client.text == b"for all of you")
    clients[0].close()
    held.poll()
    held.client().opened()


def test_who_says_nothing_is_hung_up_on(held, monkeypatch):
    monkeypatch.setattr("vm.web.server.PATIENCE", 1000)
    monkeypatch.setattr("vm.web.server.CALLERS_PATIENCE", 0.05)
    silent, half, refused = held.plain(), held.plain(), held.plain()
    half.send(b"GET / HT")
    refused.send(request(held.url, "/"))
    page = held.client().opened()
    for client in (silent, half):
        client.until(lambda client=client: (client.receive(), client.ended)[1])
    refused.until(lambda: (held.poll(), len(held.console._server._clients) == 1)[1])     # which does not hang up
    page.type(b"a")
    page.wait(lambda: held.machine.console.unread == 1)      # a page may be silent as long as it likes


def test_who_does_not_take_its_answer_is_hung_up_on(held, monkeypatch):
    monkeypatch.setattr("vm.web.server.PATIENCE", 0.05)
    client = held.plain()
    client.send(request(held.url))
    client.until(lambda: (held.poll(), any(one.admitted for one in held.console._server._clients.values()))[1])
    client.until(lambda: (held.poll(), not held.console._server._clients)[1])


def test_who_has_no_token_takes_no_place(held):
    """However many they are; the last of them are heard."""
    callers = [held.plain() for _ in range(MOST_CALLERS + 10)]
    for _ in callers:
        held.poll()
    assert len(held.console._server._clients) == MOST_CALLERS
    pages = [held.client().opened() for _ in range(3)]
    callers[0].until(lambda: (callers[0].receive(), callers[0].ended)[1])
    assert callers[-1].answer(request(held.url, "/"))[0] == 403
    assert len(held.console._pages) == len(pages)


def test_without_descriptors_it_waits(held, monkeypatch):
    """And does not look again and again at who calls."""
    monkeypatch.setattr("vm.web.server.DEAF", 0.2)
    caller = held.plain()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    first_free = os.open("/dev/null", os.O_RDONLY)
    os.close(first_free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, hard))
    try:
        held.machine.inputs.poll(0)
        assert not select.select([held.console._server._selector.fileno()], [], [], 0)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert caller.answer(request(held.url, "/"))[0] == 403


def test_a_page_that_shows_nothing_gets_no_more_text(held):
    """It misses what was printed meanwhile, but for the end: nothing waits for it, and nothing piles up."""
    client = held.client(acknowledging=False).opened()
    held.machine.console.write(b"x" * 100 + b"\n")
    for number in range(40):
        held.machine.console.write(b"%06d\n" % number * 10_000)
        for _ in range(3):
            client.look()
    assert MOST_UNSHOWN <= len(client.text) < 2 * MOST_UNSHOWN
    client.ask("shown", bytes=len(client.text))
    client._acknowledging = True
    client.wait(lambda: client.text.endswith(b"000039\n"))
    assert LIMIT <= len(client.text) <= 2 * LIMIT
    assert client.text.splitlines()[0] in {b"%06d" % number for number in range(40)}      # it begins with a whole line


def test_a_client_that_reads_nothing_is_given_up(held):
    client = held.client().opened()
    other = held.client().opened()
    (stuck, _) = held.console._pages
    for _ in range(MOST_KEPT // 1000):
        held.console._complain("a" * 4000)
        other.look()
        if stuck.gone:
            break
    assert stuck.gone and len(held.console._pages) == 1
    assert len([message for message in other.messages if message["is"] == "error"]) > 1000
    client.close()


def test_descriptors_are_given_back(held):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        client = held.client().opened()
        client.close()
        held.poll()
        held.plain().answer(request(held.url, "/"))
    for client in held.clients:
        client.close()
    for _ in range(5):
        held.poll()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_closing_hangs_up_and_twice_is_harmless(held):
    mirror = held.machine.console.mirror
    client = held.client().opened()
    held.console.close()
    held.console.close()
    client.until(lambda: (client.receive(), client.ended)[1])
    assert not held.machine.inputs._watched and mirror is not None and held.machine.console.mirror is None
