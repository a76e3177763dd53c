"""inspect, suggest, show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automatch.cli.shared import color_option, exit_code, loaded, note, notes_of, pairs_of, printed, waiting
from automatch.report.lines import Line, line

if TYPE_CHECKING:
    from automatch.plan import Plan

__all__ = ["inspect", "show", "suggest"]

# How much of a section a terminal shows; a pipe gets all of it.
SCREEN = 15


@click.command(short_help="What a file holds, or how two files differ.")
@click.argument("file")
@click.argument("other", required=False, metavar="[FILE2]")
@click.option("--tree", "as_tree", is_flag=True, help="Scopes as a tree, with the sizes of each.")
@click.option(
    "--json", "as_json", is_flag=True, help="A listing, which can stand for FILE without its weights."
)
@color_option
def inspect(file: str, other: str | None, as_tree: bool, as_json: bool, color: str) -> int:
    """Print what FILE holds, one tensor a line; or how FILE and FILE2 differ.

    With two files the exit code is 0 if they hold the same names, shapes and dtypes, else 3.
    """
    from automatch.read import read
    from automatch.report.listing import compare, comparison, listed, totals, tree

    if other is not None and (as_tree or as_json):
        raise click.UsageError("--tree and --json are for one file.")
    listing = read(file)
    notes_of(listing)
    if other is not None:
        second = read(other)
        notes_of(second)
        found = compare(listing, second)
        printed(comparison(found, file, other), color)
        return 0 if found.is_same else 3
    if as_json:
        from automatch.read.listing import dumps

        click.echo(dumps(listing), nl=False)
        return 0
    printed(tree(listing) if as_tree else listed(listing), color)
    printed([line(f"# {totals(listing)}", "dim")], color)
    return 0


@click.command(short_help="Propose the mapping, as a report and a plan.")
@click.argument("source")
@click.argument("target")
@click.option(
    "-o", "--output", metavar="PATH", help="Where to write the plan; '-' prints it. Default: beside SOURCE."
)
@click.option(
    "--min-score", type=click.FloatRange(0, 1), default=0.8, show_default=True, help="Accept from here up."
)
@click.option(
    "--exclude", multiple=True, metavar="GLOB", help="Leave these variables alone ('*' crosses slashes)."
)
@click.option(
    "--pair", multiple=True, metavar="TARGET=SOURCE", help="A pair that you know; it teaches the rest."
)
@click.option("--use-ema", is_flag=True, help="Take moving averages for the variables that they shadow.")
@click.option(
    "--values", is_flag=True, help="Ask values of SOURCE where names do not tell scales from offsets."
)
@click.option("--json", "as_json", is_flag=True, help="Print the plan, not the report.")
@click.option("--names", is_flag=True, help="Print source<TAB>target<TAB>score lines, not the report.")
@click.option("-q", "--quiet", is_flag=True, help="Print the totals only.")
@click.option("--force", is_flag=True, help="Write over a plan that holds your decisions.")
@click.option(
    "--exit-code", "with_code", is_flag=True, help="Exit 3 if something is undecided, 4 if unmatched."
)
@color_option
def suggest(
    source: str,
    target: str,
    output: str | None,
    min_score: float,
    exclude: tuple[str, ...],
    pair: tuple[str, ...],
    use_ema: bool,
    values: bool,
    as_json: bool,
    names: bool,
    quiet: bool,
    force: bool,
    with_code: bool,
    color: str,
) -> int:
    """Propose which tensor of SOURCE goes to which variable of TARGET, and write it down as a plan.

    Nothing is restored. Pairs of --min-score and above are accepted, the others wait for a decision.
    """
    from automatch.read import read
    from automatch.read.checkpoint import require_values

    if as_json and names:
        raise click.UsageError("--json and --names exclude each other.")
    with waiting(f"reading {Path(source).name} and {Path(target).name}"):
        here, there = read(source), read(target)
    pairs = pairs_of(pair, there.by_name)
    require_values(here, source)
    notes_of(here)
    notes_of(there)
    if here.values is None:
        note(f"{source} holds names and no values; 'automatch apply' takes them from --source CHECKPOINT")
    for glob in _idle(exclude, list(there.by_name)):
        note(f"--exclude '{glob}' matches no variable of {target}")
    with waiting(f"matching {len(there):,} variables"):
        from automatch.caveats import caveats
        from automatch.suggest import suggest as propose

        plan = propose(
            here,
            there,
            min_score=min_score,
            exclude=exclude,
            pairs=pairs,
            use_ema=use_ema,
            values=values,
        )
    for sentence in caveats(here, there, [(entry.source, entry.target) for entry in plan.accepted]):
        note(sentence)
    place = _written(plan, source, output, force=force, optional=as_json or names)
    if output == "-" or as_json:
        click.echo(plan.to_json(), nl=False)
    elif names:
        printed(_names(plan), color)
    else:
        printed(_report(plan, place, quiet, names_only=here.values is None), color)
    return exit_code(plan) if with_code else 0


def _idle(globs: tuple[str, ...], names: list[str]) -> Iterator[str]:
    from fnmatch import fnmatchcase

    yield from (glob for glob in globs if not any(fnmatchcase(name, glob) for name in names))


def _written(plan: Plan, source: str, output: str | None, *, force: bool, optional: bool) -> str | None:
    """Where the plan was written, None for nowhere.

    optional: somebody asked for the plan on stdout; a folder that cannot be written to is then no failure.
    """
    from automatch.errors import UnwritableFile

    if output == "-":
        return None
    place = output or f"{(plan.source.path or source).rstrip('/')}.plan.json"
    try:
        _guard(Path(place), force=force)
        plan.save(place)
    except UnwritableFile as error:
        if output is not None or not optional:
            raise
        note(f"the plan was not saved: {error}")
        return None
    return place


def _guard(place: Path, *, force: bool) -> None:
    """Raises UnwritableFile for a file that holds a person's work, or anything but a plan."""
    from automatch.errors import AutomatchError, UnwritableFile

    if force or not place.is_file() or place.stat().st_size == 0:
        return
    try:
        old = loaded(place)
    except AutomatchError as error:
        message = (
            f"'{place}' exists and is no plan. Name another place with -o, or write over it with --force."
        )
        raise UnwritableFile(message) from error
    if any(pair.by == "person" for pair in old.pairs):
        raise UnwritableFile(
            f"'{place}' holds decisions of a person. Name another place with -o, or drop them with --force."
        )


