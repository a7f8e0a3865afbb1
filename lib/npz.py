"""Arrays of npz files that anybody may have made: measured before they are read.

An archive's directory, the header of an array and what is stored must agree. Nothing is
unpickled: that would run code from the file.
"""

import os
from math import prod
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np

# Up to here an archive that claims more than it stores can't do harm. Beyond, more than a hundred
# times what is stored means that this is next to nothing; MNIST is compressed 5 times.
SMALL = 2**28
MAX_COMPRESSION = 100


def allowance(archive: ZipFile) -> int:
    """The bytes that all that is made of an archive may take."""
    return max(SMALL, MAX_COMPRESSION * os.fstat(archive.fp.fileno()).st_size)


def declared(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array, which is stored in full.

    Raises:
        Exception: of any kind, where it isn't. (`files.reading` makes one line of it.)
    """
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed as NumPy doesn't")
    if member.header_offset + member.compress_size > os.fstat(archive.fp.fileno()).st_size:
        raise ValueError(f"{name} is cut off")
    if member.file_size > allowance(archive):
        raise ValueError(f"{name} is {member.file_size:,} bytes out of {member.compress_size:,}")
    with archive.open(member) as file:
        # NumPy writes later versions for arrays of records alone
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{name} is no array of numbers")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        size = file.tell() + prod(shape) * dtype.itemsize
    if dtype.hasobject:
        raise ValueError(f"{name} holds Python objects")
    if min(shape, default=0) < 0 or size != member.file_size:
        raise ValueError(f"{name} claims {size:,} bytes, and has {member.file_size:,}")
    return shape, dtype


def read(archive: ZipFile, name: str) -> np.ndarray:
    """An array that is `declared` well."""
    with archive.open(f"{name}.npy") as file:
        return np.lib.format.read_array(file, allow_pickle=False)
