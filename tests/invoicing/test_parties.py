"""Who an invoice is for, sealed beside what never changes."""

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from bursar.accounts.model import ERASED, Address
from bursar.invoicing.document import Party, digest, from_text
from bursar.invoicing.model import draw_up
from bursar.invoicing.parties import conceal, reveal
from tests.invoicing.test_model import FLAT_THEN_UNIT, document, facts, usage_card

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
WHO = Party(
    id="c1", name="Ada Lovelace", primary_email="ada@example.com", address=Address(line1="12 St James's Square")
)
WHERE = Party(id="a1", name="Ada's engine", primary_email="engine@example.com", address=Address(city="London"))
NEEDLES = ("Ada", "ada@", "engine@", "James", "London")


@pytest.fixture
def issued():  # type: ignore[no-untyped-def]
    drawn = document(draw_up(facts([usage_card(1, "VOLUME", FLAT_THEN_UNIT)], {1: 51})))
    return msgspec.structs.replace(drawn, customer=WHO, account=WHERE)


def test_what_is_frozen_names_nobody_and_comes_back_whole(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, SECRET)
    assert not [needle for needle in NEEDLES if needle in text or needle.encode() in sealed]
    assert reveal(text, sealed, SECRET) == issued
    assert conceal(issued, SECRET) == (text, sealed)  # the same invoice always freezes the same


def test_without_the_secret_everything_but_the_people_is_there(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, SECRET)
    erased = reveal(text, sealed, None)
    assert (erased.customer.id, erased.customer.name, erased.customer.address) == ("c1", ERASED, Address())
    assert (erased.account.id, erased.account.name, erased.account.primary_email) == ("a1", ERASED, "")
    assert (erased.lines, erased.total) == (issued.lines, issued.total)
    assert from_text(text).total == issued.total


def test_parties_of_another_invoice_or_secret_do_not_open(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, SECRET)
    other, _ = conceal(msgspec.structs.replace(issued, id="inv.other"), SECRET)
    for wrong_text, wrong_sealed, secret in (
        (text, sealed, OTHER),
        (other, sealed, SECRET),
        (text, sealed[:-1], SECRET),
    ):
        with pytest.raises(InvalidTag):
            reveal(wrong_text, wrong_sealed, secret)
    assert digest(text, sealed) != digest(text, sealed[:-1])


def test_an_invoice_of_somebody_erased_names_nobody(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, None)
    assert sealed == b""
    assert reveal(text, sealed, None).customer.name == ERASED
