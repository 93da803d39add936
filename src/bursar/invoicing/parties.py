"""Who an invoice is for, sealed: a frozen document never changes, and yet a person can be erased from it.

The text of a frozen document has empty names, e-mails and addresses. What belongs there stands beside it, sealed under
the secret of the customer; the document's hash covers both. Erasing the customer removes the secret: chains and hashes
stay as they are, and nobody can say any more who it was.
"""

import hashlib

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bursar.accounts.model import ERASED, Address
from bursar.invoicing.document import Document, Party, from_text, to_text

_NONCE = 12


class _Parties(msgspec.Struct, array_like=True):
    customer: Party
    account: Party


def conceal(document: Document, secret: bytes | None) -> tuple[str, bytes]:
    """The text to freeze, and the parties sealed; of a customer that is erased there is nothing to seal."""
    if secret is None:
        return to_text(_emptied(document)), b""
    parties = msgspec.json.encode(_Parties(document.customer, document.account))
    # Under one secret an invoice is sealed once, so its id gives a nonce that never comes again.
    nonce = hashlib.sha256(document.id.encode()).digest()[:_NONCE]
    return to_text(_emptied(document)), nonce + AESGCM(secret).encrypt(nonce, parties, document.id.encode())


def reveal(text: str, sealed: bytes, secret: bytes | None) -> Document:
    """The document as it was issued; with its parties erased where there is no secret any more."""
    document = from_text(text)
    if secret is None or not sealed:
        return msgspec.structs.replace(document, customer=_erased(document.customer), account=_erased(document.account))
    content = AESGCM(secret).decrypt(sealed[:_NONCE], sealed[_NONCE:], document.id.encode())
    parties = msgspec.json.decode(content, type=_Parties)
    return msgspec.structs.replace(document, customer=parties.customer, account=parties.account)


def _emptied(document: Document) -> Document:
    return msgspec.structs.replace(document, customer=_with(document.customer, ""), account=_with(document.account, ""))


def _erased(party: Party) -> Party:
    return _with(party, ERASED)


def _with(party: Party, name: str) -> Party:
    return Party(id=party.id, name=name, primary_email="", address=Address())
