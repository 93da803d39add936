"""Commands on people's data."""

from typing import Annotated

import typer

from bursar.accounts.service import erase_customer
from bursar.db.database import Database
from bursar.invoicing.groups import erase_groups
from bursar.invoicing.payments import erase_notes
from bursar.invoicing.remittances import erase_references
from bursar.ledger.credit_service import erase_purposes
from bursar.purchases.holds import erase_descriptions
from bursar.purchases.licenses import erase_metadata
from bursar.runtime.output import WORKSPACE, DataDirOption, JsonOption, UrlOption, WorkspaceOption, show
from bursar.runtime.session import caller_in, on_database

erase = typer.Typer(help="Forget people.", no_args_is_help=False, rich_markup_mode=None)


@erase.callback()
def people() -> None:
    """Forget people."""


@erase.command("customer", epilog="Example: bursar erase customer acme --workspace default")
def customer(
    identifier: Annotated[str, typer.Argument(metavar="ID", help="Id of the customer.")],
    workspace: WorkspaceOption = WORKSPACE,
    data_dir: DataDirOption = None,
    database_url: UrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Archive a customer and forget for good who it is. Ids, usage and amounts stay, and everything still verifies.

    Backups that were made before still hold it: delete them when their time has come.
    """

    async def work(db: Database) -> bool:
        caller = await caller_in(db, workspace)
        async with db.transaction(caller.workspace) as connection:
            await erase_notes(connection, caller, identifier)
            await erase_groups(connection, caller, identifier)
            await erase_references(connection, caller, identifier)
            await erase_purposes(connection, caller, identifier)
            await erase_descriptions(connection, caller, identifier)
            await erase_metadata(connection, caller, identifier)
            return await erase_customer(connection, caller, identifier)

    erased = on_database(data_dir, database_url, work)
    text = f"erased customer {identifier}" if erased else f"customer {identifier} was erased before"
    show({"customer": identifier, "erased": erased}, text, as_json=as_json)


def add_to(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(erase, name="erase")
