"""Files that lie elsewhere, read by ranges into sparse local images of themselves.

An image has the size of the remote file and, of its bytes, those that were asked for. Whatever reads a model
reads the image, and says before which bytes it needs (`dlclint.remote.images`).
"""

from pathlib import Path


def is_address(text: str) -> bool:
    """Whether a path of the command line is an address, be it of a scheme that is read or not."""
    return "://" in text and not Path(text).exists()