def _names(plan: Plan) -> Iterator[Line]:
    from automatch.report.lines import shown

    for pair in plan.pairs:
        yield line(f"{shown(pair.source)}\t{shown(pair.target)}\t{pair.score:.2f}")


def _report(plan: Plan, place: str | None, quiet: bool, *, names_only: bool) -> Iterator[Line]:
    import sys

    from automatch.report.plan import next_steps, report, summary

    if quiet:
        yield line(summary(plan))
        return
    terminal = sys.stdout.isatty()
    yield from report(plan, most=SCREEN if terminal else None, whole=not terminal)
    yield from next_steps(plan, place, names_only=names_only)


@click.command(short_help="The report again; or why a pair is proposed.")
@click.argument("plan_path", metavar="PLAN")
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the plan, or the pairs that WHAT means, as JSON."
)
@click.option("--names", is_flag=True, help="Print source<TAB>target<TAB>score lines.")
@color_option
def show(plan_path: str, what: tuple[str, ...], as_json: bool, names: bool, color: str) -> int:
    """Print the report of PLAN again; or why: WHAT is a rule ('#2'), a name of either side, or a glob."""
    import sys

    from automatch.report.explain import explain
    from automatch.report.plan import report

    plan = loaded(plan_path)
    if as_json or names:
        return _show_pairs(plan, what, as_json, color)
    if not what:
        printed(report(plan, whole=not sys.stdout.isatty()), color)
    for position, word in enumerate(what):
        if position:
            printed([line()], color)
        printed(explain(plan, word), color)
    return 0


def _show_pairs(plan: Plan, what: tuple[str, ...], as_json: bool, color: str) -> int:
    import msgspec

    from automatch.decide import select

    chosen = select(plan, what) if what else plan.pairs
    if not as_json:
        printed(_names(msgspec.structs.replace(plan, pairs=chosen)), color)
    elif what:
        click.echo("[" + ",\n ".join(msgspec.json.encode(pair).decode() for pair in chosen) + "]")
    else:
        click.echo(plan.to_json(), nl=False)
    return 0
