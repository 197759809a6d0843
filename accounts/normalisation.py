"""One spelling for each name and each address, so that they can be compared exactly.

`normalise` makes the text that is compared, `readable` the text that is shown, `normalise_domain`
and `normalise_email` what their names say. All raise a ValidationError that names the offending
character, because what looks the same must be the same: a tag spelled with a Cyrillic letter or
with an invisible character would be another tag to the rule, and the same tag to the admin.

Python's standard library knows no scripts. Here the script of a letter, mark or digit is the
beginning of its Unicode name ("CYRILLIC SMALL LETTER A"), taken after NFKC, which has already
replaced most letters that are named otherwise (full-width and mathematical ones, ligatures). The
limits of that: letters that this Python's Unicode version does not name count as one script of
their own; generic combining marks and modifier letters fit every script; emoji and other names
that need a joiner or a variation selector are refused, and so are Persian or Indic spellings with
one; look-alikes within one script, or names written wholly in another one, are not recognised.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils.translation import gettext_lazy as _

# Control, format, surrogate, private and unassigned characters.
REFUSED_CATEGORIES = {"Cc", "Cf", "Cs", "Co", "Cn"}
# Letters, marks and symbols that are drawn as nothing, mostly Unicode's
# Default_Ignorable_Code_Point; the categories above hold the rest of them.
INVISIBLE = {
    "\u034f",  # combining grapheme joiner
    *"\u115f\u1160\u3164\uffa0",  # fillers of Hangul
    *"\u17b4\u17b5",  # inherent vowels of Khmer
    *"\u180b\u180c\u180d\u180f",  # variation selectors of Mongolian
    "\u2800",  # braille blank
    "\U0001d159",  # musical null note head
    *map(chr, range(0xFE00, 0xFE10)),  # variation selectors
    *map(chr, range(0xE0100, 0xE01F0)),  # more of them
}
# Controls that a file or a clipboard adds, and that count as white space.
SPACE_CONTROLS = {"\t", "\n", "\r", "\u0085"}

# Beginnings of Unicode names that say nothing of a script.
ANY_SCRIPT = {"COMBINING", "MODIFIER", "CARON", "VIETNAMESE", "VEDIC", "MUSICAL", "DIGIT"}
# Beginnings that belong to a script of another name.
SCRIPT_OF = {
    "CJK": "HAN",
    "IDEOGRAPHIC": "HAN",
    "HENTAIGANA": "HIRAGANA",
    "KATAKANA-HIRAGANA": "KATAKANA",
    "ARABIC-INDIC": "ARABIC",
    "EXTENDED": "ARABIC",
}
# One word does not tell these scripts apart: Old Italic, Tai Le, Linear B, New Tai Lue...
TWO_WORDS = {"OLD", "TAI", "LINEAR", "NEW", "INSCRIPTIONAL"}
# Scripts that one name may mix: the "highly restrictive" level of Unicode's UTS 39.
WRITTEN_TOGETHER = [
    {"LATIN", "HAN", "HIRAGANA", "KATAKANA"},
    {"LATIN", "HAN", "BOPOMOFO"},
    {"LATIN", "HAN", "HANGUL"},
]

DOMAIN_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")
EMAIL_MAX_LENGTH = 254


def normalise(text: str) -> str:
    """The text that is compared: NFKC, case-folded, single spaces; a ValidationError if unclear."""
    return _settled(text, lambda text: _nfkc(_nfkc(text).casefold()))


def readable(text: str) -> str:
    """The text that is shown: as `normalise`, but in the writer's upper and lower case."""
    return _settled(text, _nfkc)


