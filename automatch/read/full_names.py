"""What variables are called in the program that saved them, as far as that says more than their keys."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from automatch.names import is_of_optimizer

__all__ = ["NAMELESS", "telling"]

# An export of Keras 3 has each variable in two lists, by numbers that say less than any name.
_LISTED = re.compile(r"([^/]+)/\d+/\.ATTRIBUTES/")
# What TensorFlow calls a variable that nobody has named.
NAMELESS = "Variable"


def telling(full_names: Mapping[str, str]) -> dict[str, str]:
    """Key -> full name, where these tell the variables of an object apart; else, nothing: keys do.

    A `tf.Module` whose layers each call their variables `w` and `b` is told apart by attributes alone.

    >>> telling({"first/kernel": "dense/kernel", "second/kernel": "dense_1/kernel"})["second/kernel"]
    'dense_1/kernel'
    >>> telling({"first/kernel": "w", "second/kernel": "w"})
    {}
    """
    lists = {key: match and match[1] for key in full_names for match in (_LISTED.match(key),)}
    places = {key: (lists[key], name) for key, name in full_names.items()}
    counts = Counter(places.values())
    alike = {key for key, place in places.items() if counts[place] > 1 or full_names[key] in ("", NAMELESS)}
    # Optimizers of Keras call several of their own variables the same.
    if not all(map(is_of_optimizer, alike)):
        return {}
    return {key: name for key, name in full_names.items() if key not in alike}
