"""`vm boot`: a Linux kernel, the user's or Debian's installer."""

from __future__ import annotations

import os
from typing import Any

import click

from vm.cli.options import Address, build_machine, machine_options

EXAMPLES = """\b
Examples:
  vm boot debian --shell
  vm boot --kernel Image --initrd initrd.gz --disk disk.img --append console=ttyS0"""


@click.command(epilog=EXAMPLES)
@click.argument("image", type=click.Choice(["debian"]), required=False, metavar="[debian]")
@click.option("--kernel", metavar="FILE", help="Linux Image, also compressed; or an ELF that starts in S-mode.")
@click.option("--address", type=Address(), metavar="ADDR", help="Load a kernel of another kind here, as raw bytes.")
@click.option("--initrd", metavar="FILE", help="Initial RAM disk.")
@click.option("--append", metavar="TEXT", default="", help="Kernel command line.")
@click.option("--firmware", metavar="FILE", help="Run this in machine mode, as OpenSBI, not the firmware built in.")
@machine_options(memory="512M", clock="real")
@click.option("--shell", is_flag=True, help="With debian: a root shell, not the installer.")
@click.option("--mirror", metavar="URL", help="With debian: the mirror to download from.  [default: VM_DEBIAN_MIRROR,"
                                              " or the host's apt's]")
def boot(image: str | None, kernel: str | None, address: int | None, initrd: str | None, append: str,
         firmware: str | None, shell: bool, mirror: str | None, **options: Any) -> int:
    """Boot Linux with its serial console on this terminal; Ctrl-A X quits.

    `vm boot debian` downloads, verifies and caches the kernel and initrd of Debian's installer.

    \b
    Exit codes are those of `vm run`: 0 when the guest powers off.
    """
    if (image is None) == (kernel is None):
        raise click.UsageError("say either debian or --kernel FILE", click.get_current_context())
    if image is None and (shell or mirror):
        raise click.UsageError("--shell and --mirror go with debian", click.get_current_context())
    if image and initrd:
        raise click.UsageError("debian brings its own initrd", click.get_current_context())
    if image and address is not None:
        raise click.UsageError("--address goes with --kernel", click.get_current_context())

    from vm.cli.session import run_to_end

    with build_machine(**options) as machine:       # first: what is wrong with it shows before a download
        if image:
            kernel, initrd, append = debian(shell, mirror, append)
        assert kernel is not None
        # The shell's bytes, whatever they are, are the guest's.
        machine.boot(kernel, initrd=initrd, cmdline=os.fsencode(append), firmware=firmware, address=address)
        return run_to_end(machine, image or str(kernel))


def debian(shell: bool, mirror: str | None, append: str) -> tuple[str, str, str]:
    """Kernel, initrd and command line of Debian's installer."""
    from vm.cli.progress import download_progress
    from vm.images import INSTALLER_CMDLINE, SHELL_CMDLINE, debian_installer

    with download_progress("debian installer") as progress:
        kernel, initrd = debian_installer(mirror, progress)
    # What follows `--` in the shell's command line is not for the kernel.
    cmdline = f"{append} {SHELL_CMDLINE}" if shell else f"{INSTALLER_CMDLINE} {append}"
    return str(kernel), str(initrd), cmdline.strip()
