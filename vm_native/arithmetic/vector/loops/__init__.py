"""Loops over elements whose width the compiler knows: one source, compiled for each instruction set (kernels.pxd).

The best that this CPU runs is chosen when it is imported.
"""

from importlib import import_module

from vm_native.arithmetic.vector.loops.features import instruction_sets

kernels = import_module(f"vm_native.arithmetic.vector.loops.{instruction_sets()[0]}").kernels
