"""Pickles read as data: nothing that a pickle names is imported, nothing that it calls is called.

A pickle is a program for a small stack machine, and Python's own machine runs what the program asks for.
This one writes down instead: a global is its name, a call is a record of what would have been called with
what. The stdlib's `pickletools` decodes the instructions (https://docs.python.org/3/library/pickletools.html).
"""

from __future__ import annotations

import io
import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

__all__ = ["Bounded", "Call", "Global", "Persistent", "Span", "loads"]

# Instructions with an argument that can be long, which stands in the file as it is or as UTF-8.
_LONG = frozenset({"BINBYTES", "BINBYTES8", "BYTEARRAY8", "BINSTRING"})
_LONG_TEXT = frozenset({"BINUNICODE", "BINUNICODE8"})
_KEPT = 4096

# A tensor takes about 32 instructions; each leaves at most one object of about 100 bytes.
_MOST_INSTRUCTIONS = 4_000_000


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function, `module.name`."""

    name: str


@dataclass(slots=True, eq=False)
class Call:
    """What calling `name` with `args` would have made, and what was put into that afterwards."""

    name: str
    args: Any
    state: Any = None
    entries: dict[Any, Any] = field(default_factory=dict)
    items: list[Any] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to something outside the pickle."""

    reference: Any


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes that have been left in the file; text is what stands for bytes in UTF-8, one character each."""

    start: int
    length: int
    text: bool = False


class Bounded:
    """A file that may be asked for any number of bytes: it hands out those that are there, up to a limit."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        self._file, self._left = file, limit

    def read(self, count: int) -> bytes:
        """At most `count` bytes."""
        data = self._file.read(max(0, min(count, self._left)))
        self._left -= len(data)
        return data

    def tell(self) -> int:
        """The position in the file."""
        return self._file.tell()

    def readline(self) -> bytes:
        """A line, or what the limit leaves of it."""
        data = self._file.readline(self._left)
        self._left -= len(data)
        return data


def loads(file: io.BytesIO | Bounded) -> Any:
    """The tree that the pickle at the file's position describes; the file is left behind its last byte.

    Long bytes and texts are not kept: a Span says where they are.
    Raises ValueError for what is no pickle, is too long or wants what only a live process has.
    """
    machine = _Machine()
    name = ""
    program = pickletools.genops(file)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        # Text that escapes what needs no escape is nothing that the reader of a file could change.
        warnings.simplefilter("ignore", DeprecationWarning)
        for opcode, arg, _ in islice(program, _MOST_INSTRUCTIONS):
            name = opcode.name
            step = _STEPS.get(name)
            if step is None:
                raise ValueError(f"its pickle has the instruction {name}")
            step(machine, _span(file, name, arg) or arg)
    if name != "STOP":
        raise ValueError(f"its pickle has more than {_MOST_INSTRUCTIONS} instructions")
    return machine.pop()


def _span(file: io.BytesIO | Bounded, name: str, arg: Any) -> Span | None:
    """Where a long argument stands that has just been read."""
    if name not in _LONG | _LONG_TEXT or len(arg) <= _KEPT:
        return None
    length = len(arg.encode("utf-8", "surrogatepass")) if name in _LONG_TEXT else len(arg)
    return Span(file.tell() - length, length, name in _LONG_TEXT)


