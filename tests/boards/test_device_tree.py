"""The device tree, read back by `dtc` and compared with the one that QEMU makes for its `virt` board."""

import re
import subprocess

import fdt
import pytest

from tests.tools import needs, require
from vm.loaders import Range


def dtc(blob):
    """What dtc has to say about a tree."""
    return subprocess.run(["dtc", "-I", "dtb", "-O", "dts"], input=blob, capture_output=True, check=True).stderr


def paths(node, path=""):
    """All nodes by path, each a dict of its properties as bytes."""
    found = {path or "/": {prop.name: value(prop) for prop in node.props}}
    for child in node.nodes:
        found |= paths(child, f"{path}/{child.name}")
    return found


def value(prop):
    return prop.to_dtb("")[0][12:]


def read(blob):
    return paths(fdt.parse_dtb(blob).root)


def cells(data):
    return [int.from_bytes(data[at:at + 4], "big") for at in range(0, len(data), 4)]


def strings(data):
    return data.rstrip(b"\0").decode().split("\0")


@pytest.fixture(scope="module")
def qemu(tmp_path_factory):
    """qemu(harts, options of the board) -> the nodes of QEMU's tree for 512 MiB."""
    require("qemu-system-riscv64")
    folder = tmp_path_factory.mktemp("qemu")
    made = {}

    def qemu(harts, board="virt"):
        if (harts, board) not in made:
            blob = folder / f"{len(made)}.dtb"
            subprocess.run(["qemu-system-riscv64", "-M", f"{board},dumpdtb={blob}", "-m", "512M", "-smp", str(harts),
                            "-display", "none"], check=True, capture_output=True)
            made[harts, board] = read(blob.read_bytes())
        return made[harts, board]
    return qemu


@needs("dtc")
def test_dtc_finds_no_fault(make_board):
    blob = make_board(harts=2).device_tree(b"console=ttyS0 root=/dev/vda", Range(0x8820_0000, 12345))
    assert dtc(blob).decode().splitlines() == []


SAME_IN_QEMU = [
    "/soc/test@100000", "/soc/rtc@101000", "/soc/clint@2000000", "/soc/plic@c000000", "/soc/serial@10000000",
    *(f"/soc/virtio_mmio@{0x10001000 + 0x1000 * slot:x}" for slot in range(8)), "/memory@80000000",
    "/poweroff", "/reboot", "/soc", "/cpus", "/cpus/cpu@0/interrupt-controller",
]


@pytest.mark.parametrize("harts", [1, 4])
@pytest.mark.parametrize("path", SAME_IN_QEMU)
def test_node_is_as_in_qemu(make_board, qemu, harts, path):
    """Every property that QEMU gives a node has the same value here; phandles are numbered differently."""
    ours, theirs = read(make_board(harts).device_tree())[path], dict(qemu(harts)[path])
    for name in ("phandle", "interrupt-parent", "interrupts-extended", "regmap"):
        assert (name in ours) == (name in theirs)
        theirs.pop(name, None)
    theirs.pop("riscv,ndev", None)          # 96 up to QEMU 7.2, which counts the source 0 that is none; 95 from 8.0
    assert {name: ours.get(name) for name in theirs} == theirs


def targets(nodes, data):
    """interrupts-extended as (path of the controller, interrupt)."""
    by_phandle = {cells(props["phandle"])[0]: path for path, props in nodes.items() if "phandle" in props}
    flat = cells(data)
    return [(by_phandle[flat[at]], flat[at + 1]) for at in range(0, len(flat), 2)]


@pytest.mark.parametrize("harts", [1, 4])
@pytest.mark.parametrize("path", ["/soc/clint@2000000", "/soc/plic@c000000"])
def test_interrupts_reach_the_harts_as_in_qemu(make_board, qemu, harts, path):
    ours, theirs = read(make_board(harts).device_tree()), qemu(harts)
    assert targets(ours, ours[path]["interrupts-extended"]) == targets(theirs, theirs[path]["interrupts-extended"])


def test_phandles_lead_to_their_nodes(make_board):
    nodes = read(make_board(harts=2).device_tree())
    by_phandle = {props["phandle"]: path for path, props in nodes.items() if "phandle" in props}
    assert by_phandle[nodes["/soc/serial@10000000"]["interrupt-parent"]] == "/soc/plic@c000000"
    assert by_phandle[nodes["/poweroff"]["regmap"]] == "/soc/test@100000"
    assert by_phandle[nodes["/cpus/cpu-map/cluster0/core1"]["cpu"]] == "/cpus/cpu@1"


# --- Advanced interrupts ---------------------------------------------------------------------------------------------

AIA_NODES = {"aplic": ("aplic@c000000", "aplic@d000000"),
             "aplic-imsic": ("aplic@c000000", "aplic@d000000", "imsics@24000000", "imsics@28000000")}


@needs("dtc")
@pytest.mark.parametrize("aia", AIA_NODES)
def test_dtc_finds_no_fault_in_advanced_controllers(make_board, aia):
    for of_machine in (True, False):
        assert dtc(make_board(harts=2, aia=aia).device_tree(of_machine=of_machine)).decode().splitlines() == []


