"""Remote files, read by ranges into sparse local images.

An image has the size of the remote file, and those of its bytes that were requested. Whatever reads a model
reads the image, and requests beforehand the bytes that it needs (`dlclint.remote.images`).
"""

from pathlib import Path


def is_address(text: str) -> bool:
    """Whether a path of the command line is an address, whether or not its scheme is supported."""
    return "://" in text and not Path(text).exists()
