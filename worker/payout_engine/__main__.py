"""Starts the command `payout-engine`: Ctrl-C while it is being imported ends it without a word."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command line and return its exit code."""
    try:
        from payout_engine import cli
    except KeyboardInterrupt:  # the end that Python gives it, without its traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)
        raise
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