@pytest.mark.parametrize("guests", [0, 1, 5, 7])
@pytest.mark.parametrize("aia, name", [(aia, name) for aia, names in AIA_NODES.items() for name in names])
def test_advanced_controller_is_as_in_qemu(make_board, qemu, aia, name, guests):
    """But for what `compatible` has besides, and riscv,ipi-id of QEMU 7.2, which no binding has."""
    board = make_board(2, aia=aia, aia_guests=guests if aia == "aplic-imsic" else 0)
    nodes, theirs = read(board.device_tree()), qemu(2, f"virt,aia={aia},aia-guests={guests}")
    ours, wanted = nodes[f"/soc/{name}"], dict(theirs[f"/soc/{name}"])
    assert strings(wanted.pop("compatible"))[-1] in strings(ours["compatible"])
    wanted.pop("riscv,ipi-id", None)
    if "interrupts-extended" in wanted:
        assert targets(nodes, ours["interrupts-extended"]) == targets(theirs, wanted.pop("interrupts-extended"))
    by_phandle = {props["phandle"]: path for path, props in nodes.items() if "phandle" in props}
    by_theirs = {props["phandle"]: path for path, props in theirs.items() if "phandle" in props}
    for property in ("msi-parent", "riscv,children", "riscv,delegate"):
        if property in wanted:
            assert by_phandle[ours[property][:4]] == by_theirs[wanted[property][:4]]
            assert ours[property][4:] == wanted.pop(property)[4:]
    assert "phandle" in ours
    wanted.pop("phandle")
    assert {key: ours.get(key) for key in wanted} == wanted


def test_lines_lead_to_the_supervisors_controller(make_board):
    nodes = read(make_board(aia="aplic").device_tree())
    by_phandle = {props["phandle"]: path for path, props in nodes.items() if "phandle" in props}
    serial = nodes["/soc/serial@10000000"]
    assert by_phandle[serial["interrupt-parent"]] == "/soc/aplic@d000000"
    assert cells(serial["interrupts"]) == [10, 4]           # level, high
    assert "/soc/plic@c000000" not in nodes


@pytest.mark.parametrize("aia", AIA_NODES)
def test_what_is_machine_modes_is_hidden_where_no_firmware_does_that(make_board, aia):
    nodes = read(make_board(aia=aia).device_tree(of_machine=False))
    assert not [path for path in nodes if path in ("/soc/aplic@c000000", "/soc/imsics@24000000")]
    assert "/soc/aplic@d000000" in nodes


def test_plic_has_95_sources(board):
    assert cells(read(board.device_tree())["/soc/plic@c000000"]["riscv,ndev"]) == [95]


def test_hart_says_what_it_can(board):
    """Bindings riscv/cpus.yaml and riscv/extensions.yaml of the kernel."""
    cpu = read(board.device_tree())["/cpus/cpu@0"]
    longer = "zicbom zicboz zicntr zicsr zifencei zmmul zaamo zalrsc zca zba sstc svadu".split()
    assert strings(cpu["riscv,isa"]) == ["_".join(["rv64imac", *longer])]
    assert strings(cpu["riscv,isa-base"]) == ["rv64i"]
    assert strings(cpu["riscv,isa-extensions"]) == ["i", "m", "a", "c", *longer]
    assert strings(cpu["mmu-type"]) == ["riscv,sv48"]
    assert cells(cpu["riscv,cbom-block-size"]) == cells(cpu["riscv,cboz-block-size"]) == [64]
    assert "riscv,cbop-block-size" not in cpu


def test_chosen_carries_command_line_and_initrd(board):
    chosen = read(board.device_tree("console=ttyS0 motd=grüße".encode(), Range(0x1_8820_0000, 0x1001)))["/chosen"]
    assert chosen["bootargs"].rstrip(b"\0") == "console=ttyS0 motd=grüße".encode()
    assert cells(chosen["linux,initrd-start"]) == [1, 0x8820_0000]
    assert cells(chosen["linux,initrd-end"]) == [1, 0x8820_1001]
    assert strings(chosen["stdout-path"]) == ["/soc/serial@10000000"]


def test_chosen_leaves_out_what_is_not_there(board):
    assert set(read(board.device_tree())["/chosen"]) == {"rng-seed", "stdout-path"}


def test_rng_seed_follows_the_seed(make_board):
    seeds = [read(make_board(seed=seed).device_tree())["/chosen"]["rng-seed"] for seed in (1, 1, 2)]
    assert seeds[0] == seeds[1] != seeds[2]
    assert len(seeds[0]) == 32


def test_memory_above_4_gib_takes_two_cells(make_board):
    nodes = read(make_board(memory_size=6 << 30).device_tree())
    assert cells(nodes["/memory@80000000"]["reg"]) == [0, 0x8000_0000, 1, 0x8000_0000]


def test_unit_addresses_are_hexadecimal(make_board):
    names = re.findall(r"cpu@(\w+)", "\n".join(read(make_board(harts=11).device_tree())))
    assert names[-1] == "a"
