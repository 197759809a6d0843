"""The texts to translate, found in the code and the templates, and the catalogues of them.

`python -m tests.words` brings the catalogues up to date: new texts come without a translation, and
those that no page shows any more go. tests/test_words.py says what is missing.
"""

import re
from collections.abc import Iterator
from io import BytesIO
from itertools import product
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.pofile import read_po, write_po
from django.utils.translation.template import templatize

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ["de", "es", "fr", "ja", "pt_BR"]
# Whose catalogue has the texts of which folders.
FOLDERS = {
    "segments": ["segments"],
    "accounts": ["accounts"],
    "helpcenter": ["helpcenter", "templates"],
}
KEYWORDS = (
    DEFAULT_KEYWORDS
    | {f"{name}_lazy": DEFAULT_KEYWORDS[name] for name in ("gettext", "ngettext", "pgettext")}
    | {"gettext_noop": None}
)
# One call in what Django makes of a template; the rest of that is no Python.
CALL = re.compile(
    r"""\b(?:_|n?p?gettext)\((?:[^()'"]|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")*\)""", re.DOTALL
)

# Without dates and names, which git knows better.
HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Language: {}\\n"
"Plural-Forms: {}\\n"

"""


def path_of(app: str, language: str) -> Path:
    return ROOT / app / "locale" / language / "LC_MESSAGES" / "django.po"


def catalogue(app: str, language: str) -> Catalog:
    """The translations as they are stored; an empty catalogue where there are none yet."""
    path = path_of(app, language)
    if not path.exists():
        return Catalog(language, header_comment="", fuzzy=False)
    with path.open("rb") as texts:
        return read_po(texts, locale=language)


def store(app: str, language: str, found: Catalog) -> None:
    """Write a catalogue, always in the same way."""
    path = path_of(app, language)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(HEADER.format(language, found.plural_forms).encode())
        write_po(file, found, width=0, omit_header=True, sort_output=True, ignore_obsolete=True)


def texts_of(app: str) -> Catalog:
    """Everything that is marked for translation in the app's folders."""
    found = Catalog(header_comment="", fuzzy=False)
    for folder in FOLDERS[app]:
        for file in sorted((ROOT / folder).rglob("*")):
            for message, context in marked(file):
                found.add(message, context=context)
    return found


def marked(file: Path) -> Iterator[tuple]:
    """(text or (singular, plural), context) of one file."""
    if file.suffix == ".py":
        code = file.read_bytes()
    elif file.suffix in (".html", ".txt"):
        calls = CALL.finditer(templatize(file.read_text()))
        code = "\n".join(call[0] for call in calls).encode()
    else:
        return
    for _line, message, _comments, context in extract("python", BytesIO(code), KEYWORDS):
        yield message, context


def update() -> None:
    """Bring every catalogue in line with the code."""
    for app, language in product(FOLDERS, LANGUAGES):
        found = catalogue(app, language)
        # Guesses would look like translations; what is new is empty until somebody translates it.
        found.update(texts_of(app), no_fuzzy_matching=True, update_creation_date=False)
        store(app, language, found)


if __name__ == "__main__":
    update()
