"""A small help center of our own for the tests, with the images the repository does not hold."""

import shutil
import struct
import zlib
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
IMAGES = {
    "Getting started/Setting up/img/ports.png": (200, 200, 60),
    "Wi-Fi and internet/Wi-Fi/img/lights.png": (240, 240, 240),
    # Nobody refers to this one.
    "Wi-Fi and internet/Wi-Fi/img/old lights.png": (20, 20, 20),
}


def write_corpus(folder: Path) -> Path:
    """Copy the corpus into a new folder, add its images, and return the folder of categories."""
    root = folder / "northwind"
    shutil.copytree(CORPUS, root)
    for path, color in IMAGES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(png(color))
    return root


def png(color: tuple[int, int, int], size: int = 4) -> bytes:
    """A real PNG image, a square of one color."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)
    rows = (b"\x00" + bytes(color) * size) * size
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            chunk(b"IDAT", zlib.compress(rows)),
            chunk(b"IEND", b""),
        ]
    )
