"""The thin worker: it carries requests from Postgres to Stripe and reports the answers.

It decides nothing: SQL (`procedures/`) says which transfers are due and judges each answer.
"""

from importlib.metadata import version
from typing import Final

# Read once: another release may be installed over this one while it runs.
RELEASE: Final = version("payout-engine")
