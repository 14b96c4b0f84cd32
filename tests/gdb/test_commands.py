"""Each packet of the protocol, by a socket: registers, memory, threads, documents, what is not known."""

import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import vm
from tests.gdb.conftest import SECONDS, Client, debugging
from vm.gdb.packets import framed

LOOP = "1: addi t0, t0, 1; j 1b"
RAM = 0x8000_0000
TEXT = "Übergröße"                  # not in ASCII


@pytest.fixture
def stub(debugged):
    return debugged(LOOP, harts=2)


def little(value: int, size: int = 8) -> str:
    return value.to_bytes(size, "little").hex()


def hexed(text: str) -> str:
    return text.encode().hex()


def test_features(stub):
    told = stub.ask("qSupported:multiprocess+;swbreak+;hwbreak+;qRelocInsn+;xmlRegisters=i386").split(";")
    assert {"QStartNoAckMode+", "qXfer:features:read+", "qXfer:memory-map:read+", "vContSupported+", "swbreak+",
            "hwbreak+", "ReverseStep+", "ReverseContinue+"} <= set(told)
    (size,) = [int(feature.partition("=")[2], 16) for feature in told if feature.startswith("PacketSize=")]
    assert size >= 1 << 16


def test_what_is_not_known_is_answered_by_nothing(stub):
    for packet in ("", "vMustReplyEmpty", "qOffsets", "qTStatus", "QNonStop:1", "vRun;x", "R00", "i", "t",
                   "qCRC:0", "Z5,0,1", "vFile:open:00", "\xff\xfe", "qXfer:auxv:read::0,10", "bx", "Hx1"):
        assert stub.ask(packet.encode("latin-1")) == "", packet


def test_small_questions(stub):
    assert stub.ask("qAttached") == "1"
    assert stub.ask("qSymbol::") == "OK"
    assert stub.ask("qC") == "QC1"
    assert stub.ask("vCont?") == "vCont;c;C;s;S;r"


def test_acknowledgements(stub):
    stub.raw(framed(b"qC"))
    assert stub.socket.recv(1) == b"+"
    assert stub.reply() == "QC1"
    stub.raw(b"-")
    assert stub.reply() == "QC1"                            # once more
    stub.raw(b"+$qC#00")
    assert stub.socket.recv(1) == b"-"
    assert stub.ask("QStartNoAckMode") == "OK"
    stub.raw(framed(b"qC"))
    assert stub.socket.recv(1) == b"$"                      # and no `+` before it


# --- Registers -------------------------------------------------------------------------------------------------------

def test_registers(stub):
    hart = stub.machine.harts[0]
    hart.x[5], hart.f_bits[3] = 0x1122334455667788, 0x3FF0000000000000
    told = bytes.fromhex(stub.ask("g"))
    values = [int.from_bytes(told[at : at + 8], "little") for at in range(0, len(told), 8)]
    assert values == [*hart.x, RAM, *hart.f_bits]
    for number, value in enumerate(values):
        assert stub.register(number) == value


def test_register_can_be_written(stub):
    assert stub.ask(f"Pa={little(0xFFFFFFFFFFFFFFFE)}") == "OK"
    assert stub.ask(f"P20={little(RAM + 4)}") == "OK"
    assert stub.ask(f"P21={little(0x4000000000000000)}") == "OK"
    assert stub.ask(f"P{65 + 0x340:x}={little(0x55)}") == "OK"      # mscratch
    assert stub.ask(f"P{65 + 4096:x}={little(1)}") == "OK"
    hart = stub.machine.harts[0]
    assert (hart["a0"], hart.pc, hart.f[0], hart["mscratch"], hart.privilege) == (2**64 - 2, RAM + 4, 2.0, 0x55, 1)


def test_all_registers_at_once(stub):
    wanted = [0, *range(100, 131), RAM + 8, *range(200, 232)]
    assert stub.ask("G" + "".join(map(little, wanted))) == "OK"
    assert stub.ask("g") == "".join(map(little, wanted))
    hart = stub.machine.harts[0]
    assert [*hart.x, hart.pc, *hart.f_bits] == wanted


