"""What the body of an article becomes: HTML that is safe in a page, text for search, addresses.

Nothing here touches the database. The way of a body is

    Markdown -> HTML -> `_tidied` (styles to classes, anchors, videos, balanced tags) -> nh3

and nh3 is the last transformation of the string: `_tidied` may be wrong about HTML without being
able to make the result unsafe. Pictures of other hosts keep their `<img>`, but the site's content
security policy (`img-src 'self' data:`) does not load them.
"""

import colorsys
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html import escape, unescape
from typing import Literal
from urllib.parse import unquote

import nh3
from django.conf import settings
from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from mdit_py_plugins.attrs import attrs_block_plugin, attrs_plugin
from mdit_py_plugins.footnote import footnote_plugin

Format = Literal["markdown", "html"]

ALERTS = ("note", "tip", "important", "warning", "caution")
ALIGNMENTS = ("left", "center", "right", "justify")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "gray")
LIST_MARKERS = (
    *("none", "disc", "circle", "square", "decimal"),
    *("lower-alpha", "upper-alpha", "lower-roman", "upper-roman"),
)
WIDTHS = (25, 33, 50, 66, 75, 100)

# Every class a body may carry, and so every class the style sheet has to know. `language-…` on
# code is allowed as well.
CLASSES = frozenset(
    ["note", "highlight", "footnotes", "footnotes-list", "footnotes-sep", "footnote-ref"]
    + ["footnote-item", "footnote-backref", "text-bold", "text-italic", "text-underline"]
    + ["text-line-through", "text-small", "text-large", "text-nowrap", "float-left", "float-right"]
    + ["valign-top", "valign-middle", "valign-bottom"]
    + [f"note-{kind}" for kind in ALERTS]
    + [f"align-{side}" for side in ALIGNMENTS]
    + [f"color-{name}" for name in COLORS]
    + [f"list-{marker}" for marker in LIST_MARKERS]
    + [f"width-{percent}" for percent in WIDTHS]
    + [f"indent-{step}" for step in range(1, 5)]
)

# Every id of a body begins with this, so that none can stand in for an element of the page.
ANCHOR_PREFIX = "user-content-"

# Deeper elements lose their tags and keep their text: HTML parsers are quadratic in depth.
MAX_DEPTH = 100

_VIDEO = {
    "loading": "lazy",
    "sandbox": "allow-scripts allow-same-origin allow-presentation allow-popups",
    # Without a referrer YouTube refuses to play (its error 153).
    "referrerpolicy": "strict-origin-when-cross-origin",
}


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


_VOID = _names("br hr img wbr")
# Their end tags are optional, so how many of them are open says nothing about depth.
_IMPLIED = _names("p li dt dd tr td th thead tbody tfoot caption rt rp")
_HEADINGS = _names("h1 h2 h3 h4 h5 h6")
_TAGS = _names(
    "a abbr b blockquote br caption cite code dd del details dfn div dl dt em figcaption figure "
    "h1 h2 h3 h4 h5 h6 hr i iframe img ins kbd li mark ol p pre q rp rt ruby s samp small span "
    "strong sub summary sup table tbody td tfoot th thead time tr u ul var wbr"
)
_RENAMED = {
    **dict.fromkeys(
        ["address", "article", "aside", "center", "footer", "header", "main", "nav", "section"],
        "div",
    ),
    "font": "span",
    "strike": "s",
    "tt": "code",
}
_BLOCKS = _HEADINGS | _names(
    "blockquote br caption dd details div dl dt figcaption figure hr li ol p pre section "
    "article summary table tbody tfoot thead tr ul"
)
# What is inside these is never text of the article.
_DROPPED = _names("iframe math noembed noframes object script style svg template title")
_EVERYWHERE = ("class", "id", "lang", "dir", "title", "hidden", "role")
_ATTRIBUTES = {
    "a": ("href",),
    "img": ("src", "alt", "width", "height"),
    "iframe": ("src", "width", "height", "allowfullscreen", *_VIDEO),
    "ol": ("start", "reversed"),
    "li": ("value",),
    "td": ("colspan", "rowspan"),
    "th": ("colspan", "rowspan", "scope"),
    "details": ("open",),
    "time": ("datetime",),
    "del": ("datetime",),
    "ins": ("datetime",),
}
_PATTERNS = {
    "id": re.compile(rf"{ANCHOR_PREFIX}[\w.:-]{{1,100}}"),
    "lang": re.compile(r"[A-Za-z0-9-]{1,35}"),
    "dir": re.compile(r"ltr|rtl|auto"),
    "role": re.compile(r"note"),
    "scope": re.compile(r"row|col|rowgroup|colgroup"),
    "datetime": re.compile(r"[0-9A-Za-z:+ .-]{1,40}"),
    **dict.fromkeys(["width", "height", "colspan", "rowspan"], re.compile(r"[0-9]{1,4}")),
    **dict.fromkeys(["start", "value"], re.compile(r"-?[0-9]{1,9}")),
    **dict.fromkeys(["hidden", "open", "reversed", "allowfullscreen"], re.compile(r"")),
    **{name: re.compile(re.escape(value)) for name, value in _VIDEO.items()},
}
_LINK_SCHEMES = frozenset({"http", "https", "mailto", "tel"})
_IMAGE_SCHEMES = frozenset({"http", "https"})


