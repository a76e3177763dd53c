"""What holds for files of all formats together."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zipfile

import pytest

from automatch.errors import UnreadableFile
from automatch.read import read


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "model.ckpt.index"
    path.write_bytes(bytes(2000))
    return path


def tarred(mode):
    def pack(file, out):
        with tarfile.open(out, mode) as archive:
            archive.add(file, file.name)

    return pack


def zipped(file, out):
    with zipfile.ZipFile(out, "w") as archive:
        archive.write(file, file.name)


def squeezed(library):
    return lambda file, out: out.write_bytes(library.compress(file.read_bytes()))


@pytest.mark.parametrize(
    "pack",
    [tarred("w"), tarred("w:gz"), zipped, *map(squeezed, (gzip, bz2, lzma))],
    ids=["tar", "tar.gz", "zip", "gz", "bz2", "xz"],
)
def test_a_packed_file_is_to_be_unpacked_first(tmp_path, checkpoint, pack):
    pack(checkpoint, tmp_path / "packed")
    with pytest.raises(UnreadableFile, match="is a packed archive. Unpack it, and give the file"):
        read(tmp_path / "packed")
