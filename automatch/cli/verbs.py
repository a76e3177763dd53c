"""The group of verbs, in the order in which a person needs them."""

from __future__ import annotations

import click

from automatch.cli.deciding import accept, check, reject, review
from automatch.cli.proposing import inspect, show, suggest
from automatch.cli.using import apply, demo, export

__all__ = ["automatch"]


class _InOrder(click.Group):
    """Verbs listed in the order of work, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="automatch", message="automatch %(version)s")
def automatch() -> None:
    """Match the variable names of a checkpoint to those of the graph or model that must load it.

    SOURCE and TARGET are whatever holds named tensors: a checkpoint prefix, a .meta, a SavedModel, a weights
    file, a listing. No verb but apply changes a checkpoint, and apply writes a new one.

    --debug shows the traceback of an error.
    """


for verb in (inspect, suggest, show, review, accept, reject, check, apply, export, demo):
    automatch.add_command(verb)
