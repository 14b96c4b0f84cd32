"""`--net`: what it makes of a description."""

import pytest

from tests.cli.conftest import assert_fails_with_one_line
from vm.cli.net import open_network
from vm.cli.options import open_networks


def test_user():
    card = open_network("user,hostfwd=tcp::0-:22,hostfwd=udp::0-:53,allow=host,allow=192.168.0.0/16,restrict,"
                        "net=10.9.0.0/24,net6=fd00::/64,dns=192.0.2.1,hostname=guest,mac=02:00:00:00:00:07,mtu=1400")
    assert card.mac == 0x02_00_00_00_00_07 and card.mtu == card.link.mtu == 1400
    assert card.link.policy.allow == ("host", "192.168.0.0/16") and card.link.restrict
    assert [forward.guest_port for forward in card.link._forwards] == [22, 53]
    assert str(card.link.addresses.guest) == "10.9.0.15" and card.link.host_name == "guest"


def test_stream():
    card = open_network("stream,connect=127.0.0.1:1234,mtu=9000")
    assert card.link.address == "127.0.0.1:1234" and card.mtu == 9000
    assert open_network("socket,listen=:0").link._listens


@pytest.mark.parametrize("text, message", [
    ("bridge", "there is no 'bridge'; choose from user, stream, socket, none"),
    ("user,hostfw=x", "'hostfw=x' is none of"),
    ("user,restrict=on", "'restrict=on' is none of"), ("user,net", "'net' is none of"),
    ("user,mac=1", "write it as mac=52:54:00:12:34:56"), ("user,mtu=big", "write it as mtu=1500"),
    ("user,pcap=", "write it as pcap=frames.pcap"), ("user,mtu=1400,mtu=1500", "mtu is said twice"),
    ("user,restrict,restrict", "restrict is said twice"), ("none,mtu=1500", "none is no card"),
    ("stream,listen=1234", "1234: write a port as 127.0.0.1:1234"),
    ("user,mac=01:00:00:00:00:00", "bit 40"), ("user,hostfwd=22", "hostfwd=22"), ("user,allow=x", "allow=x"),
])
def test_what_makes_no_sense(vm, tmp_path, text, message):
    program = tmp_path / "program"
    program.write_bytes(bytes(4))
    process = vm("run", "--address", "0x80000000", "--net", text, str(program))
    assert message in assert_fails_with_one_line(process, code=2)


def test_none_goes_alone(vm, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(bytes(4))
    arguments = ["run", "--address", "0x80000000", "--net", "none", "--net", "user", str(program)]
    assert "--net none goes with no other --net" in assert_fails_with_one_line(vm(*arguments), code=2)


def test_each_card_has_an_address_of_its_own():
    cards = open_networks(["user", "user,mac=52:54:00:00:00:01", "stream,listen=127.0.0.1:0"])
    assert [card.mac for card in cards] == [0x5254_0012_3456, 0x5254_0000_0001, 0x5254_0012_3458]
    for card in cards:
        card.close()
