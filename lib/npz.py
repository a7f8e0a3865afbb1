"""Arrays of npz files that anybody may have made: measured before they are read.

An archive's directory, the header of an array and what is stored must agree. Nothing is
unpickled: that would run code from the file.
"""

import os
from math import prod
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from lib.errors import UserError

import numpy as np

# Up to here an archive that claims more than it stores can't do harm.
SMALL = 2**28
# Beyond it, what is stored is next to nothing: of zeros deflate makes a thousandth, of drawings in
# black and white a 300th.
MAX_COMPRESSION = 500


def declared(archive: ZipFile, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype of an array, which is stored in full.

    Raises:
        UserError: it is much more than what is stored.
        Exception: of any kind, where it isn't. (`files.reading` makes one line of it.)
    """
    member = archive.getinfo(f"{name}.npy")
    if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise ValueError(f"{name} is compressed as NumPy doesn't")
    status = os.fstat(archive.fp.fileno())
    if member.header_offset + member.compress_size > status.st_size:
        raise ValueError(f"{name} is cut off")
    # less than its size is on the disk of what has holes; not all systems tell
    on_disk = 512 * getattr(status, "st_blocks", 0) or status.st_size
    stored = min(member.compress_size, on_disk)
    if member.file_size > max(SMALL, MAX_COMPRESSION * stored):
        raise UserError(
            f"{name} in {archive.filename} is {member.file_size:,} bytes out of {stored:,}: give "
            "images, or save them with np.savez"
        )
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
