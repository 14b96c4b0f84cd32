"""The demo guest: shows a machine off in a few seconds, checks it, powers it off. demo.elf is built by build.py."""
