"""Who an invoice is for, sealed: a frozen document never changes, and yet a person can be erased from it.

The text of a frozen document has empty names, e-mails and addresses. What belongs there stands beside it, sealed under
the secret of the customer; the document's hash covers both. Erasing the customer removes the secret: chains and hashes
stay as they are, and nobody can say any more who it was.
"""

import hashlib
from collections.abc import Callable
from typing import TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bursar.accounts.model import ERASED, Address
from bursar.invoicing.credit_note import CreditNote
from bursar.invoicing.document import Document, Party

_NONCE = 12
Frozen = TypeVar("Frozen", Document, CreditNote)


class _Parties(msgspec.Struct, array_like=True):
    customer: Party
    account: Party


def conceal(document: Frozen, secret: bytes | None, to_text: Callable[[Frozen], bytes]) -> tuple[bytes, bytes]:
    """The text to freeze, and the parties sealed; of a customer that is erased there is nothing to seal."""
    text = to_text(_for(document, _named(document.customer, ""), _named(document.account, "")))
    if secret is None:
        return text, b""
    parties = msgspec.json.encode(_Parties(document.customer, document.account))
    # Under one secret a document is sealed once, so its id gives a nonce that never comes again.
    nonce = hashlib.sha256(document.id.encode()).digest()[:_NONCE]
    return text, nonce + AESGCM(secret).encrypt(nonce, parties, document.id.encode())


def reveal(document: Frozen, sealed: bytes, secret: bytes | None) -> Frozen:
    """A document with its parties, or with them erased where there is no secret any more."""
    if secret is None or not sealed:
        return _for(document, _named(document.customer, ERASED), _named(document.account, ERASED))
    content = AESGCM(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], document.id.encode())
    parties = msgspec.json.decode(content, type=_Parties)
    return _for(document, parties.customer, parties.account)


def _for(document: Frozen, customer: Party, account: Party) -> Frozen:
    return msgspec.structs.replace(document, customer=customer, account=account)


def _named(party: Party, name: str) -> Party:
    return Party(id=party.id, name=name, primary_email="", address=Address())
