"""What kind of file an attachment is, and under which name it is served.

Only pictures recognised by their bytes are shown in the page; everything else is a download,
whatever it calls itself. That includes SVG, which is a document that can hold scripts.
"""

import re
import unicodedata

RASTER_TYPES = ("image/png", "image/jpeg", "image/gif", "image/webp")
DOWNLOAD = "application/octet-stream"

# How many bytes of a file `detect_type` wants to see.
HEAD_LENGTH = 16

# What a download may call itself: nothing here is ever run or opened as a page by a browser.
# A table of our own, because Python's follows the machine it runs on and includes HTML and SVG.
_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN_DOCUMENT = "application/vnd.oasis.opendocument."
_TYPES = {
    "7z": "application/x-7z-compressed",
    "avif": "image/avif",
    "bmp": "image/bmp",
    "csv": "text/csv",
    "doc": "application/msword",
    "docx": _OFFICE + "wordprocessingml.document",
    "epub": "application/epub+zip",
    "gz": "application/gzip",
    "heic": "image/heic",
    "ics": "text/calendar",
    "json": "application/json",
    "log": "text/plain",
    "m4a": "audio/mp4",
    "md": "text/markdown",
    "mov": "video/quicktime",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "odp": _OPEN_DOCUMENT + "presentation",
    "ods": _OPEN_DOCUMENT + "spreadsheet",
    "odt": _OPEN_DOCUMENT + "text",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "ppt": "application/vnd.ms-powerpoint",
    "pptx": _OFFICE + "presentationml.presentation",
    "rar": "application/vnd.rar",
    "rtf": "application/rtf",
    "tar": "application/x-tar",
    "tgz": "application/gzip",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "txt": "text/plain",
    "wav": "audio/x-wav",
    "webm": "video/webm",
    "xls": "application/vnd.ms-excel",
    "xlsx": _OFFICE + "spreadsheetml.sheet",
    "zip": "application/zip",
}


def detect_type(head: bytes, name: str) -> str:
    """The Content-Type of a file, from its first bytes, and for downloads from its name.

    A raster type is only ever returned for such bytes. A GIF that goes on with HTML stays a GIF:
    it is served as `image/gif` with `nosniff`, so a browser tries to draw it and nothing else.
    """
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    return _TYPES.get(safe_file_name(name).rpartition(".")[2].lower(), DOWNLOAD)


def is_inline(content_type: str) -> bool:
    """Whether a file of this type may be shown in a page; all others are downloads."""
    return content_type in RASTER_TYPES


def safe_file_name(name: str) -> str:
    """The last part of a file name, fit for a header, a disk and a reader's eyes; never empty.

    Folders, control and invisible characters (a right-to-left mark shows `exe.gpj` as `jpg.exe`),
    leading dots and the characters Windows forbids are gone. At most 150 characters and 200 bytes
    are left; a long name loses its middle, not its extension.
    """
    name = unicodedata.normalize("NFC", name.replace("\\", "/").rstrip("/").rpartition("/")[2])
    name = "".join(c for c in name if c == " " or unicodedata.category(c)[0] not in "CZ")
    name = re.sub(r'[<>:"|?*]', "_", name).strip(". ")
    stem, dot, extension = name.rpartition(".")
    if not stem or len(extension.encode()) > 30:
        return _shortened(name, 150, 200) or "file"
    tail = dot + extension
    return _shortened(stem, 150 - len(tail), 200 - len(tail.encode())) + tail


def _shortened(text: str, characters: int, size: int) -> str:
    return text[:characters].encode()[:size].decode(errors="ignore").rstrip(". ")
