"""review, accept, reject, check."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from automatch.cli.shared import color_option, exit_code, loaded, note, notes_of, pairs_of, printed
from automatch.report.lines import line

if TYPE_CHECKING:
    from automatch.plan import Decision, Plan
    from automatch.tensor import Listing

__all__ = ["accept", "check", "reject", "review"]


@click.command(short_help="Decide, in the browser or the terminal.")
@click.argument("plan_path", metavar="PLAN")
@click.option("--terminal", "in_terminal", is_flag=True, help="Ask here, with the keys of the page.")
@click.option("--report", "report_path", metavar="PATH", help="Write the page as one file and serve nothing.")
@click.option("--no-browser", is_flag=True, help="Print the address and open no browser.")
def review(plan_path: str, in_terminal: bool, report_path: str | None, no_browser: bool) -> int:
    """Decide what is undecided in PLAN: in the browser, on a page that only this machine can reach."""
    from automatch import review as room

    if in_terminal and report_path:
        raise click.UsageError("--terminal and --report exclude each other.")
    if report_path:
        room.write_report(loaded(plan_path), report_path, plan_path=plan_path)
        click.echo(f"Wrote {report_path}. It opens in any browser and asks the network nothing.")
    elif in_terminal:
        room.terminal(plan_path)
    else:
        room.serve(plan_path, open_browser=not no_browser)
    return 0


_OUTPUT = click.option("-o", "--output", metavar="PATH", help="Write the new plan there. Default: over PLAN.")


@click.command(short_help="Accept pairs, from a script.")
@click.argument("plan_path", metavar="PLAN")
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option(
    "--min-score", type=click.FloatRange(0, 1), help="Accept what is undecided and scores this or more."
)
@click.option(
    "--pair", multiple=True, metavar="TARGET=SOURCE", help="Give TARGET this source, and accept it."
)
@_OUTPUT
def accept(
    plan_path: str, what: tuple[str, ...], min_score: float | None, pair: tuple[str, ...], output: str | None
) -> int:
    """Accept pairs of PLAN: WHAT is a rule ('#2'), a name of either side, or a glob.

    With WHAT and --min-score, both must hold. A source that --pair takes from another variable is exchanged,
    and one that --pair gives to several is theirs in common.
    """
    from automatch.files import locked

    with locked(plan_path):
        plan = loaded(plan_path)
        targets = {entry.target: None for entry in plan.unmatched}
        targets |= {entry.target: None for entry in plan.pairs}
        taken = pairs_of(pair, targets)
        if not (what or taken or min_score is not None):
            raise click.UsageError("Say what to accept: a rule, a name, a glob, --min-score or --pair.")
        if taken:
            plan = _taken(plan, taken)
        count = len(taken)
        if what or min_score is not None:
            plan, more = _decided(plan, what, "accept", at_least=min_score)
            count += more
        return _saved(plan, output or plan_path, f"accepted {count:,}")


def _taken(plan: Plan, pairs: Mapping[str, str]) -> Plan:
    """The plan with the pairs that a person names, after a note on each other variable that they change."""
    from automatch.review.page import side
    from automatch.review.resolve import moves

    before, sides = plan, (side(plan, "source"), side(plan, "target"))
    for target, source in pairs.items():
        tied = [other for other, given in pairs.items() if given == source]
        plan = plan.take(target, source, swap=True, tied=tied, sides=sides)
    for move in moves(before, plan):
        if move["target"] not in pairs:
            left = f"has '{move['after']}' instead" if move["after"] else "has no counterpart now"
            note(f"'{move['target']}' gave up '{move['before']}' and {left}")
    return plan


@click.command(short_help="Reject pairs, from a script.")
@click.argument("plan_path", metavar="PLAN")
@click.argument("what", nargs=-1, metavar="[WHAT]...")
@click.option("--min-score", type=click.FloatRange(0, 1), help="Reject what is undecided and scores less.")
@_OUTPUT
def reject(plan_path: str, what: tuple[str, ...], min_score: float | None, output: str | None) -> int:
    """Reject pairs of PLAN: their variables stay as they are. WHAT is a rule ('#2'), a name, a glob.

    With WHAT and --min-score, both must hold.
    """
    from automatch.files import locked

    with locked(plan_path):
        plan = loaded(plan_path)
        if not (what or min_score is not None):
            raise click.UsageError("Say what to reject: a rule, a name, a glob or --min-score.")
        plan, count = _decided(plan, what, "reject", below=min_score)
        return _saved(plan, output or plan_path, f"rejected {count:,}")


def _decided(
    plan: Plan,
    what: tuple[str, ...],
    decision: Decision,
    *,
    at_least: float | None = None,
    below: float | None = None,
) -> tuple[Plan, int]:
    """The plan with its decisions, and how many. A bound on the score leaves decided pairs alone."""
    from automatch.decide import select

    chosen = select(plan, what) if what else plan.undecided
    if at_least is not None:
        chosen = tuple(pair for pair in chosen if pair.decision == "undecided" and pair.score >= at_least)
    if below is not None:
        chosen = tuple(pair for pair in chosen if pair.decision == "undecided" and pair.score < below)
    return plan.decide([pair.target for pair in chosen], decision), len(chosen)


def _saved(plan: Plan, path: str, done: str) -> int:
    from automatch.report.plan import summary

    plan.save(path)
    printed([line(f"{done}; {summary(plan)}")])
    return 0


@click.command(short_help="Does the plan still fit? Is anything undecided?")
@click.argument("plan_path", metavar="PLAN")
@click.argument("source", required=False)
@click.argument("target", required=False)
@color_option
def check(plan_path: str, source: str | None, target: str | None, color: str) -> int:
    """Say whether PLAN still fits SOURCE and TARGET, and whether anything in it is undecided.

    Left out, SOURCE and TARGET are the files that the plan was made for. Exits 1 if the plan is stale, 3 if
    something is undecided, 4 if nothing is but variables have no counterpart.
    """
    from automatch.report.plan import summary

    plan = loaded(plan_path)
    compared = [_listing(source, plan.source.path), _listing(target, plan.target.path)]
    plan.check(*compared)
    sides = [listing.path for listing in compared if listing is not None and listing.path]
    if sides:
        printed([line(f"The plan fits {' and '.join(sides)}.")], color)
    printed([line(summary(plan))], color)
    return exit_code(plan)


def _listing(given: str | None, recorded: str | None) -> Listing | None:
    """What a side holds now; None, with a note, where the plan's own file is not at hand."""
    from automatch.read import read

    if given is None and (recorded is None or not _exists(recorded)):
        note(f"not compared with {recorded or 'the live object'}, which is not here")
        return None
    listing = read(given or recorded)
    notes_of(listing)
    return listing


def _exists(path: str) -> bool:
    return Path(path).exists() or Path(f"{path}.index").exists()
