"""The command `forget`: what a person wrote is taken out of a run."""

from __future__ import annotations

import click

from agentnet.cli.common import Chosen, print_json, setting_options
from agentnet.cli.completion import complete_runs
from agentnet.cli.terminal import echo
from agentnet.people.forgetting import forget_person


@click.command()
@click.argument("name", metavar="RUN", shell_complete=complete_runs)
@click.argument("person")
@click.option(
    "--anyway", is_flag=True, help="Also where the run has not ended, and could never be gone on with then."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@setting_options
def forget(
    name: str,
    person: str,
    anyway: bool,
    as_json: bool,
    chosen: Chosen,
) -> None:
    """Take what a person wrote out of a run: of its log, its tables beside it, and what is known of them.

    PERSON is a number of the experimenter's page, what a panel calls them (only a hash of that is kept), or
    REALIZATION:AGENT. What they chose stays; where a text of theirs stood, also as others quoted it, stands
    [forgotten]. The log says that it was done and what its digest was before; agentnet verify passes.

    A run that has not ended could not be gone on with: whoever is asked next would be told [forgotten] where
    a text of theirs was. So it is refused, before anything is taken out, unless you give up the rest of the
    run by --anyway. Who withdraws on their own page is asked nothing more; their texts go when the run ends.

    \b
      agentnet forget last 7
    """
    folder = chosen.run(name)
    found = forget_person(folder, person, anyway=anyway)
    left = [str(path.relative_to(folder)) for path in found.left_in]
    if as_json:
        print_json({"run": str(folder), "texts": found.n_texts, "places": found.n_cells, "left_in": left})
        return
    echo(f"{found.n_texts} texts were taken out of {found.n_cells} places in {folder}")
    for path in left:
        echo(f"note: one of them can still be read in {path}; make it anew, or delete it", err=True)
