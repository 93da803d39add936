"""Who an invoice is for, sealed beside what never changes."""

from datetime import UTC, datetime

import msgspec
import pytest
from cryptography.exceptions import InvalidTag

from bursar.accounts.model import ERASED, Address
from bursar.invoicing import credit_note
from bursar.invoicing.document import Party, digest, from_text, to_text
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
    text, sealed = conceal(issued, SECRET, to_text)
    assert not [needle for needle in NEEDLES if needle.encode() in text + sealed]
    assert reveal(from_text(text), sealed, SECRET) == issued
    assert conceal(issued, SECRET, to_text) == (text, sealed)  # the same invoice always freezes the same


def test_without_the_secret_everything_but_the_people_is_there(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, SECRET, to_text)
    erased = reveal(from_text(text), sealed, None)
    assert (erased.customer.id, erased.customer.name, erased.customer.address) == ("c1", ERASED, Address())
    assert (erased.account.id, erased.account.name, erased.account.primary_email) == ("a1", ERASED, "")
    assert (erased.lines, erased.total) == (issued.lines, issued.total)
    assert from_text(text).total == issued.total


def test_parties_of_another_invoice_or_secret_do_not_open(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, SECRET, to_text)
    other, _ = conceal(msgspec.structs.replace(issued, id="inv.other"), SECRET, to_text)
    for wrong_text, wrong_sealed, secret in (
        (text, sealed, OTHER),
        (other, sealed, SECRET),
        (text, sealed[:-1], SECRET),
    ):
        with pytest.raises(InvalidTag):
            reveal(from_text(wrong_text), wrong_sealed, secret)
    assert digest(text, sealed) != digest(text, sealed[:-1])


def test_an_invoice_of_somebody_erased_names_nobody(issued) -> None:  # type: ignore[no-untyped-def]
    text, sealed = conceal(issued, None, to_text)
    assert sealed == b""
    assert reveal(from_text(text), sealed, None).customer.name == ERASED


def test_a_credit_note_hides_them_as_its_invoice_does(issued) -> None:  # type: ignore[no-untyped-def]
    note = credit_note.of_invoice(issued, "cn.1", "CN-1", datetime(2024, 6, 1, tzinfo=UTC), "VOID")
    text, sealed = conceal(note, SECRET, credit_note.to_text)
    assert not [needle for needle in NEEDLES if needle.encode() in text + sealed]
    assert reveal(credit_note.from_text(text), sealed, SECRET) == note
    assert reveal(credit_note.from_text(text), sealed, None).account.name == ERASED