@pytest.mark.parametrize("packet", [
    "p", "pzz", "p1042", "pffffffff", f"p{65 + 0x123:x}", "P", "P5", "P5=", "P5=11", f"P5={'0' * 18}",
    "P20=" + little(1),
    f"P{65 + 4096:x}={little(2)}", f"P{65 + 0xF11:x}={little(2)}", "G", "G00", "Gxx", f"G{'0' * 1042}",
])
def test_registers_that_cannot_be(stub, packet):
    before = stub.ask("g")
    assert stub.ask(packet) == "E01"
    assert stub.ask("g") == before


def test_hart_without_floats(debugged):
    stub = debugged(LOOP, isa="rv64imac_zicsr")
    assert len(stub.ask("g")) == 33 * 16
    assert stub.ask("p21") == "E01"
    assert "org.gnu.gdb.riscv.fpu" not in stub.ask("qXfer:features:read:target.xml:0,20000")


# --- Documents -------------------------------------------------------------------------------------------------------

def test_description(stub):
    """Features and names are those that the GDB manual requires of RISC-V."""
    target = ElementTree.fromstring(stub.ask("qXfer:features:read:target.xml:0,20000")[1:])
    assert target.findtext("architecture") == "riscv:rv64"
    features = {feature.get("name"): {register.get("name"): int(register.get("regnum"))
                                      for register in feature.iter("reg")} for feature in target.iter("feature")}
    names = features["org.gnu.gdb.riscv.cpu"]
    assert [names[name] for name in ("zero", "ra", "sp", "a0", "t6", "pc")] == [0, 1, 2, 10, 31, 32]
    assert len(names) == 33
    floats = features["org.gnu.gdb.riscv.fpu"]
    assert (floats["ft0"], floats["ft11"], floats["fcsr"]) == (33, 64, 65 + 3)
    assert features["org.gnu.gdb.riscv.virtual"] == {"priv": 65 + 4096}
    csrs = features["org.gnu.gdb.riscv.csr"]
    assert (csrs["mstatus"], csrs["satp"], csrs["mhartid"]) == (65 + 0x300, 65 + 0x180, 65 + 0xF14)
    hart = stub.machine.harts[0]
    for name in ("mhartid", "mstatus", "misa", "mtvec"):
        assert stub.register(csrs[name]) == hart[name]
    everything = [number for feature in features.values() for number in feature.values()]
    assert len(everything) == len(set(everything))
    assert "E" not in {stub.ask(f"p{number:x}")[0] for number in everything}


def test_document_in_pieces(stub):
    whole = stub.ask("qXfer:features:read:target.xml:0,20000")
    assert whole[0] == "l"
    pieces = [stub.ask(f"qXfer:features:read:target.xml:{at:x},fb") for at in range(0, len(whole) - 1, 0xFB)]
    assert "".join(piece[1:] for piece in pieces) == whole[1:]
    assert [piece[0] for piece in pieces] == ["m"] * (len(pieces) - 1) + ["l"]
    assert stub.ask("qXfer:features:read:target.xml:ffffff,10") == "l"


@pytest.mark.parametrize("packet, answer", [
    ("qXfer:features:read:other.xml:0,100", "E00"), ("qXfer:features:write:target.xml:0:00", "E01"),
    ("qXfer:features:read:target.xml:0", "E01"), ("qXfer:features:read:target.xml:-1,4", "E01"), ("qXfer", "E01"),
    ("qXfer:threads:read:x:0,100", ""), ("qXfer:::::", "E01"),
])
def test_document_that_there_is_not(stub, packet, answer):
    assert stub.ask(packet) == answer


def test_memory_map_covers_all_addresses():
    """Addresses outside of a map are refused by GDB: the virtual ones of a kernel must not be."""
    with vm.Machine(board="bare") as machine:
        machine.map(0x1000, 0x1000, "rom")
        machine.map(0x4000, 0x1000)
        with debugging(machine) as stub:
            regions = ElementTree.fromstring(stub.ask("qXfer:memory-map:read::0,4000")[1:])
            told = [(region.get("type"), int(region.get("start"), 16), int(region.get("length"), 16))
                    for region in regions]
    assert [kind for kind, _, _ in told] == ["ram", "rom", "ram", "ram"]
    assert told[1] == ("rom", 0x1000, 0x1000)
    at = 0
    for _, start, length in told:
        assert start == at and length < 1 << 64
        at += length
    assert at == 1 << 64


# --- Memory ----------------------------------------------------------------------------------------------------------

