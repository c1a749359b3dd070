"""The `churn` command.

Nothing is imported here but what starts at once: the commands and their libraries take a second, and whoever interrupts that
second should see a line, not where in the libraries it was.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, NoReturn


def main() -> None:
    """Run the command line (`churn.cli.commands.run`)."""
    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, _stop)
    try:
        from churn.cli import commands
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
    commands.run()


def _stop(*_: Any) -> NoReturn:
    """End at once: an exception in the middle of an import may come out as another one, or not at all."""
    os.write(2, b"Stopped; nothing was changed.\n")
    os._exit(130)
