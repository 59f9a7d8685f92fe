"""How the command line ends: one line for a user's mistake, exit code 2; 130 when interrupted."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable

from safetensors import SafetensorError

USER_ERROR = 2
INTERRUPTED = 130
_NO_SPACE = os.strerror(errno.ENOSPC)


def guarded(run: Callable[[], int], is_debug: bool) -> int:
    """Exit code of `run`.

    A ValueError is the user's to mend, and so is what the file system refuses (no permission, no space, a file where
    a folder should be; safetensors has an error of its own for that): one line on stderr, its traceback only where
    is_debug. Anything else but an interruption is a defect of the program and is raised.
    """
    try:
        return run()
    except (ValueError, OSError, SafetensorError) as error:
        if is_debug:
            traceback.print_exc()
        sys.stderr.write(f"maskmm: error: {one_line(error)}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        return _interrupted()
    except SystemExit as error:
        # Lightning turns an interrupted fit into exit code 1.
        if isinstance(error.__context__, KeyboardInterrupt):
            return _interrupted()
        raise


def one_line(error: ValueError | OSError | SafetensorError) -> str:
    """The message of an error on one line.

    A data worker's error arrives with its whole traceback as the message; the last line is what it said.
    """
    text = " ".join(str(error).split())
    if text.startswith("Caught ValueError in"):
        text = text.rsplit(" ValueError: ", 1)[-1]
    if _NO_SPACE in text:
        return f"{text}; free some space, or write to another disk"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}; expected a path that can be read or written here"
    return text


def _interrupted() -> int:
    sys.stderr.write("maskmm: interrupted\n")
    return INTERRUPTED
