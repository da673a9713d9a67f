"""The demo: the whole engine at work on a few hundred settlements, faults and a crash included.

It has a database server and a Stripe of its own, and says at the end whether everything agrees.
"""

from __future__ import annotations

import sys


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return its exit code: 0 only if everything reconciles."""
    try:
        from payout_engine_sandbox.demo.story import tell
    except ModuleNotFoundError as missing:
        print(
            f"payout-engine demo needs {missing.name}: pip install 'payout-engine[demo]'",
            file=sys.stderr,
        )
        return 2
    return tell(arguments)
