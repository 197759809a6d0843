import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpcenter.files import DOWNLOAD, RASTER_TYPES, detect_type, is_inline, safe_file_name

PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF"
GIF = b"GIF89a\x01\x00\x01\x00"
WEBP = b"RIFF\x24\x00\x00\x00WEBPVP8 "
HTML = b"<!doctype html><script>alert(1)</script>"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


@pytest.mark.parametrize(
    ("head", "name", "expected"),
    [
        (PNG, "router.png", "image/png"),
        (JPEG, "router.jpg", "image/jpeg"),
        (GIF, "router.gif", "image/gif"),
        (b"GIF87a\x01\x00", "router.gif", "image/gif"),
        (WEBP, "router.webp", "image/webp"),
        # The bytes decide, not the name.
        (PNG, "page.html", "image/png"),
        (JPEG, "router.png", "image/jpeg"),
        # Polyglots: drawn as a picture or not at all, because of nosniff.
        (GIF + b"/*" + HTML, "page.html", "image/gif"),
        (PNG + HTML, "x.svg", "image/png"),
        # Not pictures, whatever they are called.
        (HTML, "x.png", DOWNLOAD),
        (SVG, "x.png", DOWNLOAD),
        (SVG, "x.svg", DOWNLOAD),
        (HTML, "x.html", DOWNLOAD),
        (HTML, "x.xhtml", DOWNLOAD),
        (b" " + GIF, "x.gif", DOWNLOAD),
        (b"\xef\xbb\xbf" + PNG, "x.png", DOWNLOAD),
        (b"RIFF\x24\x00\x00\x00WAVE", "x.webp", DOWNLOAD),
        (b"RIFF", "x.webp", DOWNLOAD),
        (b"alert(1)", "x.js", DOWNLOAD),
        (b"", "", DOWNLOAD),
        (b"", "x.png", DOWNLOAD),
        # Downloads that may say what they are.
        (b"%PDF-1.7", "manual.pdf", "application/pdf"),
        (b"%PDF-1.7", "MANUAL.PDF", "application/pdf"),
        (b"a,b", "rates.csv", "text/csv"),
        (HTML, "notes.txt", "text/plain"),
        (b"PK\x03\x04", "firmware.zip", "application/zip"),
        (b"\x1f\x8b", "logs.tar.gz", "application/gzip"),
        (b"", "manual.pdf\x00.html", DOWNLOAD),
        (b"", "a/manual.html\\evil.pdf", "application/pdf"),
    ],
)
def test_type_of_a_file(head, name, expected):
    assert detect_type(head, name) == expected


@given(st.binary(max_size=32), st.text(max_size=20))
def test_only_known_bytes_are_shown_in_a_page(head, name):
    magic = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"RIFF")
    assert not is_inline(detect_type(head, name)) or head.startswith(magic)


@given(st.sampled_from(["png", "jpg", "jpeg", "jfif", "gif", "webp", "svg", "svgz", "PNG", "htm"]))
def test_an_extension_alone_never_makes_a_picture(extension):
    assert detect_type(HTML, f"x.{extension}") == DOWNLOAD


def test_inline_types():
    assert all(map(is_inline, RASTER_TYPES))
    for other in ("image/svg+xml", "text/html", "application/pdf", "IMAGE/PNG", "image/png; x", ""):
        assert not is_inline(other)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("router.png", "router.png"),
        ("Über den Router.pdf", "Über den Router.pdf"),
        ("ルーター.png", "ルーター.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\maria\\photo.jpg", "photo.jpg"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("folder/", "folder"),
        (".htaccess", "htaccess"),
        ("...", "file"),
        ("..", "file"),
        ("", "file"),
        ("/", "file"),
        ("name. . ", "name"),
        ("a\r\nSet-Cookie: b.txt", "aSet-Cookie_ b.txt"),
        ('a"; filename="b.html', "a_; filename=_b.html"),
        ("manual\x00.pdf", "manual.pdf"),
        ("report\u202efdp.exe", "reportfdp.exe"),
        ("a\u200bb\u2028c.txt", "abc.txt"),
        ("\ud800x.png", "x.png"),
        ("e\u0301.png", "\u00e9.png"),
    ],
)
def test_safe_file_name(name, expected):
    assert safe_file_name(name) == expected


def test_a_long_name_keeps_its_extension():
    assert safe_file_name("x" * 500 + ".png") == "x" * 146 + ".png"
    assert safe_file_name("x" * 500) == "x" * 150
    assert len(safe_file_name("x." + "y" * 500)) == 150
    japanese = safe_file_name("設" * 500 + ".pdf")
    assert japanese.endswith("設.pdf")
    assert len(japanese.encode()) <= 200


@given(st.text(st.characters(), max_size=300))
def test_a_safe_name_is_safe_and_stays_as_it_is(name):
    safe = safe_file_name(name)
    assert safe
    assert len(safe) <= 150
    assert len(safe.encode()) <= 200
    assert not set(safe) & set('/\\\x00\r\n<>:"|?*')
    assert not safe.startswith((".", " "))
    assert not safe.endswith((".", " "))
    assert safe_file_name(safe) == safe
