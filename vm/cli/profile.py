"""`vm profile`: where a guest spends its steps."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vm.cli.guest import guest_options, machine_of
from vm.cli.naming import LINUX_OPTION, SYMBOLS_OPTION, find_linux
from vm.cli.options import MAX_INSTRUCTIONS_OPTION, TIMEOUT_OPTION
from vm.cli.places import STANDARD_OUTPUT, refuse_outputs, write_output
from vm.whole_file import naming

if TYPE_CHECKING:
    from vm.profiling.profile import Profile

FILES = ("folded", "svg", "png", "perfetto", "firefox")         # options that name what is written

EXAMPLES = """\b
Examples:
  vm profile firmware.elf --svg flame.svg
  vm profile --kernel Image --initrd initrd.gz --append console=ttyS0 --symbols vmlinux \\
      --seconds 0.001 --by process --folded stacks.txt"""


def output(name: str, text: str) -> Any:
    """The option that says where to write something."""
    return click.option(f"--{name}", type=click.Path(dir_okay=False), metavar="FILE", help=text)


@click.command(epilog=EXAMPLES)
@click.argument("file", metavar="[FILE|debian|demo]", required=False)
@click.option("--every", type=click.IntRange(min=1), metavar="STEPS",
              help="From one sample to the next.  [default: 100003]")
@click.option("--seconds", type=click.FloatRange(min=1e-9), metavar="SECONDS",
              help="The same in guest time, in which waiting harts are seen too.")
@output("folded", "Write folded stacks, as flamegraph.pl reads them.")
@output("svg", "Write a flame graph.")
@output("png", "Write a flame graph; needs matplotlib.")
@output("perfetto", "Write a trace for ui.perfetto.dev.")
@output("firefox", "Write a profile for profiler.firefox.com.")
@click.option("--by", type=click.Choice(["hart", "process", "privilege"]), multiple=True,
              help="Put samples together by this first; repeatable.")
@click.option("--top", type=click.IntRange(min=0), metavar="N", default=20, show_default=True,
              help="How many functions are listed at the end.")
@SYMBOLS_OPTION
@LINUX_OPTION
@click.option("--frame-pointers", is_flag=True, help="Walk stacks by these alone, whatever the files say.")
@guest_options
@MAX_INSTRUCTIONS_OPTION
@TIMEOUT_OPTION
@click.option("--quiet", "-q", is_flag=True, help="List nothing, and say nothing about how FILE ended.")
def profile(file: str | None, every: int | None, seconds: float | None, by: tuple[Any, ...], top: int,
            symbols: tuple[tuple[str, int], ...], linux: bool, frame_pointers: bool, max_instructions: int | None,
            timeout: float | None, quiet: bool, **options: Any) -> int:
    """Run FILE, or a kernel, and say in which functions it spent its steps.

    FILE is an ELF or raw bytes in machine mode, or the file of a snapshot; the file that is written can be -,
    standard output. The guest's console is this terminal; the functions are listed on standard error when it ends,
    or after Ctrl-A X. The guest runs as without a profile, and with a virtual clock the samples are the same each
    time. Exit codes are those of `vm run`.
    """
    if every is not None and seconds is not None:
        raise click.UsageError("say either --every or --seconds", click.get_current_context())
    files = {name: options.pop(name) for name in FILES}
    refuse_outputs(**files)
    from vm.cli.session import run_to_end

    if files["png"]:
        from vm.profiling.picture import refuse_undrawable

        # Now: at the end the profile would be lost.
        refuse_undrawable("picture.png" if files["png"] == STANDARD_OUTPUT else files["png"])
    with (machine_of(file, **options) as machine,
          machine.profile(every, seconds=seconds, symbols=list(symbols), call_frames=not frame_pointers) as taken):
        with ExitStack() as at_the_end:     # also after Ctrl-C; the last one first, whatever becomes of the others
            for name, path in files.items():
                if path:
                    at_the_end.callback(write_output, path, partial(write, taken, name, by), name)
            if not quiet:
                at_the_end.callback(lambda: click.echo(taken.table(top), err=True))
            if linux:
                at_the_end.callback(find_linux, machine)
            return run_to_end(machine, file or options["kernel"], max_instructions, timeout, quiet=quiet)


def write(taken: Profile, name: str, by: tuple[Any, ...], path: str) -> None:
    """The file that is wanted by the option of this name."""
    made = {"folded": lambda: taken.folded(by), "svg": lambda: taken.svg(by), "perfetto": taken.perfetto,
            "firefox": taken.firefox}
    if name == "png":
        taken.write_png(path, by)
        return
    with naming(path):
        Path(path).write_text(made[name](), encoding="utf-8", errors="replace")
