"""`vm boot`: a Linux kernel, the user's or Debian's."""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from vm.cli.ending import Ending, run_until
from vm.cli.net import ORDINARY as ORDINARY_NETWORK
from vm.cli.options import (
    DISPLAY_OPTION,
    GDB_OPTION,
    PACKAGES_OPTION,
    TIMEOUT_OPTION,
    Address,
    build_machine,
    log_options,
    machine_options,
    refuse_unfit,
)
from vm.cli.screen import ON_THE_SCREEN, refuse_unfit_screenshot, screen_options
from vm.errors import ConfigurationError

if TYPE_CHECKING:
    from vm.machine import Machine

DEBIAN = "debian"
SEED_BITS = 128

EXAMPLES = """\b
Examples:
  vm boot debian --shell --disk disk.img
  vm boot debian --shell --screen --display web
  vm boot debian --run "uname -a"
  vm boot debian --shell --share project
  vm boot disk.qcow2 --net user,hostfwd=tcp:127.0.0.1:2222-:22
  vm boot debian --screen 1024x768 --run "sleep 1" --screenshot screen.png
  vm boot --kernel Image --initrd initrd.gz --disk disk.img --append console=ttyS0
  vm boot debian --shell --snapshot-at "~ #" booted.vmsnap
  vm boot debian --shell --clock virtual --record session.vmlog
  vm boot debian --shell --clock virtual --replay session.vmlog"""


@click.command(epilog=EXAMPLES)
@click.argument("image", required=False, metavar="[debian|DISK]")
@click.option("--kernel", metavar="FILE", help="Linux Image, also compressed; or an ELF that starts in S-mode.")
@click.option("--address", type=Address(), metavar="ADDR", help="Load a kernel of another kind here, as raw bytes.")
@click.option("--initrd", metavar="FILE", help="Initial RAM disk.")
@click.option("--append", metavar="TEXT", default="", help="Kernel command line.")
@click.option("--firmware", metavar="FILE", help="Run this in machine mode, as OpenSBI, not the firmware built in.")
@machine_options(memory="512M", clock="real", net=[ORDINARY_NETWORK])
@screen_options
@log_options
@GDB_OPTION
@DISPLAY_OPTION
@click.option("--snapshot-at", "saving", nargs=2, metavar="TEXT FILE",
              help="Save a snapshot in FILE when the guest has printed TEXT, and exit: 0, or 124 if it never does.")
@click.option("--from", "source", metavar="FILE", help="Go on from the file of a snapshot instead: as vm restore.")
@click.option("--run", "command", metavar="COMMAND", help="Wait for a shell, run this in it and exit with its status.")
@TIMEOUT_OPTION
@click.option("--shell", is_flag=True, help="With debian: a root shell, not the installer.")
@PACKAGES_OPTION
@click.option("--mirror", metavar="URL", help="With debian: the mirror to download from.  [default: VM_DEBIAN_MIRROR,"
                                              " or the host's apt's]")
