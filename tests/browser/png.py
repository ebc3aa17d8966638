"""Screenshots made small: a palette in place of full colour, which for a page of text nobody sees."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB, _RGBA, _PALETTE = 2, 6, 3
_COLOURS = 256


def small(picture: bytes) -> bytes:
    """A PNG of at most 256 colours of a PNG with 8 bits in each of three or four channels (PNG specification)."""
    parts = dict(_parts(picture))
    width, height, depth, kind = struct.unpack(">IIBB", parts[b"IHDR"][:10])
    assert (depth, kind) in ((8, _RGB), (8, _RGBA))
    size = 3 if kind == _RGB else 4
    rows = [bytes(row) for row in _rows(zlib.decompress(parts[b"IDAT"]), width * size, size)]
    pixels = [[row[at : at + 3] for at in range(0, len(row), size)] for row in rows]
    palette = [colour for colour, _ in Counter(pixel for row in pixels for pixel in row).most_common(_COLOURS)]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in {pixel for row in pixels for pixel in row} - index.keys():
        index[colour] = min(range(len(palette)), key=lambda n: _distance(palette[n], colour))
    lines = b"".join(b"\0" + bytes(index[pixel] for pixel in row) for row in pixels)
    header = struct.pack(">IIBBBBB", width, height, 8, _PALETTE, 0, 0, 0)
    written = {b"IHDR": header, b"PLTE": b"".join(palette), b"IDAT": zlib.compress(lines, 9), b"IEND": b""}
    return _SIGNATURE + b"".join(_part(name, content) for name, content in written.items())


def _distance(one: bytes, other: bytes) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


def _parts(picture: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents; the pieces of the picture itself as one."""
    at, pieces = len(_SIGNATURE), b""
    while at < len(picture):
        length, name = struct.unpack(">I4s", picture[at : at + 8])
        content = picture[at + 8 : at + 8 + length]
        if name == b"IDAT":
            pieces += content
        else:
            yield name, content
        at += length + 12
    yield b"IDAT", pieces


def _part(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _rows(lines: bytes, width: int, size: int) -> Iterator[bytearray]:
    """Each line without its filter (PNG specification, section 9)."""
    above = bytearray(width)
    for at in range(0, len(lines), width + 1):
        kind, row = lines[at], bytearray(lines[at + 1 : at + 1 + width])
        for x in range(width):
            left = row[x - size] if x >= size else 0
            corner = above[x - size] if x >= size else 0
            up = above[x]
            row[x] = (row[x] + (0, left, up, (left + up) // 2, _paeth(left, up, corner))[kind]) & 255
        yield row
        above = row


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    return min((left, up, corner), key=lambda near: abs(guess - near))