class _Machine:
    """The stack, the marks in it and the memo."""

    def __init__(self) -> None:
        self._stack: list[Any] = []
        self._below: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def push(self, thing: Any) -> None:
        self._stack.append(thing)

    def pop(self) -> Any:
        return self._stack.pop()

    def top(self) -> Any:
        return self._stack[-1]

    def mark(self, _: Any) -> None:
        self._below.append(self._stack)
        self._stack = []

    def to_mark(self) -> list[Any]:
        things, self._stack = self._stack, self._below.pop()
        return things

    def drop(self, _: Any = None) -> None:
        if self._stack:
            self._stack.pop()
        else:
            self.to_mark()

    def drop_to_mark(self, _: Any) -> None:
        self.to_mark()

    def get(self, index: Any) -> None:
        self._stack.append(self._memo[int(index)])

    def put(self, index: Any) -> None:
        self._memo[int(index)] = self.top()

    def memoize(self, _: Any) -> None:
        self._memo[len(self._memo)] = self.top()

    def tuple_of(self, count: int) -> None:
        things = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(things)))

    def append(self, things: list[Any]) -> None:
        onto = self.top()
        if isinstance(onto, Call):
            onto.items.extend(things)
        elif isinstance(onto, list):
            onto.extend(things)

    def set_items(self, things: list[Any]) -> None:
        onto = self.top()
        entries = onto.entries if isinstance(onto, Call) else onto
        if isinstance(entries, dict):
            _fill(entries, things)

    def call(self, function: Any, args: Any) -> None:
        self.push(Call(function.name if isinstance(function, Global) else "", args))

    def reduce(self, _: Any) -> None:
        args = self.pop()
        self.call(self.pop(), args)

    def new_with_keywords(self, _: Any) -> None:
        self.pop()
        self.reduce(None)

    def new_from_mark(self, _: Any) -> None:
        function, *args = self.to_mark()
        self.call(function, tuple(args))

    def instance(self, name: str) -> None:
        self.call(_global(name), tuple(self.to_mark()))

    def build(self, _: Any) -> None:
        state, onto = self.pop(), self.top()
        if isinstance(onto, Call):
            onto.state = state

    def stack_global(self, _: Any) -> None:
        name, module = self.pop(), self.pop()
        self.push(_global(f"{module} {name}"))

    def persistent(self, _: Any) -> None:
        self.push(Persistent(self.pop()))

    def dictionary(self, _: Any) -> None:
        things = self.to_mark()
        made: dict[Any, Any] = {}
        _fill(made, things)
        self.push(made)


def _global(words: str) -> Global:
    module, _, name = words.partition(" ")
    return Global(f"{module}.{name}")


def _fill(entries: dict[Any, Any], things: list[Any]) -> None:
    pairs = zip(things[::2], things[1::2], strict=True)
    # Hashing a tuple in a tuple in a tuple … overflows the stack of the process; no weight is called so.
    entries.update((key, value) for key, value in pairs if isinstance(key, (str, int, bytes, float)))


_PUSHED = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
_STEPS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_PUSHED, _Machine.push),
    **dict.fromkeys(("PROTO", "FRAME", "STOP"), lambda *_: None),
    "NONE": lambda m, _: m.push(None),
    "NEWTRUE": lambda m, _: m.push(True),
    "NEWFALSE": lambda m, _: m.push(False),
    "EMPTY_LIST": lambda m, _: m.push([]),
    "EMPTY_DICT": lambda m, _: m.push({}),
    "EMPTY_SET": lambda m, _: m.push([]),
    "EMPTY_TUPLE": lambda m, _: m.push(()),
    "MARK": _Machine.mark,
    "POP": _Machine.drop,
    "POP_MARK": _Machine.drop_to_mark,
    "DUP": lambda m, _: m.push(m.top()),
    "GET": _Machine.get,
    "BINGET": _Machine.get,
    "LONG_BINGET": _Machine.get,
    "PUT": _Machine.put,
    "BINPUT": _Machine.put,
    "LONG_BINPUT": _Machine.put,
    "MEMOIZE": _Machine.memoize,
    "TUPLE": lambda m, _: m.push(tuple(m.to_mark())),
    "TUPLE1": lambda m, _: m.tuple_of(1),
    "TUPLE2": lambda m, _: m.tuple_of(2),
    "TUPLE3": lambda m, _: m.tuple_of(3),
    "LIST": lambda m, _: m.push(m.to_mark()),
    "FROZENSET": lambda m, _: m.push(m.to_mark()),
    "DICT": _Machine.dictionary,
    "APPEND": lambda m, _: m.append([m.pop()]),
    "APPENDS": lambda m, _: m.append(m.to_mark()),
    "ADDITEMS": lambda m, _: m.append(m.to_mark()),
    "SETITEM": lambda m, _: m.set_items([m.pop(), m.pop()][::-1]),
    "SETITEMS": lambda m, _: m.set_items(m.to_mark()),
    "GLOBAL": lambda m, words: m.push(_global(words)),
    "STACK_GLOBAL": _Machine.stack_global,
    "INST": _Machine.instance,
    "OBJ": _Machine.new_from_mark,
    "NEWOBJ": _Machine.reduce,
    "NEWOBJ_EX": _Machine.new_with_keywords,
    "REDUCE": _Machine.reduce,
    "BUILD": _Machine.build,
    "PERSID": lambda m, reference: m.push(Persistent(reference)),
    "BINPERSID": _Machine.persistent,
}
