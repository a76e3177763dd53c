"""apply, export, demo."""

from __future__ import annotations

import click

from automatch.cli.shared import loaded, printed, waiting
from automatch.report.lines import line

__all__ = ["apply", "demo", "export"]


@click.command(short_help="Write a checkpoint under the target's names.")
@click.argument("plan_path", metavar="PLAN")
@click.option(
    "-o", "--output", required=True, metavar="OUT", help="The new checkpoint's prefix, or the new file."
)
@click.option("--source", metavar="SOURCE", help="Where the checkpoint is now. Default: where the plan says.")
@click.option(
    "--copy", is_flag=True, help="Copy data shards; default is a hard link where values do not change."
)
@click.option("--force", is_flag=True, help="Write over a checkpoint that exists.")
@click.option("--skip-undecided", is_flag=True, help="Leave out what is undecided; default is to refuse.")
@click.option(
    "--to",
    type=click.Choice(["checkpoint", "safetensors", "npz", "keras-h5"]),
    default="checkpoint",
    show_default=True,
    help="The format to write; keras-h5 for a target that is a .weights.h5 or .h5 file.",
)
def apply(
    plan_path: str, output: str, source: str | None, copy: bool, force: bool, skip_undecided: bool, to: str
) -> int:
    """Write a checkpoint under the target's names, which TensorFlow reads as any other."""
    from automatch.rewrite import apply as rewrite

    plan = loaded(plan_path)
    with waiting(f"writing {output}") as progress:
        rewritten = rewrite(
            plan,
            output,
            source=source,
            copy=copy,
            force=force,
            skip_undecided=skip_undecided,
            progress=progress,
            to=to,
        )
    printed([line(str(rewritten))])
    return 0


@click.command(short_help="Code or a map to paste.")
@click.argument("plan_path", metavar="PLAN")
@click.option(
    "--as",
    "form",
    required=True,
    type=click.Choice(["var_list", "assignment_map", "saver_builder", "regex", "json"]),
    help="A dict for a Saver, a map for init_from_checkpoint, a builder for a Saver, regexes, plain names.",
)
@click.option("-o", "--output", metavar="PATH", help="Write it there. Default: print it.")
def export(plan_path: str, form: str, output: str | None) -> int:
    """Print the accepted pairs of PLAN as code or a map to paste, which needs no automatch to run."""
    from automatch.export import export as exported

    text = exported(loaded(plan_path), form)
    if output is None or output == "-":
        click.echo(text, nl=False)
        return 0
    from automatch.files import write_whole

    write_whole(output, text.encode("utf-8"))
    printed([line(f"Wrote {output}.")])
    return 0


@click.command(short_help="All of it on a small real checkpoint.")
@click.argument("folder", required=False, metavar="[DIR]")
def demo(folder: str | None) -> int:
    """Run it all on a small real checkpoint: propose, report, restore, see that the values arrived.

    The files are put into DIR, by default a new folder 'automatch-demo', to go on from there.
    """
    from automatch.demo import run

    run(folder or "automatch-demo")
    return 0
