"""The server's side of GDB's remote serial protocol: one debugger at a time looks at a machine, and lets it run.

The protocol is that of "Debugging with GDB", appendix E (Remote Protocol) and G (Target Descriptions).
"""
