"""Firmware that takes messages apart: what `vm.fleet.fuzz` is shown on."""