def test_memory(stub):
    assert stub.ask(f"M{RAM + 0x1000:x},4:0123abCD") == "OK"
    assert stub.ask(f"m{RAM + 0x1000:x},4") == "0123abcd"
    assert stub.ask(b"X%x,5:a}\x03b}]c" % (RAM + 0x1FFE)) == "OK"          # across pages, `#` and `}` escaped
    assert stub.machine.memory.read(RAM + 0x1FFE, 5) == b"a#b}c"
    assert stub.ask(f"X{RAM:x},0:") == "OK"
    assert stub.ask(f"m{RAM + 0x1000:X},8") == "0123abcd00000000"


def test_much_memory_in_one_packet(stub):
    data = bytes(range(256)) * 256
    assert stub.ask(f"M{RAM + 0x1000:x},{len(data):x}:{data.hex()}") == "OK"
    assert stub.ask(f"m{RAM + 0x1000:x},{len(data):x}") == data.hex()


def test_memory_up_to_where_there_is_none(stub):
    """The manual: the reply may hold fewer bytes, if only a part could be read."""
    end = RAM + (2 << 20)
    assert stub.ask(f"m{end - 4:x},10") == "00000000"
    assert stub.ask(f"m{end:x},4").startswith("E")
    assert stub.ask(f"M{end:x},1:00").startswith("E")
    assert stub.ask("mffffffffffffffff,1").startswith("E")


@pytest.mark.parametrize("packet", ["m", "m,", "m80000000", "m80000000,0", "m80000000,zz", "m-1,4",
                                    "m1ffffffffffffffff,1",
                                    "M80000000,4:00", "M80000000,1:0", "M80000000,1", "M80000000,1:xx",
                                    "X80000000,2:a", "X80000000", "m0x80000000,4", "m80000000, 4", "m8_0,4"])
def test_memory_that_is_asked_for_wrongly(stub, packet):
    assert stub.ask(packet) == "E01"


def test_code_that_is_written_is_executed(debugged):
    stub = debugged("1: li a0, 1; j 1b")
    assert stub.ask("vCont;s").startswith("T05")
    assert stub.machine.harts[0]["a0"] == 1
    assert stub.ask(f"M{RAM:x},2:0945") == "OK"                            # c.li a0, 2
    assert stub.ask("vCont;s").startswith("T05")
    assert stub.ask("vCont;s").startswith("T05")
    assert stub.machine.harts[0]["a0"] == 2


PAGED = """
    la   t0, root
    srli t0, t0, 12
    li   t1, 8 << 60
    or   t0, t0, t1
    csrw satp, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 1 << 11            # MPP: S
    csrs mstatus, t0
    la   t0, supervisor
    csrw mepc, t0
    mret
supervisor:
    nop
    j    supervisor
    .balign 4096
root:
    .dword 0x200000d7           # 0: RAM for U, a gigabyte: a kernel may not read it without SUM
    .dword 0
    .dword 0x200000cb           # 0x80000000: code that cannot be written
    .zero 4096 - 24
"""


def test_virtual_memory_whatever_its_permissions(debugged):
    stub = debugged(PAGED)
    stub.ask(f"Z0,{stub.address('supervisor'):x},2")
    assert "swbreak" in stub.ask("c")
    assert stub.machine.harts[0].privilege == 1
    code = stub.machine.memory.read(RAM, 8).hex()
    assert stub.ask("m0,8") == stub.ask(f"m{RAM:x},8") == code
    assert stub.ask("M5000,2:abcd") == "OK"
    assert stub.ask(f"M{RAM + 0x6000:x},2:1234") == "OK"
    assert stub.machine.memory.read(RAM + 0x5000, 2) == b"\xab\xcd"
    assert stub.machine.memory.read(RAM + 0x6000, 2) == b"\x12\x34"
    assert stub.ask("m40000000,1") == "E0e"                                # no page
    assert stub.machine.harts[0].privilege == 1


def test_physical_memory(debugged):
    """As QEMU has it: `maint packet Qqemu.PhyMemMode:1`."""
    stub = debugged(PAGED)
    stub.ask(f"Z0,{stub.address('supervisor'):x},2")
    stub.ask("c")
    assert stub.ask("m10000005,1") == "E0e"                                 # the UART, which nothing maps
    assert stub.ask("qqemu.PhyMemMode") == "0"
    assert stub.ask("Qqemu.PhyMemMode:1") == "OK"
    assert stub.ask("qqemu.PhyMemMode") == "1"
    assert stub.ask("m10000005,1") == "60"                                  # its line status: nothing to send
    assert stub.ask("m0,4").startswith("E")
    assert stub.ask("Qqemu.PhyMemMode:0") == "OK"
    assert stub.ask("m0,4") == stub.machine.memory.read(RAM, 4).hex()


