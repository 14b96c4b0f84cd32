"""The command line, one file a command.

What goes wrong is one line on standard error. Exit codes are the guest's own and those of `vm.cli.exit_codes`. A
command's file is imported when the command is named, and imports the machine, the core and what else takes long to load
when it runs: help comes at once, and a short run is short.
"""

import gc
import logging
import os
import sys
from importlib import import_module
from typing import Any, NoReturn

import click

from vm import __version__
from vm.cli.exit_codes import FAILED, INTERRUPTED, NOBODY_READS, USAGE
from vm.errors import ConfigurationError, VmError
from vm_native.descriptors import open_standard

# Each a function in the file of that name
COMMANDS = ("demo", "run", "compile", "boot", "install", "gdb", "profile", "coverage", "trace", "fuzz", "bench",
            "info", "disasm", "disk", "snapshot", "restore", "replay")
LONG = 200              # of a command's line in the help: none is cut, the terminal's width wraps it


class CommandLine(click.Group):
    """Commands return their exit code. `vm` alone and `vm help [COMMAND]` show the help, as --help does."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or args[0] == "help":
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(LONG)) for name, command in commands if command])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())     # nor when Python flushes at its end
            return NOBODY_READS

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        command: click.Command | None = getattr(import_module(f"vm.cli.{name}"), name) if name in COMMANDS else None
        return command

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        open_standard_streams()
        logging.basicConfig(format="vm: %(message)s")
        try:
            code = super().main(*args, **extra | {"prog_name": "vm", "standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "vm"
            message = error.format_message().rstrip(".")
            complain(f"{message[:1].lower()}{message[1:]}; see `{command} --help`")
            code = error.exit_code
        except ConfigurationError as error:
            complain(str(error))
            code = USAGE
        except VmError as error:
            complain(str(error))
            code = FAILED
        except OSError as error:
            complain(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
            code = FAILED
        except ImportError as error:        # as for a VM_COPY that the CPU does not run
            complain(str(error))
            code = FAILED
        except (click.Abort, KeyboardInterrupt):
            code = INTERRUPTED
        gc.freeze()             # else Python looks through all that it holds, several times, before it ends
        sys.exit(code)


def open_standard_streams() -> None:
    """What is closed when we start, as after `>&-`, is like /dev/null."""
    open_standard()
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))


def complain(message: str) -> None:
    click.echo("vm: " + message.replace("\n", " "), err=True)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
             no_args_is_help=False, epilog="Start with: vm demo")
@click.version_option(__version__, message="vm %(version)s")
def main() -> None:
    """A 64-bit RISC-V computer."""
