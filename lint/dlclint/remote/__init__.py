"""Files that lie elsewhere, read by ranges into sparse local images of themselves.

An image has the size of the remote file and, of its bytes, those that were asked for. Whatever reads a model
reads the image, and says before which bytes it needs (`dlclint.remote.images`).
"""

from pathlib import Path


def is_address(text: str) -> bool:
    """Whether a path of the command line is an address, whether or not its scheme is supported."""
    return "://" in text and not Path(text).exists()
