"""`python -m benchmarks accuracy|calibration|scale|verbs|speed|restore`: the figures, measured anew."""

from __future__ import annotations

import sys
from importlib import import_module

VERBS = {
    "accuracy": "right, wrong and missed per case and family, beside the plain baseline",
    "calibration": "of pairs with a score of 0.9, are nine in ten right? per left-out family",
    "scale": "CPU seconds and memory for 1,000, 10,000 and 100,000 variables a side",
    "verbs": "CPU seconds and memory of every verb of the command, on 100,000 variables",
    "speed": "CPU seconds and memory of whole processes, beside `import tensorflow`",
    "restore": "restoring, beside TensorFlow's own Saver",
}


def main(arguments: list[str]) -> int:
    """The exit code of a benchmark, which is given the arguments after its name."""
    if not arguments or arguments[0] not in VERBS:
        width = max(map(len, VERBS))
        lines = [f"  {verb:<{width}}  {text}" for verb, text in VERBS.items()]
        print("usage: python -m benchmarks VERB [OPTIONS]\n\n" + "\n".join(lines), file=sys.stderr)
        return 2
    result = import_module(f"benchmarks.{arguments[0]}").main(arguments[1:])
    return result if isinstance(result, int) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
