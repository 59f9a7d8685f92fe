"""What the command line says while it works: messages of our packages on stderr."""

from __future__ import annotations

import logging

PACKAGES = ("maskmm", "tokenizers_vq", "datamodules")


def settle_logging() -> None:
    """Show our own messages from INFO on, other libraries' from WARNING on."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    for name in PACKAGES:
        logging.getLogger(name).setLevel(logging.INFO)
