"""The guest's side of the compute device: `FOLDER` has the C library as source and built, an example, a Python module.

    vmcompute.h, vmcompute.c    the driver; bare.c and linux.c are below it
    libvmcompute.a              for bare metal: rv64gc, machine mode, lp64d
    libvmcompute.so             for Linux with the GNU C library from 2.28 on
    vmcompute.py                for Python on Linux, over libvmcompute.so
    example.c                   one program for both: example.elf, example-linux
"""

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
