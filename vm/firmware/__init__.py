"""Firmware that the machine serves itself, in place of software in M-mode."""

from vm.firmware.handover import prepare_for_supervisor
from vm.firmware.sbi import Firmware

__all__ = ["Firmware", "prepare_for_supervisor"]
