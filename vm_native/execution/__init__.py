"""How code is found, translated and run, and how harts take turns."""
