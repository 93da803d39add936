"""Who uses Bursar and whom it bills.

Owns: workspaces with their clocks and currencies, tokens and logins, customers, accounts, their aliases, contacts and
settings, and what admission must know of an account (names, calendar, what is closed); the gate that such changes
pass; files that were made for a workspace.
Does not own: what an account uses, buys or owes.
"""

OWNS: tuple[str, ...] = (
    "server_secret",
    "workspace",
    "currency",
    "token",
    "change_log",
    "customer",
    "customer_profile",
    "account",
    "account_profile",
    "account_terms",
    "account_count",
    "account_name",
    "alias",
    "account_calendar",
    "contact",
    "admin_user",
    "api_access",
    "setting",
    "setting_version",
    "stored_file",
)
