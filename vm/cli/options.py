"""What several commands take on the command line."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vm.cli.net import HELP as NET_HELP
from vm.cli.net import NONE as NO_NETWORK
from vm.cli.net import open_network
from vm.cli.places import refuse_unwritable
from vm.cli.screen import attach_screen
from vm.cli.share import HELP as SHARE_HELP
from vm.cli.share import open_shares
from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.devices import BlockDevice, Network
    from vm.machine import Machine

ENGINE_OPTION = click.option("--engine", type=click.Choice(["auto", "interpreter", "jit"]),
                             help="What runs the guest: jit compiles what is hot, auto does so where the host can.  "
                                  "[default: VM_ENGINE, or auto]")
MAX_INSTRUCTIONS_OPTION = click.option("--max-instructions", type=click.IntRange(min=1), metavar="N",
                                       help="Stop after so many instructions.")
TIMEOUT_OPTION = click.option("--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS",
                              help="Stop after so much time on the host.")
BACKENDS = ["numpy", "cupy"]            # of a compute device
DISK_MODES: dict[str, dict[str, Any]] = {
    "read-only": {"read_only": True}, "discard": {"discard": True}, "legacy": {"legacy": True},
    "raw": {"format": "raw"}, "qcow2": {"format": "qcow2"},
}  # fmt: skip


Command = Callable[..., Any]


class Commands(click.Group):
    """Commands of a command, as of `vm disk`, which alone shows its help as `vm` does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, args or ["--help"])


