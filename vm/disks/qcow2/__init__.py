"""Images of QEMU: header, reference counts, compressed clusters, and the image that is open."""
