"""`vm disk`: make, look at and convert disk images."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from vm.cli.options import Commands

if TYPE_CHECKING:
    from vm.disks import ImageInfo

FORMAT = click.Choice(["raw", "qcow2"])
FORCE = click.option("--force", is_flag=True, help="Overwrite a file that exists.")

EXAMPLES = """\b
Examples:
  vm disk create disk.img 1G
  vm disk create -b disk.img work.qcow2
  vm disk convert -O raw work.qcow2 new.img"""


@click.group(cls=Commands, epilog=EXAMPLES)
def disk() -> None:
    """Make, look at and convert disk images: raw and qcow2, with overlays."""


@disk.command()
@click.argument("file")
@click.argument("size", required=False)
@click.option("-f", "--format", type=FORMAT, help="[default: qcow2 with -b, raw otherwise]")
@click.option("-b", "--backing", metavar="BASE", help="Make an overlay of this image, which stays as it is.")
@click.option("-F", "--backing-format", type=FORMAT, help="The format of BASE.  [default: as it begins]")
@FORCE
def create(file: str, size: str | None, format: str | None, backing: str | None, backing_format: str | None,
           force: bool) -> None:
    """Make an image of SIZE, as in 512M or 1.5G; an overlay needs none."""
    from vm import disks

    disks.create(file, size, format=format, backing=backing, backing_format=backing_format, force=force)


@disk.command()
@click.argument("file")
@click.option("-f", "--format", type=FORMAT, help="[default: as it begins]")
@click.option("--json", "as_json", is_flag=True, help="For programs, with the names of qemu-img.")
def info(file: str, format: str | None, as_json: bool) -> None:
    """Show what an image is."""
    from vm import disks

    found = disks.info(file, format=format)
    if as_json:
        click.echo(json.dumps(as_qemu(found), indent=4))
        return
    for name, value in rows(found):
        click.echo(f"{name:<14}{value}")


def rows(found: ImageInfo) -> list[tuple[str, str]]:
    lines: list[tuple[str, Any]] = [
        ("image", found.path),
        ("format", found.format + (f", version {found.version}" if found.version else "")),
        ("size", f"{found.size} bytes"),
        ("on the host", f"{found.allocated} bytes"),
        ("clusters", found.cluster_size and f"{found.cluster_size} bytes"),
        ("compression", found.compression),
        ("snapshots", found.snapshots),
        ("overlay of", found.full_backing),
        ("of format", found.backing_format),
    ]
    return [(name, str(value)) for name, value in lines if value]


def as_qemu(found: ImageInfo) -> dict[str, Any]:
    """What `qemu-img info --output=json` says of it."""
    names = {"virtual-size": found.size, "filename": found.path, "format": found.format,
             "actual-size": found.allocated, "cluster-size": found.cluster_size, "backing-filename": found.backing,
             "full-backing-filename": found.full_backing, "backing-filename-format": found.backing_format}
    if found.version is not None:
        names["format-specific"] = {"type": "qcow2", "data": {
            "compat": "0.10" if found.version == 2 else "1.1", "compression-type": found.compression}}
    return {name: value for name, value in names.items() if value is not None}


@disk.command()
@click.argument("source")
@click.argument("target")
@click.option("-f", "--source-format", type=FORMAT, help="[default: as it begins]")
@click.option("-O", "--format", type=FORMAT, help="[default: raw, qcow2 with -c]")
@click.option("-c", "--compress", is_flag=True, help="Compress the clusters of a qcow2 image.")
@FORCE
def convert(source: str, target: str, source_format: str | None, format: str | None, compress: bool,
            force: bool) -> None:
    """Copy what a disk holds, with what is below it, into an image of its own."""
    from vm import disks

    disks.convert(source, target, source_format=source_format, format=format, compress=compress, force=force)


@disk.command()
@click.argument("file")
def commit(file: str) -> None:
    """Write what an overlay holds into the image below it, and empty it."""
    from vm import disks

    disks.commit(file)


@disk.command()
@click.argument("file")
@click.option("-b", "--backing", metavar="NEW", required=True,
              help="The image that it shall lie above; \"\" for none: then it holds all itself.")
@click.option("-F", "--backing-format", type=FORMAT, help="The format of NEW.  [default: as it begins]")
def rebase(file: str, backing: str, backing_format: str | None) -> None:
    """Put an overlay above another image; what the disk holds stays the same."""
    from vm import disks

    disks.rebase(file, backing or None, backing_format=backing_format)
