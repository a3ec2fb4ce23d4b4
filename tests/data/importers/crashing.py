"""A reader that a library would end on a damaged file, for the test of what then happens."""

import os
import signal


def crash(path):
    """End the process at the first item."""
    os.kill(os.getpid(), signal.SIGSEGV)
    yield path
