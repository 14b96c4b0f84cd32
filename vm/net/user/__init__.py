"""A network for one guest without privileges: `User`. Its parts are a file each; `network.py` puts them together."""

from vm.net.user.network import User

__all__ = ["User"]
