"""Options: a mistake in them is one line, as every other error of the command line."""

from __future__ import annotations

import argparse
import sys
from typing import NoReturn

from maskmm.cli.errors import USER_ERROR


class OneLineParser(argparse.ArgumentParser):
    """Says what is wrong and where the options are listed, without the whole usage."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        sys.stderr.write(f"maskmm: error: {message}; see {self.prog} --help\n")
        sys.exit(USER_ERROR)
