"""The payout_ref is who a transfer is at Stripe: it must never change and never collide."""

from __future__ import annotations

import hashlib
from itertools import product
from typing import Final

from tests.acting import Session
from tests.mutants import mutant

INSTALLATION: Final = f"{1:032}"
# Changing these texts would pay everybody again under new idempotency keys.
GOLDEN: Final = {
    ("set_1", "seller_1", None): "payout_1ec32cbd3a8911de35ce4f4dd8024e6e3130ffa0",
    ("set_1", "seller_1", "ch_1"): "payout_1639f133459e153766789017ff18d130f25b4a6b",
    ("注文-42", "café", None): "payout_444635f0fe4ce326a15bb1040a44dafda7b9d575",
}
# Texts that run into each other, their lengths or the separators when put side by side.
TRICKY: Final = [
    "a",
    "b",
    "a:b",
    "b:c",
    ":",
    ",",
    "a,",
    ",a",
    "a,1:b",
    "1:a",
    "1:a,1:b",
    "é",
    "a,1:b,",
    "-",
]
SOURCES: Final = [None, "ch_1", "py_1", "ch_1a"]


def payout_ref(
    db: Session,
    settlement_id: str,
    payee_id: str,
    source_transaction: str | None,
    *,
    installation_id: str = INSTALLATION,
) -> str:
    row = db.execute(
        "select payout.payout_ref(%s, %s, %s, %s)",
        [installation_id, settlement_id, payee_id, source_transaction],
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_it_is_the_same_for_ever(db: Session) -> None:
    assert {identity: payout_ref(db, *identity) for identity in GOLDEN} == GOLDEN


def test_it_is_a_hash_of_the_installation_and_three_texts_with_their_lengths(db: Session) -> None:
    identity = f"{INSTALLATION},9:注文-42,5:café,ch_1"

    assert payout_ref(db, "注文-42", "café", "ch_1") == (
        "payout_" + hashlib.sha256(identity.encode()).hexdigest()[:40]
    )


@mutant("an identity without the installation", "payout_ref", "p_installation_id,\n", "'',\n")
def test_two_installations_share_no_identity(db: Session) -> None:
    """A second shop, or a staging copy made from scratch, on the same Stripe account."""
    refs = {payout_ref(db, "1", "1", None, installation_id=f"{n:032}") for n in range(2)}
    assert len(refs) == 2


@mutant(
    "an identity without the settlement",
    "payout_ref",
    "octet_length(p_settlement_id), p_settlement_id",
    "'', ''",
)
@mutant(
    "an identity without the payee", "payout_ref", "octet_length(p_payee_id), p_payee_id", "'', ''"
)
def test_no_two_identities_share_one(db: Session) -> None:
    identities = list(product(TRICKY, TRICKY, SOURCES))

    refs = {payout_ref(db, *identity) for identity in identities}

    assert len(refs) == len(identities)


def test_it_fits_into_a_key_and_names_nobody(db: Session) -> None:
    ref = payout_ref(db, "s" * 200, "someone@example.com", "ch_" + "x" * 240)

    assert len(ref) == 47
    assert "someone" not in ref