ALIASED = """
    la   t0, root
    srli t0, t0, 12
    li   t1, 8 << 60
    or   t0, t0, t1
    csrw satp, t0
    li   t0, 0x1f
    csrw pmpcfg0, t0
    li   t0, -1
    csrw pmpaddr0, t0
    li   t0, 1 << 11
    csrs mstatus, t0
    la   t0, supervisor
    csrw mepc, t0
    mret
supervisor:
    li   t0, 0x40100000
    li   t1, 0x80100000
    sd   t2, 0(t0)
first:
    sd   t2, 0(t1)
second:
    j    supervisor
    .balign 4096
root:
    .dword 0, 0x200000cf, 0x200000cf        # RAM twice
    .zero 4096 - 24
"""


@pytest.mark.parametrize("physical, address, stops", [
    (0, 0x4010_0000, ["first", "first"]), (0, RAM + 0x10_0000, ["second", "second"]),
    (1, RAM + 0x10_0000, ["first", "second"]),
])
def test_watchpoint_is_one_of_the_addresses_that_the_debugger_has(debugged, physical, address, stops):
    stub = debugged(ALIASED)
    stub.ask(f"Z0,{stub.address('supervisor'):x},4")
    assert "swbreak" in stub.ask("c")
    stub.ask(f"z0,{stub.address('supervisor'):x},4")
    assert stub.ask(f"Qqemu.PhyMemMode:{physical}") == "OK"
    assert stub.ask(f"Z2,{address:x},8") == "OK"
    for place in stops:
        assert f"watch:{address:x};" in stub.ask("c") and stub.pc() == stub.address(place)


# --- Threads ---------------------------------------------------------------------------------------------------------

def test_threads(stub):
    assert stub.ask("qfThreadInfo") == "m1,2"
    assert stub.ask("qsThreadInfo") == "l"
    assert (stub.ask("T1"), stub.ask("T2"), stub.ask("T3"), stub.ask("Tx"), stub.ask("T")) == (
        "OK", "OK", "E01", "E01", "E01")
    assert bytes.fromhex(stub.ask("qThreadExtraInfo,2")).decode() == "hart 1: started, M"
    assert stub.ask("qThreadExtraInfo,9") == "E01"
    threads = ElementTree.fromstring(stub.ask("qXfer:threads:read::0,1000")[1:])
    assert [(thread.get("id"), thread.get("name")) for thread in threads] == [("1", "hart 0"), ("2", "hart 1")]


def test_selected_thread(stub):
    mhartid = 65 + 0xF14
    assert stub.register(mhartid) == 0
    assert stub.ask("Hg2") == "OK"
    assert (stub.register(mhartid), stub.ask("qC")) == (1, "QC2")
    assert stub.ask("Hgp1.1") == "OK"
    assert stub.register(mhartid) == 0
    for any_or_all in ("Hg0", "Hg-1", "Hc0", "Hc-1"):
        assert stub.ask(any_or_all) == "OK"
    for wrong in ("H", "Hg", "Hg3", "Hgx", "Hc99999999", "Hg-2", "Hc12345678901"):
        assert stub.ask(wrong) in ("E01", ""), wrong
    assert stub.register(mhartid) == 0


# --- monitor ---------------------------------------------------------------------------------------------------------

def test_monitor(stub):
    assert "info registers" in stub.monitor("help")
    assert "info registers" in stub.monitor("")
    assert stub.monitor("nonsense").startswith("there is no command nonsense\n")
    stub.machine.harts[1]["a0"] = 0xABC
    assert stub.monitor("info registers 1") == f"{stub.machine.harts[1]}\n"
    assert stub.monitor("info registers") == f"{stub.machine.harts[0]}\n"
    assert "misa" in stub.monitor("info csr 1")
    assert stub.monitor("info harts").count("<hart") == 2
    for wrong in ("info", "info x", "info csr 2", "info csr x", "info csr 0 0"):
        assert stub.monitor(wrong).startswith("info registers or info csr")
    assert stub.ask("qRcmd,abc") == "E01"
    assert stub.ask("qRcmd") == stub.ask("qRcmd,") == "OK"


