"""`vm replay`: a run that was recorded, from its folder."""

from __future__ import annotations

from pathlib import Path

import click

from vm.cli.options import ENGINE_OPTION, TIMEOUT_OPTION, refuse_beside

EXAMPLES = """\b
Examples:
  vm replay /tmp/pytest-of-me/pytest-current/test_uart-0
  vm replay /tmp/pytest-of-me/pytest-current/test_uart-0 --gdb 1234"""


@click.command(epilog=EXAMPLES)
@click.argument("path", metavar="FOLDER", type=click.Path(path_type=Path))
@ENGINE_OPTION
@click.option("--disk", "disks", metavar="FILE[,MODE]", multiple=True,
              help="The images of the disks that the machine had, in their order, as they were: repeatable.")
@click.option("--share", "shares", metavar="DIR", multiple=True,
              help="Any folder for each that it shared: nothing in it is looked at or changed.")
@TIMEOUT_OPTION
@click.option("--gdb", metavar="PORT|PATH|stdio",
              help="Wait for GDB: at a port of this computer, HOST:PORT, a path for a socket, or by stdio.")
def replay(path: Path, engine: str | None, disks: tuple[str, ...], shares: tuple[str, ...], timeout: float | None,
           gdb: str | None) -> int:
    """Run again what was recorded, with what the guest prints on this terminal; Ctrl-A X quits.

    FOLDER is what a failing test has left (docs/how-to/pytest.md), or the log in it. Nothing in it is changed. With
    --gdb it begins when GDB says so, and at the end of the log GDB can look around.

    \b
    Exit codes:
      0    the run was as recorded, up to where the log ends, or ended as then
      1    FOLDER has no such run, or this run is not the one that was recorded
      124  not done within --timeout
      139  it ended, as then, with a trap that no handler of the guest takes
    """
    refuse_beside("--gdb", gdb, timeout=timeout)
    from vm.cli.logs import Audience
    from vm.cli.restore import opened
    from vm.cli.session import run_to_end
    from vm.replaying import replay as replayed
    from vm.run_folder import load_run

    snapshot, log = load_run(path)
    changes = {} if engine is None else {"engine": engine}
    with replayed(snapshot, log, devices=opened(snapshot, str(path), disks, shares), **changes) as machine:
        if gdb is not None:
            from vm.cli.debugging import debug_to_end

            return debug_to_end(machine, path.name, gdb, wait=True, terminal_class=Audience)
        return run_to_end(machine, path.name, timeout=timeout, terminal_class=Audience)