def boot(image: str | None, kernel: str | None, address: int | None, initrd: str | None, append: str,
         firmware: str | None, command: str | None, timeout: float | None, shell: bool, packages: tuple[str, ...],
         mirror: str | None, record: str | None, replay: str | None, saving: tuple[str, str] | None, source: str | None,
         gdb: str | None, display: int | None, screenshot: str | None, **options: Any) -> int:
    """Boot Linux with its serial console on this terminal; Ctrl-A X quits.

    `vm boot debian` downloads, verifies and caches the kernel and initrd of Debian's installer; with --shell or --run,
    a kernel and an initrd of a small system with disks and network. Input that is piped to --shell is typed when the
    shell is there, and at its end the shell is left.

    `vm boot DISK` boots the system of an image, as `vm install` makes one; DISK is as of --disk, and becomes the first.
    U-Boot, which finds the kernel there, is Debian's.

    \b
    Exit codes are those of `vm run`: 0 when the guest powers off. With --run:
      the command's status; what it prints is all that is printed
      1    no shell, or the kernel panics
      124  not done within --timeout
    """
    def refuse_if(wrong: object, message: str) -> None:
        if wrong:
            raise click.UsageError(message, click.get_current_context())

    ending = Ending(command, gdb, display, timeout)
    if source is not None:
        from vm.cli.restore import go_on, restore

        others = given_beside({"source"} | {parameter.name for parameter in restore.params})
        refuse_if(others, f"--from FILE has its own {', '.join(others)}")
        networks = options["networks"] if "--net" in given_beside(()) else ()
        changes = {"engine": options["engine"], "threads": options["threads"]}
        return go_on(source, changes, options["disks"], networks, options["shares"], ending)
    refuse_if((image is None) == (kernel is None), "say either debian, a disk image, or --kernel FILE")
    disk = None if image == DEBIAN else image
    if disk and "," not in disk and not os.path.exists(disk):
        raise ConfigurationError(f"{disk}: no such disk image; say debian for Debian's installer, or make a disk with "
                                 f"a system on it: vm install debian --disk {disk}")
    small = image == DEBIAN and (shell or command is not None)
    refuse_if(saving and (command is not None or record or replay), "--snapshot-at exits when the text is there: it "
              "goes without --run, --record and --replay")
    refuse_if(image != DEBIAN and (shell or packages), "--shell and --package go with debian")
    refuse_if(image is None and mirror, "--mirror goes with debian and with a disk image")
    refuse_if(image and initrd, f"{image} brings its own initrd")
    refuse_if(disk and append, f"{disk} has its own command line, in /boot/extlinux/extlinux.conf")
    refuse_if(image and address is not None, "--address goes with --kernel")
    refuse_if(packages and not small, "--package goes with --shell or --run")
    refuse_if(replay and command is not None, "--run types a command, and with --replay nothing is typed: "
              "say --shell instead")
    refuse_unfit(record, replay, options["clock"])
    refuse_if(saving and screenshot, "--snapshot-at exits when the text is there: it goes without --screenshot")
    refuse_unfit_screenshot(screenshot, options["screen"])
    ending.refuse_unfit(replay, saving)

    from vm.cli.guest_shell import PipedShell
    from vm.cli.logs import audience_or, logged
    from vm.terminal import Terminal

    screen = options["screen"] is not None
    if disk is not None:
        options["disks"] = (disk, *options["disks"])
    with build_machine(**options) as machine:       # first: what is wrong with it shows before a download
        if disk is not None:
            kernel = loader(machine, options["seed"], mirror)
        elif image is not None:
            kernel, initrd, append = (small_debian(packages, mirror, append, screen) if small
                                      else installer(mirror, append))
            append = f"{ON_THE_SCREEN} {append}" if screen else append
        assert kernel is not None
        # The shell's bytes, whatever they are, are the guest's.
        machine.boot(kernel, initrd=initrd, cmdline=os.fsencode(append), firmware=firmware, address=address)
        if saving:
            from vm.cli.restore import boot_up_to

            return boot_up_to(machine, *saving, timeout)
        with logged(machine, record, replay):
            terminal = audience_or(machine, PipedShell if small and not os.isatty(0) else Terminal)
            code = run_until(ending, machine, image or str(kernel), terminal)
        if screenshot is not None:
            machine.screenshot().save(screenshot)
        return code


def given_beside(allowed: Collection[str | None]) -> list[str]:
    """The options on the command line that are none of these."""
    context = click.get_current_context()
    given = [parameter for parameter in context.command.params if parameter.name not in allowed
             and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE]
    return [parameter.opts[0] for parameter in given]


def loader(machine: Machine, seed: int, mirror: str | None) -> str:
    """What boots a disk. In real time its system gets random bytes that are like no other's."""
    from vm.devices import Entropy
    from vm.images import boot_loader

    machine.attach(Entropy(secrets.randbits(SEED_BITS) if machine.clock.kind == "real" else seed))
    return str(boot_loader(mirror))


def small_debian(packages: tuple[str, ...], mirror: str | None, append: str, screen: bool) -> tuple[str, str, str]:
    """Kernel, initrd and command line of Debian's kernel with busybox and packages; and drivers of a screen."""
    from vm.images import debian

    linux = debian(packages, mirror=mirror, screen=screen)
    return str(linux.kernel), str(linux.initrd), f"{linux.cmdline} {append}".strip()


def installer(mirror: str | None, append: str) -> tuple[str, str, str]:
    """Kernel, initrd and command line of Debian's installer."""
    from vm.images import INSTALLER_CMDLINE, debian_installer

    kernel, initrd = debian_installer(mirror)
    return str(kernel), str(initrd), f"{INSTALLER_CMDLINE} {append}".strip()
