"""How tests run pytest with the plugin."""

from importlib.metadata import entry_points

# By name where nobody has installed the package anew since it has a plugin.
PLUGIN = () if entry_points(group="pytest11", name="vm") else ("-p", "vm.testing.plugin")
