"""Progress of downloads, as the library shows it."""

from vm.images.progress import download_progress

__all__ = ["download_progress"]
