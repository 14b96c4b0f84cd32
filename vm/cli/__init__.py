"""The command line, one file a command.

What goes wrong is one line on standard error. Exit codes: the guest's own; 1 for an error of ours and 2 for a wrong
command line; what stops a guest from outside is in `vm.cli.session`; 130 after Ctrl-C. Commands import the machine,
the core and what else takes long to load when they run, so that help comes at once.
"""

import logging
import sys
from typing import Any, NoReturn

import click

from vm import __version__
from vm.cli.bench import bench
from vm.cli.boot import boot
from vm.cli.demo import demo
from vm.cli.disasm import disasm
from vm.cli.info import info
from vm.cli.run import run
from vm.errors import VmError

FAILED = 1
INTERRUPTED = 130       # 128 + SIGINT, as shells say it


class CommandLine(click.Group):
    """Commands return their exit code."""

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        logging.basicConfig(format="vm: %(message)s")
        try:
            code = super().main(*args, **extra | {"prog_name": "vm", "standalone_mode": False})
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "vm"
            message = error.format_message().rstrip(".")
            complain(f"{message[:1].lower()}{message[1:]}; see `{command} --help`")
            code = error.exit_code
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
        sys.exit(code)


def complain(message: str) -> None:
    click.echo("vm: " + message.replace("\n", " "), err=True)


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
             no_args_is_help=False, epilog="Start with: vm demo")
@click.version_option(__version__, message="vm %(version)s")
def main() -> None:
    """A 64-bit RISC-V computer."""


for command in (demo, run, boot, bench, info, disasm):
    main.add_command(command)