def test_monitor_reset(stub):
    stub.ask("vCont;s:1")
    assert stub.pc() != RAM
    assert "has been reset" in stub.monitor("reset")
    assert stub.pc() == RAM


def test_python_only_where_nobody_else_can_come(stub, debugged, tmp_path):
    """A TCP port can be reached by other users of the computer, and by pages that a browser shows."""
    assert "whoever reaches this port" in stub.monitor("py machine.steps")
    private = debugged(LOOP, where=str(tmp_path / "gdb"))
    assert private.monitor("py machine.steps") == "0\n"
    assert private.monitor("py x = hart.id + 41") == ""
    assert private.monitor(f"py print(x + 1); print('{TEXT}')") == f"42\n{TEXT}\n"
    assert private.monitor("py 1 / 0").endswith("ZeroDivisionError: division by zero\n")
    assert "SyntaxError" in private.monitor("py if")
    long = private.monitor("py 'x' * 10_000")
    assert len(long) == 10_003


# --- Connections -----------------------------------------------------------------------------------------------------

def test_loopback_unless_told(stub):
    assert stub.server.address.startswith("127.0.0.1:")


def test_second_debugger_is_hung_up_on(stub):
    other = Client(stub.server.address)
    assert other.socket.recv(10) == b""
    assert stub.ask("qC") == "QC1"


def test_browser_is_hung_up_on(debugged):
    """Whatever a page has it send behind the header of HTTP."""
    stub = debugged(LOOP)
    stub.raw(b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + framed(b"M80000000,1:00"))
    assert stub.socket.recv(10) == b""
    stub.client = Client(stub.server.address)
    assert stub.ask("m80000000,1") != "00"


def test_packet_that_comes_with_a_second_debugger():
    """Whether the first is gone is asked by taking what it has sent; then there is nothing left to take."""
    with vm.Machine(memory="2M") as machine, machine.gdb(0, wait=True) as server:
        first = Client(server.address)
        machine.inputs.poll()                   # it is let in
        first.send("qC")
        second = Client(server.address)         # both can be read now
        serving = threading.Thread(target=server.serve, daemon=True)
        serving.start()
        assert first.reply() == "QC1"
        first.send("k")
        serving.join(SECONDS)
        assert not serving.is_alive()
        second.close()
        first.close()


def test_socket_in_the_file_system(debugged, tmp_path):
    path = tmp_path / "gdb"
    stub = debugged(LOOP, where=str(path))
    assert stub.ask("qC") == "QC1"
    assert path.stat().st_mode & 0o077 == 0
    with vm.Machine(memory="2M") as machine, pytest.raises(vm.ConfigurationError, match=r"gdb.*in use.*another"):
        machine.gdb(str(path))
    stub.finish()
    assert not path.exists()


@pytest.mark.parametrize("where", [70000, "127.0.0.1:99999", "no.such.host.invalid:1", "/no/such/folder/gdb",
                                   "192.0.2.1:0"])
def test_place_where_none_can_come(where):
    with vm.Machine(memory="2M") as machine, pytest.raises(vm.ConfigurationError):
        machine.gdb(where)


@pytest.mark.parametrize("where", ["localhost", "foo:bar", "127.0.0.1", "localhost:", ":x", "[::1]", "gdb.sock", "", -3,
                                   "-3", None, 1.5])
def test_what_looks_like_a_host_makes_no_file(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with vm.Machine(memory="2M") as machine, pytest.raises(vm.ConfigurationError, match="a port is .*HOST:PORT.*slash"):
        machine.gdb(where)
    assert not list(tmp_path.iterdir())


def test_file_is_not_taken_for_a_socket_that_is_in_use(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("firmware.elf").write_bytes(b"ELF")
    with vm.Machine(memory="2M") as machine:
        for where in ("firmware.elf", "./firmware.elf"):
            with pytest.raises(vm.ConfigurationError, match=r"firmware.elf.* a file is"):
                machine.gdb(where)
    assert Path("firmware.elf").read_bytes() == b"ELF"


def test_machine_that_runs_waits_for_no_debugger(stub):
    machine = stub.machine
    with pytest.raises(vm.MachineBusy, match="gdb"):
        machine.run(10, until=lambda machine: machine.gdb(0))


def test_port_in_use(stub):
    port = stub.server.address.rpartition(":")[2]
    with vm.Machine(memory="2M") as machine, pytest.raises(vm.ConfigurationError, match=f"{port}.*another port"):
        machine.gdb(port)
