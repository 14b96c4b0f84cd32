"""A Linux in a machine, by what it has in guest memory; see `vm.linux.guest`."""

from vm.linux.guest import LinuxGuest
from vm.linux.mappings import Mapping
from vm.linux.modules import Module
from vm.linux.printk import LogRecord
from vm.linux.tasks import Task

__all__ = ["LinuxGuest", "LogRecord", "Mapping", "Module", "Task"]
