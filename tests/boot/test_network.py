"""Debian's kernel on the user-mode network, with sockets of this process at the far end."""

import hashlib
import http.server
import re
import socket
import threading

import pytest

import vm
from vm.devices import Network
from vm.images import debian
from vm.net import User

pytestmark = pytest.mark.network

DATA = hashlib.shake_256(b"what is downloaded").digest(8 << 20)
DIGEST = hashlib.sha256(DATA).hexdigest()


class Files(http.server.BaseHTTPRequestHandler):
    """DATA, whatever is asked for."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(DATA)))
        self.end_headers()
        self.wfile.write(DATA)

    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def port():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def booted(**settings):
    """A machine at its prompt, and its network."""
    machine = vm.Machine(memory="512M")
    net = User(allow=["default", "host"], **settings)
    machine.attach(Network(net))
    machine.boot(*debian())
    return machine, machine.shell(), net


@pytest.fixture(scope="module")
def guest():
    machine, shell, net = booted(hostfwd=["tcp:127.0.0.1:0-:80"])
    with machine:
        yield machine, shell, net


def test_the_guest_has_an_address_and_a_way_out(guest):
    _, shell, _ = guest
    assert "inet 10.0.2.15/24" in shell.run("ip addr show dev eth0").output
    assert "default via 10.0.2.2" in shell.run("ip route").output
    assert shell.run("cat /etc/resolv.conf").output == "nameserver 10.0.2.3\n"
    assert re.search("3 packets received, 0% packet loss", shell.run("ping -c 3 -i 0.1 10.0.2.2").output)


def test_ipv6_by_the_router_s_advertisement(guest):
    _, shell, _ = guest
    assert shell.run("i=0; until ip -6 addr show dev eth0 | grep -v tentative | grep -q 'inet6 fec0::'; "
                     "do sleep 1; i=$((i+1)); [ $i -lt 20 ]; done").status == 0
    assert "0% packet loss" in shell.run("ping -6 -c 1 fec0::2").output
    assert "default via fe80::2" in shell.run("ip -6 route").output


def test_a_download(guest, port):
    _, shell, _ = guest
    assert shell.run(f"wget -q -O - http://10.0.2.2:{port}/file | sha256sum", seconds=600).output.split()[0] == DIGEST
    assert shell.run(f"wget -q -O - http://[fec0::2]:{port}/file | sha256sum", seconds=600).output.split()[0] == DIGEST


def test_an_upload(guest):
    machine, shell, _ = guest
    with socket.create_server(("127.0.0.1", 0)) as server:
        received = hashlib.sha256()

        def take():
            connection, _ = server.accept()
            with connection:
                while data := connection.recv(1 << 20):
                    received.update(data)
                connection.sendall(b"thanks\n")

        taking = threading.Thread(target=take)
        taking.start()
        sent = shell.run(f"dd if=/dev/urandom of=/tmp/data bs=1M count=4 2>/dev/null; sha256sum < /tmp/data; "
                         f"nc 10.0.2.2 {server.getsockname()[1]} < /tmp/data", seconds=600).output.split()
        taking.join()
    assert sent[0] == received.hexdigest() and sent[-1] == "thanks"     # the guest's end is half closed by then


def test_nobody_listens(guest):
    _, shell, _ = guest
    result = shell.run("wget -O - http://10.0.2.2:1/")
    assert result.status != 0 and "Connection refused" in result.output


def test_a_service_of_the_guest(guest):
    machine, shell, net = guest
    shell.run("mkdir -p /tmp/www; echo 'from the guest' > /tmp/www/index.html; httpd -p 80 -h /tmp/www")
    answer = bytearray()

    def ask():
        with socket.create_connection(("127.0.0.1", net.forwarded[0].port), timeout=60) as sock:
            sock.sendall(b"GET /index.html HTTP/1.0\r\n\r\n")
            while data := sock.recv(1000):
                answer.extend(data)

    asking = threading.Thread(target=ask)
    asking.start()
    machine.run(until=lambda _: not asking.is_alive(), timeout=60)
    assert b" 200 OK" in answer and answer.endswith(b"from the guest\n")


def test_what_is_downloaded_is_replayed_without_a_network(port):
    machine, shell, net = booted()
    with machine:
        start = machine.snapshot()
        recording = machine.record()
        download = f"wget -q -O - http://10.0.2.2:{port}/file | sha256sum"
        said = shell.run(f"{download}; ping -c 1 10.0.2.2", seconds=600).output
        assert DIGEST in said and "1 packets received" in said
        log = recording.stop()
        steps, output = machine.steps, machine.console.output
    with vm.replay(start, log) as again:
        assert again.run().reason is vm.StopReason.REPLAYED
        assert (again.steps, again.console.output) == (steps, output)
        assert not again.board.devices["virtio0"].device.link._connections


def test_a_restored_guest_s_connections_are_reset(guest, port):
    """The far end has gone on meanwhile."""
    machine, shell, net = guest
    shell.run(f"(sleep 2; echo GET /; sleep 60) | nc 10.0.2.2 {port} & sleep 1")
    assert len(net._connections) == 1 and shell.run("pidof nc").status == 0
    saved = machine.snapshot()
    for connection in list(net._connections.values()):
        connection.abandon()
    machine.restore(saved)
    assert shell.run("sleep 3; pidof nc").status == 1
    assert "1 packets received" in shell.run("ping -c 1 10.0.2.2").output


MANY = 1000
# All are there before the first says something; one in four says nothing more, and hears the answer all the same.
TALKS_TO_MANY = r"""
use IO::Socket::INET;
my @all = map { IO::Socket::INET->new("10.0.2.2:%d") or die "$_: $!" } 1..%d;
for my $i (0..$#all) { syswrite $all[$i], "$i\n"; shutdown $all[$i], 1 if $i %% 4 == 0; }
for my $i (0..$#all) { my $answer = readline $all[$i]; $answer eq "$i\n" or die "$i: $answer"; }
print scalar(@all), " answered\n";
"""


def test_a_thousand_connections_at_once():
    with socket.create_server(("127.0.0.1", 0), backlog=MANY) as server:
        def answer():
            connections = [server.accept()[0] for _ in range(MANY)]
            for connection in connections:
                connection.sendall(connection.recv(100))
                connection.close()

        answering = threading.Thread(target=answer)
        answering.start()
        with vm.Machine(memory="512M") as machine:
            machine.attach(Network(User(allow=["host"])))
            machine.boot(*debian(["perl-base"]))
            shell = machine.shell()
            program = TALKS_TO_MANY % (server.getsockname()[1], MANY)
            said = shell.run(f"ulimit -n 2000; perl -e '{program}'", seconds=600).output
        answering.join()
    assert said.endswith(f"{MANY} answered\n")