def normalise_domain(text: str) -> str:
    """A domain name in lower-case ASCII (IDNA): "Bücher.de" is "xn--bcher-kva.de"."""
    _refuse_invisible(text)
    text = text.strip()
    if "ß" in text or "ς" in text:
        # The two generations of IDNA read these letters as different domains.
        raise ValidationError(
            _("Write the domain “%(text)s” in its ASCII form (xn--…)."),
            code="invalid_domain",
            params={"text": text},
        )
    # Scripts are compared within one label: the last one is often Latin when the others are not.
    labels = [_ascii_label(label) for label in text.split(".")]
    domain = ".".join(labels)
    if "" in labels or len(labels) < 2 or len(domain) > 253 or labels[-1].isdigit():
        raise ValidationError(
            _("“%(text)s” is not a domain name such as example.com."),
            code="invalid_domain",
            params={"text": text},
        )
    return domain


def normalise_email(text: str) -> str:
    """An e-mail address as it is stored and compared; everything after the last @ is its domain."""
    local, _at, domain = text.strip().rpartition("@")
    if not local or not domain:
        raise ValidationError(_("Enter a valid email address."), code="invalid")
    if domain != "localhost":
        domain = normalise_domain(domain)
    email = f"{normalise(local)}@{domain}"
    validate_email(email)
    if len(email) > EMAIL_MAX_LENGTH:
        raise ValidationError(_("This email address is too long."), code="max_length")
    return email


def domain_of(email: str) -> str:
    """What follows the last @ of a normalised address."""
    return email.rpartition("@")[2]


def _settled(text: str, change: Callable[[str], str]) -> str:
    """The text changed until it stays the same, which takes one round more than it looks."""
    _refuse_invisible(text)
    while (changed := " ".join(change(text).split())) != text:
        text = changed
    _refuse_invisible(text)
    if not text:
        raise ValidationError(_("This text must not be empty."), code="blank")
    _refuse_mixed(text)
    return text


def _nfkc(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _refuse_invisible(text: str) -> None:
    if text.isascii() and text.isprintable():
        return
    for character in text:
        refused = unicodedata.category(character) in REFUSED_CATEGORIES or character in INVISIBLE
        if refused and character not in SPACE_CONTROLS:
            raise ValidationError(
                _("The text contains an invisible or unknown character: %(character)s."),
                code="invisible_character",
                params={"character": _described(character)},
            )


def _refuse_mixed(text: str) -> None:
    if text.isascii():
        return
    first: dict[str, str] = {}
    digits: dict[int, str] = {}
    for character in text:
        if script := script_of(character):
            first.setdefault(script, character)
        if unicodedata.category(character) == "Nd":
            digits.setdefault(ord(character) - unicodedata.decimal(character), character)
    one = len(first) < 2 or any(first.keys() <= together for together in WRITTEN_TOGETHER)
    if not one or len(digits) > 1:
        mixed = list(digits.values() if one else first.values())
        raise ValidationError(
            _("The text mixes different scripts: %(one)s and %(other)s."),
            code="mixed_scripts",
            params={"one": _described(mixed[0]), "other": _described(mixed[-1])},
        )


def script_of(character: str) -> str:
    """The script that a letter, mark or digit belongs to; empty for what fits every script."""
    category = unicodedata.category(character)
    if category[0] not in "LM" and category not in ("Nd", "Nl"):
        return ""
    words = unicodedata.name(character, "UNNAMED").split()
    if words[0] in TWO_WORDS:
        return " ".join(words[:2])
    return "" if words[0] in ANY_SCRIPT else SCRIPT_OF.get(words[0], words[0])


def _described(character: str) -> str:
    """The character for an error message: its code point and its name, never the bare character."""
    name = unicodedata.name(character, "")
    return f"U+{ord(character):04X} {name}".strip()


def _ascii_label(label: str) -> str:
    """One part of a domain name as IDNA writes it; empty if it cannot be one."""
    if not label or label != label.strip():
        return ""
    try:
        ascii_label = normalise(label).encode("idna").decode()
    except UnicodeError:
        return ""
    return ascii_label if DOMAIN_LABEL.match(ascii_label) else ""
