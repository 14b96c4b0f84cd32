"""The agent: a program for Linux guests that does what the host asks of it, over a virtio socket."""