def render(body: str, format: Format) -> str:
    """Sanitised HTML of a body; rendering the result again as HTML returns the same string."""
    if format == "markdown":
        return _sanitised(str(markdown_parser().render(_encodable(body))))
    if format == "html":
        return _sanitised(_encodable(body))
    raise ValueError(f"Unknown format {format!r}: a body is 'markdown' or 'html'.")


def plain_text(html: str) -> str:
    """What a reader reads, one line per block, without markup; for search and for snippets."""
    pieces = []
    preformatted = 0
    for token in scan(html):
        if isinstance(token, str):
            text = unescape(token)
            pieces.append(text if preformatted else re.sub(r"\s+", " ", text))
            continue
        if token.name == "pre":
            preformatted = max(0, preformatted + (-1 if token.closing else 1))
        if token.name in _BLOCKS:
            pieces.append("\n")
        elif token.name in ("td", "th"):
            pieces.append(" ")
    text = _encodable("".join(pieces))
    lines = (" ".join(line.split()) for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def fold(text: str) -> str:
    """Text as search compares it: no accents, case, width, control or invisible characters.

    Texts and queries are folded alike, and folding twice changes nothing. Only the accents of
    European, Hebrew and Arabic scripts go: the marks of Indic scripts, Thai and Japanese are
    letters to their readers.
    """
    while (folded := _folded_once(text)) != text:
        text = folded
    return folded


def slug(title: str) -> str:
    """The readable part of an address, "How-to-reset" for "How to reset?"; may be empty."""
    text = unicodedata.normalize("NFC", title)
    kept = "".join(c if c == "_" or unicodedata.category(c)[0] in "LNM" else " " for c in text)
    whole = "-".join(kept.split())
    if len(whole) <= 80:
        return whole
    return whole[:80] if "-" not in whole[:81] else whole[:81].rpartition("-")[0]


def markdown_parser() -> MarkdownIt:
    """The Markdown of this site: CommonMark, tables, strikethrough, alerts, footnotes, `{#id}`."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    parser.use(attrs_plugin, after=("image", "link_close"), allowed=("class", "id"))
    parser.use(attrs_block_plugin, allowed=("class", "id"))
    parser.use(footnote_plugin, inline=False)
    parser.core.ruler.before("inline", "alerts", _mark_alerts)
    parser.core.ruler.before("inline", "heading_ids", _mark_heading_ids)
    return parser


# HTML as a stream of tags and text ----------------------------------------------------------------

_SPACE = r"[ \t\n\f\r]"
# Possessive throughout: each `<` is read once, whatever follows it.
_ATTRIBUTE = rf"""
    (?P<attribute>[^ \t\n\f\r/>][^ \t\n\f\r/>=]*+)
    (?:{_SPACE}*+={_SPACE}*+
        (?: "(?P<double>[^"]*+)(?:"|\Z) | '(?P<single>[^']*+)(?:'|\Z)
          | (?P<bare>[^ \t\n\f\r>"'][^ \t\n\f\r>]*+) )?+
    )?+
"""
_ATTRIBUTE_PATTERN = re.compile(_ATTRIBUTE, re.X)
_ANY_ATTRIBUTE = re.sub(r"\?P<\w+>", "?:", _ATTRIBUTE)
_TOKEN = re.compile(
    rf"""
    <!--(?:-?>|.*?(?:--!?>|\Z))
  | <[!?].*?(?:>|\Z)
  | </[^a-zA-Z].*?(?:>|\Z)
  | <(?P<slash>/?)(?P<name>[a-zA-Z][^ \t\n\f\r/>]*+)
    (?P<rest>(?:[ \t\n\f\r/]++|{_ANY_ATTRIBUTE})*+)
    (?:>|(?P<unfinished>\Z))
    """,
    re.X | re.S,
)
# Named references without a semicolon stay as they are: `?a=1&copy=2` is an address.
_REFERENCE = re.compile(r"&(?:#[0-9]{1,8};?|#[xX][0-9a-fA-F]{1,8};?|[a-zA-Z][a-zA-Z0-9]{1,31};)")


@dataclass(frozen=True, slots=True)
class Attribute:
    """A decoded value and where it stands in the source, quotation marks included."""

    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Tag:
    """One start or end tag; the first of two attributes of the same name counts."""

    name: str
    closing: bool
    attributes: dict[str, Attribute]
    start: int
    end: int


def scan(html: str) -> Iterator[str | Tag]:
    """The tags of an HTML source and the (still encoded) text between them, in linear time.

    Comments are absent, and so is the content of scripts, styles, drawings and frames.
    """
    position = 0
    unclosed: set[str] = set()
    while match := _TOKEN.search(html, position):
        if match.start() > position:
            yield html[position : match.start()]
        position = match.end()
        name = (match["name"] or "").lower()
        if not name or match["unfinished"] is not None:
            continue
        tag = Tag(name, bool(match["slash"]), _attributes(html, match), match.start(), match.end())
        yield tag
        if name in _DROPPED and not tag.closing:
            position = _end_of_content(html, name, position, unclosed)
    if position < len(html):
        yield html[position:]


def _attributes(html: str, tag: re.Match[str]) -> dict[str, Attribute]:
    found: dict[str, Attribute] = {}
    if not tag["rest"]:
        return found
    for match in _ATTRIBUTE_PATTERN.finditer(html, *tag.span("rest")):
        kind = next((k for k in ("double", "single", "bare") if match[k] is not None), None)
        start, end = match.span(kind) if kind else (match.end(), match.end())
        if kind in ("double", "single"):
            start, end = start - 1, match.end()
        value = _REFERENCE.sub(lambda m: unescape(m[0]), match[kind] if kind else "")
        found.setdefault(match["attribute"].lower(), Attribute(value, start, end))
    return found


def _end_of_content(html: str, name: str, position: int, unclosed: set[str]) -> int:
    """Where reading goes on after a start tag whose content is dropped."""
    if name not in unclosed:
        # The end tag itself is read as a tag.
        if end := re.compile(rf"(?=</{name}[ \t\n\f\r/>])", re.I).search(html, position):
            return end.start()
        unclosed.add(name)
    return len(html) if name in ("script", "style") else position


# Sanitising ---------------------------------------------------------------------------------------


def _sanitised(html: str) -> str:
    # A parser may move elements (text in a table, a link in a link), so that reading its own
    # output differs; repeat until it does not. What never settles is shown as text.
    source = html
    for _ in range(6):
        clean = _cleaner.clean(_tidied(source))
        if clean == source:
            return clean
        source = clean
    return _cleaner.clean(f"<p>{escape(plain_text(html), quote=False)}</p>")


def _allowed_value(tag: str, attribute: str, value: str) -> str | None:
    """The value as it may stand in a page, or None; called by nh3 for each attribute."""
    if attribute == "class":
        return " ".join(filter(_is_allowed_class, value.split())) or None
    if attribute == "href":
        return _address(value, _LINK_SCHEMES)
    if attribute == "src":
        return _video_address(value) if tag == "iframe" else _address(value, _IMAGE_SCHEMES)
    pattern = _PATTERNS.get(attribute)
    return value if pattern is None or pattern.fullmatch(value) else None


_cleaner = nh3.Cleaner(
    tags=_TAGS,
    clean_content_tags={"script", "style"},
    attributes={"*": set(_EVERYWHERE), **{tag: set(names) for tag, names in _ATTRIBUTES.items()}},
    attribute_filter=_allowed_value,
    url_schemes=set(_LINK_SCHEMES),
    link_rel="noopener noreferrer",
    set_tag_attribute_values={"iframe": _VIDEO},
)


def _is_allowed_class(name: str) -> bool:
    return name in CLASSES or bool(re.fullmatch(r"language-[A-Za-z0-9_+#.-]{1,40}", name))


def _address(value: str, schemes: frozenset[str]) -> str | None:
    """An address as browsers read it, if it is relative or of one of the schemes; else None."""
    address = re.sub(r"^[\x00-\x20]+|[\t\n\r]|[\x00-\x20]+$", "", value)
    # Browsers take a backslash for a slash, and two slashes for another host.
    if "\\" in address or address.startswith("//") or re.search(r"[\x00-\x1f\x7f]", address):
        return None
    scheme, colon, rest = re.split(r"[/?#]", address, maxsplit=1)[0].partition(":")
    if not colon:
        return address
    if scheme.lower() not in schemes:
        return None
    if scheme.lower() in _IMAGE_SCHEMES and not re.match(r"https?://[^/]", address, re.I):
        return None
    return address


def _video_address(value: str) -> str | None:
    """The address of a player on one of `settings.VIDEO_HOSTS`, else None."""
    match = re.fullmatch(r"https://([a-z0-9.-]+)/[A-Za-z0-9_.~!$&'()*+,;=:@%/?-]*", value)
    return value if match and match[1] in settings.VIDEO_HOSTS else None


# Tidying: everything that is not about safety -----------------------------------------------------


@dataclass(slots=True)
class _Element:
    name: str
    attributes: dict[str, str]


def _tidied(html: str) -> str:
    """Balanced HTML of known tags: styles as classes, prefixed and unique ids, framed videos."""
    tokens = list(_balanced(html))
    _assign_ids(tokens)
    return "".join(map(_written, tokens))


def _written(token: "str | _Element") -> str:
    if isinstance(token, str):
        return token
    attributes = "".join(f' {name}="{escape(value)}"' for name, value in token.attributes.items())
    return f"<{token.name}{attributes}>"


def _balanced(html: str) -> Iterator[str | _Element]:
    """Text and end tags as strings, start tags as elements, each opened one closed in order."""
    opened: list[tuple[str, bool]] = []
    counts: Counter[str] = Counter()

    def close(name: str) -> Iterator[str]:
        while counts[name]:
            last, shown = opened.pop()
            counts[last] -= 1
            if shown:
                yield f"</{last}>"
            if last == name:
                return

    for token in scan(html):
        if isinstance(token, str):
            yield token.replace("<", "&lt;")
            continue
        name = _RENAMED.get(token.name, token.name)
        if name not in _TAGS or name == "iframe" and token.closing:
            continue
        if token.closing:
            if name in _IMPLIED:
                yield f"</{name}>"
            elif name not in _VOID:
                yield from close(name)
            continue
        element = _element(token, name)
        if element is None:
            continue
        if name == "iframe" or name == "a" and "href" not in element.attributes:
            # `<a name="x">` is often left open; it marks a place and holds nothing.
            if element.attributes:
                yield from (element, f"</{name}>")
            continue
        if name in _VOID or name in _IMPLIED:
            yield element
            continue
        for other in _HEADINGS if name in _HEADINGS else ("a",) if name == "a" else ():
            if not counts["table"]:
                yield from close(other)
        shown = len(opened) < MAX_DEPTH and not (name == "a" and counts["a"])
        opened.append((name, shown))
        counts[name] += 1
        if shown:
            yield element
    for name, shown in reversed(opened):
        if shown:
            yield f"</{name}>"


def _element(tag: Tag, name: str) -> _Element | None:
    """The start tag with the attributes a body may have; None for a frame that is no video."""
    given = {key: attribute.value for key, attribute in tag.attributes.items()}
    classes = [_zendesk_class(word) for word in given.pop("class", "").split()]
    classes += _legacy_classes(tag.name, given)
    if style := given.pop("style", ""):
        classes += _style(name, style, given)
    if anchor := given.pop("id", "") or (given.pop("name", "") if name == "a" else ""):
        given["id"] = _anchor(anchor)
    if "href" in given:
        given["href"] = _anchored(given["href"])
    for flag in ("hidden", "open", "reversed", "allowfullscreen"):
        if flag in given:
            given[flag] = ""
    if name == "iframe":
        given.update(_VIDEO)
    # In the order nh3 keeps, so that equal bodies have equal HTML.
    attributes = {"class": " ".join(dict.fromkeys(classes)), **given}
    allowed = (*_EVERYWHERE, *_ATTRIBUTES.get(name, ()))
    kept = {
        key: checked
        for key, value in attributes.items()
        if key in allowed and (checked := _allowed_value(name, key, value)) is not None
    }
    return None if name == "iframe" and "src" not in kept else _Element(name, kept)


def _zendesk_class(name: str) -> str:
    """The class of Zendesk's editor under its name here."""
    if not name.startswith("wysiwyg-"):
        return name
    name = name.removeprefix("wysiwyg-")
    for old, new in (
        ("text-align-", "align-"),
        ("indent", "indent-"),
        ("underline", "text-underline"),
        ("font-size-x-", "text-"),
        ("font-size-", "text-"),
    ):
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name.rstrip("0123456789") if name.startswith("color-") else name


def _legacy_classes(tag: str, given: dict[str, str]) -> list[str]:
    """Classes for `<center>`, `align`, `<font color>`, and widths that are not a number."""
    classes = ["align-center"] if tag == "center" else []
    if align := given.pop("align", "").lower():
        prefix = "float" if tag == "img" and align in ("left", "right") else "align"
        classes.append(f"{prefix}-{align}")
    if tag == "font" and (color := _color(given.pop("color", ""))):
        classes.append(f"color-{color}")
    for key in ("width", "height"):
        value = given.get(key, "").strip().lower()
        if key == "width" and value.endswith("%"):
            classes += _width_class(value)
        given[key] = value.removesuffix("px").partition(".")[0]
    return classes


def _style(tag: str, style: str, given: dict[str, str]) -> list[str]:
    """The classes that say what an inline style said; what has no class is lost."""
    classes: list[str] = []
    for declaration in style.lower().split(";"):
        name, _, value = declaration.partition(":")
        name, value = name.strip(), value.replace("!important", "").strip()
        if name == "width" and value.endswith("%"):
            classes += _width_class(value)
        elif name in ("width", "height") and tag in ("img", "iframe") and value.endswith("px"):
            given[name] = given.get(name) or value[:-2].partition(".")[0]
        elif (name, value) in (("display", "none"), ("visibility", "hidden")):
            given["hidden"] = ""
        elif name in _STYLES:
            classes += _STYLES[name](value)
    return classes


def _width_class(value: str) -> list[str]:
    number = re.fullmatch(r"([0-9]{1,3})(?:\.[0-9]*)?%", value)
    if not number:
        return []
    return [f"width-{min(WIDTHS, key=lambda step: abs(step - int(number[1])))}"]


def _indent_class(value: str) -> list[str]:
    number = re.fullmatch(r"([0-9]{1,4})(?:\.[0-9]*)?px", value)
    steps = round(int(number[1]) / 30) if number else 0
    return [f"indent-{min(steps, 4)}"] if steps else []


def _weight_class(value: str) -> list[str]:
    bold = value in ("bold", "bolder", "600", "700", "800", "900")
    return ["text-bold"] if bold else []


def _background_class(value: str) -> list[str]:
    plain = ("", "none", "transparent", "inherit", "initial", "white", "#fff", "#ffffff")
    return [] if value in plain or "url(" in value else ["highlight"]


def _size_class(value: str) -> list[str]:
    size = re.fullmatch(r"(?:x{1,3}-)?(small|large)(?:e?r)?", value)
    return [f"text-{size[1]}"] if size else []


def _words(prefix: str, renamed: dict[str, str] | None = None) -> Callable[[str], list[str]]:
    names = renamed or {}
    return lambda value: [f"{prefix}-{names.get(word, word)}" for word in value.split()]


_STYLES: dict[str, Callable[[str], list[str]]] = {
    "text-align": _words("align", {"start": "left", "end": "right"}),
    "float": _words("float"),
    "color": lambda value: [f"color-{name}"] if (name := _color(value)) else [],
    "background": _background_class,
    "background-color": _background_class,
    "font-weight": _weight_class,
    "font-style": _words("text", {"oblique": "italic"}),
    "font-size": _size_class,
    "text-decoration": _words("text"),
    "text-decoration-line": _words("text"),
    "list-style": _words("list", {"lower-latin": "lower-alpha", "upper-latin": "upper-alpha"}),
    "list-style-type": _words("list", {"lower-latin": "lower-alpha", "upper-latin": "upper-alpha"}),
    "vertical-align": _words("valign"),
    "white-space": _words("text"),
    "margin-left": _indent_class,
    "padding-left": _indent_class,
}

_COLOR_NAMES = {
    **{name: name for name in COLORS},
    **dict.fromkeys(["crimson", "darkred", "firebrick", "maroon", "tomato"], "red"),
    **dict.fromkeys(["brown", "coral", "darkorange", "orangered", "chocolate"], "orange"),
    **dict.fromkeys(["gold", "goldenrod", "darkgoldenrod"], "yellow"),
    **dict.fromkeys(["darkgreen", "forestgreen", "lime", "limegreen", "olive", "teal"], "green"),
    **dict.fromkeys(["cyan", "darkblue", "dodgerblue", "navy", "royalblue", "steelblue"], "blue"),
    **dict.fromkeys(["deeppink", "fuchsia", "hotpink", "indigo", "magenta", "pink"], "purple"),
    **dict.fromkeys(["darkgray", "darkgrey", "dimgray", "dimgrey", "grey", "silver"], "gray"),
}
_HUES = ((12, "red"), (45, "orange"), (68, "yellow"), (170, "green"), (255, "blue"))


def _color(value: str) -> str | None:
    """The color of the palette nearest to a CSS color; None for black, white and the unknown."""
    value = value.strip().lower()
    if value in _COLOR_NAMES:
        return _COLOR_NAMES[value]
    if match := re.fullmatch(r"#([0-9a-f]{3}|[0-9a-f]{6})", value):
        digits = match[1] if len(match[1]) == 6 else "".join(c * 2 for c in match[1])
        parts = [int(digits[i : i + 2], 16) for i in (0, 2, 4)]
    elif match := re.fullmatch(r"rgba?\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\b.*\)", value):
        parts = [min(int(part), 255) for part in match.groups()]
    else:
        return None
    hue, lightness, saturation = colorsys.rgb_to_hls(*(part / 255 for part in parts))
    if not 0.2 < lightness < 0.95:
        return None
    if saturation < 0.2:
        return "gray"
    degrees = hue * 360
    if degrees >= 340:
        return "red"
    return next((name for limit, name in _HUES if degrees < limit), "purple")


# Anchors ------------------------------------------------------------------------------------------


def _anchor(name: str) -> str:
    """The id under which a name is found in the page; the same for an id and for a link to it."""
    clean = re.sub(r"[^\w.:-]", "-", unquote(name.strip()).removeprefix(ANCHOR_PREFIX))
    return ANCHOR_PREFIX + clean[:100]


def _anchored(address: str) -> str:
    """The address with its fragment prefixed, where it leads to a body: here or in an article."""
    path, mark, fragment = address.strip().partition("#")
    if not fragment or path and (":" in path or "/articles/" not in path):
        return address
    return f"{path}#{_anchor(fragment)}"


def _assign_ids(tokens: list[str | _Element]) -> None:
    """Give each heading an id from its text and make every id unique, explicit ids first."""
    elements = [token for token in tokens if isinstance(token, _Element)]
    reserved = {element.attributes["id"] for element in elements if "id" in element.attributes}
    seen: set[str] = set()
    numbers: Counter[str] = Counter()
    for index, token in enumerate(tokens):
        if not isinstance(token, _Element):
            continue
        explicit = token.attributes.pop("id", None)
        if explicit and explicit not in seen:
            seen.add(explicit)
            token.attributes["id"] = explicit
        elif token.name in _HEADINGS and (
            base := _heading_anchor(token, tokens[index + 1 : index + 100])
        ):
            anchor = base
            while anchor in reserved:
                numbers[base] += 1
                anchor = f"{base}-{numbers[base]}"
            reserved.add(anchor)
            token.attributes["id"] = anchor


def _heading_anchor(heading: _Element, following: list[str | _Element]) -> str | None:
    text = []
    for token in following:
        if token == f"</{heading.name}>":
            break
        if isinstance(token, str) and not token.startswith("</"):
            text.append(unescape(token))
    words = re.sub(r"[^\w\s-]", "", " ".join("".join(text).lower().split()))
    name = "-".join(words.split())[:80]
    return _anchor(name) if name else None


# Markdown -----------------------------------------------------------------------------------------

_ALERT = re.compile(rf"\[!({'|'.join(ALERTS)})\][ \t]*(?:\n|\Z|(?=\S))", re.I)


def _mark_alerts(state: StateCore) -> None:
    """Turn a quotation that begins with `[!NOTE]` or one of its sisters into a note."""
    opened: list[Token | None] = []
    empty: set[int] = set()
    for index, token in enumerate(state.tokens):
        if token.type == "blockquote_open":
            inline = state.tokens[index + 2] if index + 2 < len(state.tokens) else token
            match = _ALERT.match(inline.content) if inline.type == "inline" else None
            opened.append(token if match else None)
            if match:
                kind = match[1].lower()
                token.tag = "div"
                token.attrs = {"class": f"note note-{kind}", "role": "note"}
                inline.content = inline.content[match.end() :]
                if not inline.content:
                    empty.update((index + 1, index + 2, index + 3))
        elif token.type == "blockquote_close" and opened.pop():
            token.tag = "div"
    state.tokens = [token for i, token in enumerate(state.tokens) if i not in empty]


def _mark_heading_ids(state: StateCore) -> None:
    """Read `## Title {#id}`."""
    for token, inline in zip(state.tokens, state.tokens[1:], strict=False):
        content = inline.content.rstrip()
        if token.type == "heading_open" and content.endswith("}"):
            text, _, name = content[:-1].rpartition("{#")
            if text and re.fullmatch(r"[\w.:-]+", name):
                token.attrs["id"] = name
                inline.content = text.rstrip()


# Text ---------------------------------------------------------------------------------------------

_ACCENTS = re.compile(
    "[\u0300-\u036f\u0483-\u0487\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a"
    "\u064b-\u065f\u0670\u06d6-\u06dc\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
)


def _folded_once(text: str) -> str:
    text = unicodedata.normalize("NFKD", " ".join(text.split())).casefold()
    text = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    text = unicodedata.normalize("NFKC", text)
    kept = "".join(c for c in text if c.isspace() or unicodedata.category(c) not in _INVISIBLE)
    return " ".join(kept.split())


_INVISIBLE = frozenset({"Cc", "Cf", "Cs"})


def _encodable(text: str) -> str:
    """The text without NULs and half characters, which neither UTF-8 nor PostgreSQL can hold."""
    return re.sub("[\ud800-\udfff]", "\ufffd", text.replace("\x00", ""))
