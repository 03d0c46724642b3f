"""Grey pixels as PNG, uncompressed, so that the same pixels give the same bytes.

Compressed bytes differ between versions of zlib; these go into committed text files.
"""

from __future__ import annotations

import struct
import zlib

_BLOCK = 65535  # the most that one stored block of deflate holds


def grey(rows: int, columns: int, pixels: bytes) -> bytes:
    """An 8-bit grey picture, row by row."""
    lines = (pixels[r * columns : (r + 1) * columns] for r in range(rows))
    raw = b"".join(b"\0" + line for line in lines)  # each row with filter "none"
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", _stored(raw)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*chunk) for chunk in chunks)


def _stored(raw: bytes) -> bytes:
    """A zlib stream of stored blocks."""
    blocks: list[bytes] = []
    for start in range(0, len(raw), _BLOCK):
        part = raw[start : start + _BLOCK]
        last = start + _BLOCK >= len(raw)
        blocks.append(struct.pack("<BHH", last, len(part), len(part) ^ 0xFFFF) + part)
    return b"\x78\x01" + b"".join(blocks) + struct.pack(">I", zlib.adler32(raw))


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
