"""Parts of sentences that each language puts together in its own way.

Nothing else glues words: between the items of a list, around a name and after a label every
language has its own signs and its own order.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext


def joined(words: Iterable[Any]) -> str:
    """“Acme, Globex”."""
    return pgettext("between the items of a list", ", ").join(map(str, words))


def separated(parts: Iterable[Any]) -> str:
    """“tagged vip; of Acme, Globex or 12 more”: items that may have commas in them."""
    return pgettext("between parts of a sentence", "; ").join(map(str, parts))


def all_of(words: Iterable[Any], at_most: int) -> str:
    """“Acme, Globex and Initech”; the rest is counted: “Acme, Globex and 12 more”."""
    first, last = _parted(words, at_most)
    return _("%(first)s and %(last)s") % {"first": first, "last": last} if first else last


def any_of(words: Iterable[Any], at_most: int) -> str:
    """“Acme, Globex or Initech”; the rest is counted: “Acme, Globex or 12 more”."""
    first, last = _parted(words, at_most)
    return _("%(first)s or %(last)s") % {"first": first, "last": last} if first else last


def _parted(words: Iterable[Any], at_most: int) -> tuple[str, str]:
    listed = [str(word) for word in words]
    left = len(listed) - at_most
    if left > 0:
        listed = [*listed[:at_most], ngettext("%d more", "%d more", left) % left]
    return joined(listed[:-1]), joined(listed[-1:])


def quoted(name: Any) -> str:
    """A name in the quotation marks of the language."""
    return _("“%s”") % name


def kind_and_name(thing: Any) -> str:
    """“article “Prices””: what a thing is, and what it is called."""
    return _("%(kind)s “%(name)s”") % {"kind": thing._meta.verbose_name, "name": thing}


def counted(count: int, kind: Any) -> str:
    """“3 articles”. The kind is in the number that fits the count."""
    return _("%(count)d %(kind)s") % {"count": count, "kind": kind}


def labelled(label: Any, value: Any) -> str:
    """“always in: Maria”."""
    return _("%(label)s: %(value)s") % {"label": label, "value": value}
