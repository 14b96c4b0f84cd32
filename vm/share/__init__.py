"""Folders of the host that are shared with a guest, by the protocol 9P2000.L. The device is `vm.devices.SharedFolder`.

`messages.py` is the protocol as a table, `folder.py` all that the host is asked, `fids.py` what a guest has in hand,
`effort.py` how much a request may take, and `server.py` what follows from one.
"""
