"""``python -m payout_engine_sandbox.demo``: the demo, with options that make it smaller."""

from __future__ import annotations

import sys

from payout_engine_sandbox.demo import main

if __name__ == "__main__":
    sys.exit(main())
