"""A person decides: in the browser, in one file that can be mailed, or in the terminal.

plan ──> groups ──> page ──> report (a file)
           │          └────> server ──┐
           └───────> terminal ────────┴──> session ──> answers, resolve ──> plan
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from automatch.plan import Plan

if TYPE_CHECKING:
    from typing import TextIO

    from automatch.tensor import Listing

__all__ = ["review", "serve", "terminal", "write_report"]


def serve(
    plan_path: str | os.PathLike[str],
    *,
    open_browser: bool = True,
    source: Listing | None = None,
    target: Listing | None = None,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """The plan as it is on disk after a person has reviewed it in the browser.

    Returns when the page says done, or at Ctrl-C; only what was saved counts.

    source, target: the sides of the plan, where they are live objects or files that have moved.
    tell: gets each line for the person: the address first, what was decided last. Left out, stdout.

    Raises:
        UnreadableFile, PlanError, PlanConflict: the plan cannot be loaded.
    """
    from automatch.review.server import Server
    from automatch.review.session import Session, summary

    session = Session(plan_path, source=source, target=target)
    say = tell or _say
    with Server(session, tell=say) as server:
        say(f"Review {session.path.name} at {server.url}")
        say("Nothing is restored there. Ctrl-C here, or 'Done' in the page, ends it.")
        if open_browser:
            _browse(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.1)
    say(f"{session.path}: {summary(session.plan)}")
    return session.plan


def review(
    plan: Plan,
    path: str | os.PathLike[str] | None = None,
    *,
    open_browser: bool = True,
    source: Listing | None = None,
    target: Listing | None = None,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """The plan with the decisions that a person saved in the browser; see `serve`.

    path: the file that Save writes, where the plan is put first; left out, the plan is in no file afterwards.

    Raises:
        UnwritableFile: the file cannot be written.
    """
    import tempfile

    with tempfile.TemporaryDirectory(prefix="automatch-") as folder:
        place = plan.save(path if path is not None else f"{folder}/model.plan.json")
        return serve(place, open_browser=open_browser, source=source, target=target, tell=tell)


def _say(line: str) -> None:
    print(line, flush=True)


def _browse(url: str) -> None:
    """Opens the browser without waiting for it, so that the server can answer."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def write_report(
    plan: Plan, path: str | os.PathLike[str], *, plan_path: str | os.PathLike[str] | None = None
) -> os.PathLike[str]:
    """The path, after the review page has been written there as one file; Save in it downloads the plan."""
    from automatch.review import page

    return page.write_report(plan, path, plan_path=plan_path)


def terminal(
    plan_path: str | os.PathLike[str], *, lines: TextIO | None = None, out: TextIO | None = None
) -> Plan:
    """The plan after a person has reviewed it in the terminal; see `automatch.review.terminal`."""
    from automatch.review.dialogue import review

    return review(plan_path, lines=lines, out=out)
