"""Graphs written as text (`.pbtxt`), through TensorFlow, whose schema the text needs."""

from __future__ import annotations

import re
from pathlib import Path

from automatch.errors import UnreadableFile
from automatch.read.files import damage_as_error, read_whole
from automatch.read.meta import listing_of, parse
from automatch.tensor import Listing

__all__ = ["matches", "read"]

# Ten times as long as the same graph in bytes, and slow.
_LIMIT = 512 * 2**20
_META = re.compile(rb"^(meta_info_def|graph_def|saver_def|collection_def|signature_def)\s*:?\s*\{")
_GRAPH = re.compile(rb"^(node|library|versions)\s*:?\s*\{")


def matches(_path: Path, head: bytes) -> bool:
    """Whether the first bytes open a field of a MetaGraphDef or a GraphDef in text."""
    return bool(_META.match(head.lstrip()) or _GRAPH.match(head.lstrip()))


def read(path: Path) -> Listing:
    """The listing of a graph in text. Raises UnreadableFile."""
    from google.protobuf import text_format
    from tensorflow.core.framework.graph_pb2 import GraphDef
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef

    data = read_whole(path, _LIMIT)
    message = MetaGraphDef() if _META.match(data.lstrip()) else GraphDef()
    with damage_as_error(path, "graph"):
        try:
            text_format.Parse(data, message)
        except text_format.ParseError as error:
            raise UnreadableFile(f"'{path}' is no graph in text: {error}. Export the graph again.") from error
        return listing_of(parse(message.SerializeToString()), str(path))