class Address(click.ParamType):
    """A guest address: decimal, or hexadecimal with 0x."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            address = int(value, 0)
        except ValueError:
            self.fail(f"{value!r} is not an address; write it as 0x80000000", param, ctx)
        if not 0 <= address < 1 << 64:
            self.fail(f"{value} is not an address of 64 bits", param, ctx)
        return address


def clock_unless_threads(context: click.Context, parameter: click.Parameter, value: str) -> str | None:
    """What is said, or this command's own default; with --threads it is the machine's to choose."""
    said = context.get_parameter_source("clock") is not ParameterSource.DEFAULT
    return value if said or not context.params.get("threads") else None


def machine_options(memory: str, clock: str, net: Sequence[str] = ()) -> Callable[[Command], Command]:
    """The options that say what machine to build, with these defaults."""
    options = (
        click.option("--memory", metavar="SIZE", default=memory, show_default=True, help="RAM, as in 512M or 1G."),
        click.option("--harts", type=int, metavar="N", default=1, show_default=True, help="Number of harts."),
        click.option("--threads/--no-threads", default=None, is_eager=True,
                     help="Let each hart run in a thread of the host's, in real time; or let them take turns.  "
                          "[default: turns, or as the machine of a snapshot did]"),
        click.option("--isa", metavar="NAME", help="ISA string or profile, as in rv64gc."),
        click.option("--aia", type=click.Choice(["none", "aplic", "aplic-imsic"]), default="none", show_default=True,
                     help="Interrupt controllers: a PLIC, APLICs, or APLICs and an IMSIC for each hart."),
        click.option("--aia-guests", type=int, metavar="N", default=0, show_default=True,
                     help="For how many guests of its own each hart's IMSIC has a file; they need H."),
        ENGINE_OPTION,
        click.option("--clock", type=click.Choice(["virtual", "real"]), default=clock, show_default=True,
                     callback=clock_unless_threads,
                     help="Guest time: counted in instructions (every run is the same), or the host's."),
        click.option("--seed", type=int, metavar="N", default=0, show_default=True,
                     help="What all randomness in the machine derives from."),
        click.option("--perf-map", is_flag=True, default=None,
                     help="Name compiled code for Linux perf, in /tmp/perf-PID.map.  [default: VM_PERF_MAP]"),
        click.option("--disk", "disks", metavar="FILE[,MODE]", multiple=True,
                     help="Disk image, raw or qcow2; repeatable. MODE: read-only, discard (writes are forgotten), "
                          "legacy (for guests of before virtio 1), or the format. Several are FILE,MODE,MODE."),
        click.option("--net", "networks", metavar="KIND[,...]", multiple=True, default=net, show_default=True,
                     help=NET_HELP),
        click.option("--share", "shares", metavar="DIR[,...]", multiple=True, help=SHARE_HELP),
        click.option("--compute", type=click.Choice(BACKENDS),
                     help="A device by which the guest has the host do array work: with NumPy, or CuPy on a GPU."),
    )

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def log_options(command: Command) -> Command:
    """The options `--record` and `--replay`: see vm.cli.logs."""
    for option in (
        click.option("--replay", metavar="LOG", help="Let come what came when LOG was recorded, until that ends: "
                                                     "with the same files and options."),
        click.option("--record", metavar="LOG", help="Write down all that comes from outside, and when; needs --clock "
                                                     "virtual."),
    ):
        command = option(command)
    return command


GDB_OPTION = click.option("--gdb", metavar="PORT|PATH|stdio",
                          help="Let GDB come at any time: to a port of this computer, HOST:PORT, or a path for a "
                               "socket. Over stdio it is there from the start.")


class Display(click.ParamType):
    """`web[:PORT]`: the port, 0 for any that is free."""

    name = "display"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if not (found := re.fullmatch(r"web(?::(\d+))?", value, re.ASCII)):
            self.fail(f"{value}: write web, or web:PORT", param, ctx)
        return int(found[1] or 0)


DISPLAY_OPTION = click.option("--display", type=Display(), metavar="web[:PORT]",
                              help="Show the machine in the browser, and let it be driven there: at an address of this "
                                   "computer, which is printed.")


def split_at_commas(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for value in values for name in value.split(",") if name)


PACKAGES_OPTION = click.option("--package", "--packages", "packages", metavar="NAME[,...]", multiple=True,
                               callback=split_at_commas,
                               help="More packages of Debian's, with all that they depend on; repeatable.")


def refuse_beside(option: str, value: object, **others: object) -> None:
    """Raises UsageError where the option is given, and others, by name, that it goes without."""
    given = [f"--{name.replace('_', '-')}" for name, other in others.items() if other]
    if value is not None and given:
        raise click.UsageError(f"{option} goes without {', '.join(given)}", click.get_current_context())


def refuse_one_stream(gdb: str | None, file: str | None) -> None:
    """Raises UsageError where one stream would have to be two."""
    if (gdb, file) == ("stdio", "-"):
        raise click.UsageError("standard input is FILE or the debugger's, not both", click.get_current_context())


def refuse_unfit(record: str | None, replay: str | None, clock: str | None) -> None:
    """Raises UsageError for what does not go together."""
    if record and replay:
        raise click.UsageError("say either --record or --replay", click.get_current_context())
    if record:
        refuse_unwritable("--record", record, whole=True)
    if (record or replay) and clock != "virtual":
        raise click.UsageError(f"{'--record' if record else '--replay'} needs --clock virtual, and no --threads: in "
                               "real time no run is like another", click.get_current_context())


def open_disk(argument: str) -> BlockDevice:
    """The disk that `FILE[,MODE]` names."""
    from vm.devices import BlockDevice

    path = argument
    options: dict[str, Any] = {}
    while (parts := path.rpartition(","))[2] in DISK_MODES and parts[1]:
        options |= DISK_MODES[parts[2]]
        path = parts[0]
    _, comma, mode = path.rpartition(",")
    if comma and not os.path.exists(path):
        raise ConfigurationError(f"--disk {argument}: no such file, and {mode!r} is no mode; there is "
                                 f"{', '.join(DISK_MODES)}")
    return BlockDevice(path, **options)


def open_networks(descriptions: Sequence[str]) -> list[Network]:
    """The cards that `--net` names; ConfigurationError for "none" among others."""
    if NO_NETWORK in descriptions and len(descriptions) > 1:
        raise ConfigurationError(f"--net {NO_NETWORK} goes with no other --net")
    return [open_network(text, number) for number, text in enumerate(descriptions) if text != NO_NETWORK]


def build_machine(disks: tuple[str, ...], networks: tuple[str, ...], isa: str | None, shares: tuple[str, ...] = (),
                  screen: tuple[int, int] | None = None, compute: str | None = None, threads: bool | None = None,
                  **options: Any) -> Machine:
    """The machine that the options of `machine_options` and `--screen` describe; the caller closes it."""
    from vm.machine import Machine

    if isa:
        options["isa"] = isa
    cards = open_networks(networks)
    machine = Machine(threads=bool(threads), **options)
    try:
        for disk in disks:
            machine.attach(open_disk(disk))
        for card in cards:
            machine.attach(card)
        for folder in open_shares(shares):
            machine.attach(folder)
        if screen is not None:
            attach_screen(machine, screen)
        if compute is not None:
            from vm.devices import ComputeDevice

            machine.attach(ComputeDevice(compute))
    except BaseException:
        machine.close()
        raise
    return machine
