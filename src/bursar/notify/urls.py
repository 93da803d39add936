"""Where requests may be sent: what of it can be said before a name is looked up."""

from urllib.parse import urlsplit

from bursar.core.errors import Invalid

URL_LIMIT = 2000


def check_url(url: str, field: str) -> None:
    """Raise `Invalid` for what is no absolute http or https URL."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound or len(url) > URL_LIMIT or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(field, f"must be an absolute http or https URL of at most {URL_LIMIT} ASCII characters")
