"""Guests that are measured: programs in C and kernels of a few instructions; elf/ is built from them by build.py."""
