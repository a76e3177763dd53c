"""The command: arguments in, exit code out.

    0 done
    1 failed
    2 wrong usage
    3 something to decide; two files differ
    4 nothing to decide, but variables without counterpart
    128 + the number of the signal that ended it

3 and 4 come from `check`, from `--exit-code` and from comparing two files. What a verb needs is imported
inside it: `automatch --help` takes a tenth of a second.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click

from automatch.errors import AutomatchError
from automatch.report.lines import shown

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code of a command line; left out, the arguments are those of the process."""
    # Names and tensors are many and in no cycles: a graph of 38,000 nodes took 0.6 s, and 0.42 s uncollected.
    gc.set_threshold(100_000, 50, 100)
    # The matrices are small: a second thread of BLAS waits for work as long as the rest takes to do it.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    try:
        with _tidy_when_ended():
            return _run([argument for argument in given if argument != "--debug"])
    except BrokenPipeError:
        return _hung_up()
    except KeyboardInterrupt:
        return _interrupted()
    except (AutomatchError, OSError, MemoryError, RecursionError, UnicodeError) as error:
        if debug:
            raise
        return _failed(_sentence(error))
    except Exception as error:
        if debug:
            raise
        return _failed(f"{type(error).__name__}: {error}. This is a mistake in automatch: see --debug.")


@contextmanager
def _tidy_when_ended() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP clean up as an interrupt does, and exit as a shell has it: 143 and 129.

    Left alone are a signal that is ignored, under nohup for one, and handlers of whoever calls this.
    """
    import signal
    import threading

    names = ("SIGTERM", "SIGHUP") if threading.current_thread() is threading.main_thread() else ()
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    ours = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]

    def end(number: int, _frame: object) -> None:
        for each in ours:
            # A second one would stop the cleaning up.
            signal.signal(each, signal.SIG_IGN)
        sys.exit(128 + number)

    try:
        for number in ours:
            signal.signal(number, end)
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _run(arguments: list[str]) -> int:
    from automatch.cli.verbs import automatch

    if "_AUTOMATCH_COMPLETE" in os.environ:
        # A shell asks what could follow; click answers and exits.
        automatch.main(arguments, prog_name="automatch")
    try:
        # Not `automatch.main`: it turns a broken pipe into an exit that looks like any failure.
        with automatch.make_context("automatch", arguments) as context:
            result = automatch.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.exceptions.Abort:
        return _interrupted()
    except click.ClickException as error:
        return _misused(error)
    return result if isinstance(result, int) else 0


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.", err=True)
    _failed(error.format_message())
    return error.exit_code


def _sentence(error: BaseException) -> str:
    if isinstance(error, AutomatchError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory. Run it where there is more, or give a listing instead."
    if isinstance(error, OSError):
        place = f"'{error.filename}': " if error.filename else ""
        return f"{place}{(error.strerror or str(error)).lower()}. Check the path and the disk."
    return f"{type(error).__name__}: {error}. --debug shows where."


def _failed(sentence: str) -> int:
    # Line by line: an error may come from a library with its own line ends; control bytes never get through.
    text = " ".join(shown(part) for part in sentence.splitlines())
    click.echo(f"automatch: error: {text}", err=True)
    return 1


def _interrupted() -> int:
    click.echo("automatch: interrupted; nothing was left half done.", err=True)
    return 130


def _hung_up() -> int:
    # Whoever reads has seen enough, as `head` does. Python would complain once more at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0
