"""The pages, at Zendesk's addresses. Every one of them asks `visible_to` and nothing else.

What the visitor may not see answers as what does not exist: by Http404, at the same place, in the
same words (templates/404.html).
"""

from __future__ import annotations

import logging
import re
from typing import Any
from urllib.parse import unquote, urlencode

from django.conf import settings
from django.core.paginator import EmptyPage, Paginator
from django.db.models import F, QuerySet, Window
from django.db.models.functions import RowNumber
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_safe
from django_sendfile import sendfile

from segments.models import Audience

from . import files, permissions, rendering
from . import search as full_text
from .context import Site, site_of
from .models import Article, ArticleTranslation, Attachment, Category, Section
from .snippets import snippet

logger = logging.getLogger("helpcenter")

ARTICLES_PER_PAGE = 30
RESULTS_PER_PAGE = 20
PROMOTED_ARTICLES = 6
SECTIONS_PER_CATEGORY = 6
ARTICLES_PER_SECTION = 5
RELATED_ARTICLES = 10

# Everything above a section, in the query that fetches it: sections nest five deep.
ABOVE_SECTION = "parent__parent__parent__parent"


# The way in ---------------------------------------------------------------------------------------


@require_safe
def start(request: HttpRequest) -> HttpResponseBase:
    """To the home page; in the demo, the choice of whom to be."""
    if settings.DEMO:
        from . import demo

        return demo.start(request)
    return to_home(request)


@require_safe
def to_home(request: HttpRequest) -> HttpResponseBase:
    """To the home page in the default locale, for those who may know that there is one."""
    help_center = site_of(request).help_center
    if help_center is None:
        raise Http404
    return redirect("home", locale=help_center.default_locale)


def _enter(request: HttpRequest, locale: str) -> Site:
    """The site for a page of a locale. 404 unless the visitor sees it and the locale is enabled."""
    site = site_of(request)
    if site.help_center is None or locale not in site.help_center.locales:
        raise Http404
    return site


# Pages --------------------------------------------------------------------------------------------


@require_safe
def home(request: HttpRequest, locale: str) -> HttpResponseBase:
    """The categories with their first sections, and the promoted articles."""
    site = _enter(request, locale)
    if request.path != reverse("home", kwargs={"locale": locale}):
        return redirect("home", locale=locale)
    categories = Category.objects.visible_to(site.user).filter(help_center=site.help_center)
    shelves = categories.with_words(locale, site.user)
    _hang_sections(shelves, site, locale)
    _describe(shelves, site)
    promoted = Article.objects.visible_to(site.user).filter(promoted=True, published=True)
    articles = promoted[:PROMOTED_ARTICLES].with_words(locale, site.user)
    return render(request, "home.html", {"categories": shelves, "promoted": articles})


def _hang_sections(categories: list[Any], site: Site, locale: str) -> None:
    """Give each category its first few top `shown_sections`, and the number of `more_sections`."""
    by_category: dict[int, list[int]] = {category.pk: [] for category in categories}
    rows = Section.objects.visible_to(site.user).filter(parent=None, category__in=by_category)
    for pk, category in rows.values_list("pk", "category"):
        by_category[category].append(pk)
    first = [pk for pks in by_category.values() for pk in pks[:SECTIONS_PER_CATEGORY]]
    shown = Section.objects.visible_to(site.user).filter(pk__in=first)
    sections = shown.with_words(locale, site.user)
    for category in categories:
        category.shown_sections = [s for s in sections if s.category_id == category.pk]
        category.more_sections = len(by_category[category.pk][SECTIONS_PER_CATEGORY:])


def _describe(shelves: list[Any], site: Site) -> None:
    """Fetch the descriptions of all shelves (of one model) at once."""
    if not shelves:
        return
    words = type(shelves[0].words).objects.visible_to(site.user)
    bodies = dict(words.filter(pk__in=[s.words.pk for s in shelves]).values_list("pk", "body"))
    for shelf in shelves:
        shelf.words.body = bodies.get(shelf.words.pk, "")


@require_safe
def category(request: HttpRequest, locale: str, name: str) -> HttpResponseBase:
    """A category: its sections, each with its first articles."""
    site = _enter(request, locale)
    thing = _find(Category.objects, site, locale, name)
    if address := _better_address(request, thing, locale):
        return redirect(address, permanent=True)
    found = Section.objects.visible_to(site.user).filter(category=thing, parent=None)
    sections = found.with_words(locale, site.user)
    _hang_articles(sections, site, locale)
    below = Section.objects.visible_to(site.user).filter(parent__in=sections)
    inside = below.with_words(locale, site.user)
    for each in sections:
        each.shown_sections = [other for other in inside if other.parent_id == each.pk]
    _describe([thing], site)
    return render(request, "category.html", {"category": thing, "sections": sections})


def _hang_articles(sections: list[Any], site: Site, locale: str) -> None:
    """Give each section its first few `shown_articles`, and say whether it `has_more`."""
    place = Window(
        RowNumber(), partition_by=F("section_id"), order_by=[F("position").asc(), F("id").asc()]
    )
    found = Article.objects.visible_to(site.user).filter(section__in=sections)
    first = found.annotate(place=place).filter(place__lte=ARTICLES_PER_SECTION + 1)
    articles = first.with_words(locale, site.user)
    for section in sections:
        here = [article for article in articles if article.section_id == section.pk]
        section.shown_articles = here[:ARTICLES_PER_SECTION]
        section.has_more = len(here) > ARTICLES_PER_SECTION


@require_safe
def section(request: HttpRequest, locale: str, name: str) -> HttpResponseBase:
    """A section: the sections in it, and its articles page by page."""
    site = _enter(request, locale)
    thing = _find(Section.objects.select_related(ABOVE_SECTION), site, locale, name)
    if address := _better_address(request, thing, locale):
        return redirect(address, permanent=True)
    _describe([thing], site)
    below = Section.objects.visible_to(site.user).filter(parent=thing)
    page = _page(request, Article.objects.visible_to(site.user).filter(section=thing))
    context = {
        "section": thing,
        "trail": _trail(thing, site, locale)[:-1],
        "sections": below.with_words(locale, site.user),
        "page": page,
        "articles": page.object_list.with_words(locale, site.user),
    }
    return render(request, "section.html", context)


@require_safe
def article(request: HttpRequest, locale: str, name: str) -> HttpResponseBase:
    """An article in the locale, or in the one it was first written in."""
    site = _enter(request, locale)
    found = Article.objects.select_related("section", f"section__{ABOVE_SECTION}")
    thing = _find(found, site, locale, name)
    if address := _better_address(request, thing, locale):
        return redirect(address, permanent=True)
    attachments = Attachment.objects.visible_to(site.user).filter(article=thing, inline=False)
    beside = Article.objects.visible_to(site.user).filter(section=thing.section_id)
    context = {
        "article": thing,
        "trail": _trail(thing.section, site, locale),
        "attachments": attachments,
        "beside": beside.exclude(pk=thing.pk)[:RELATED_ARTICLES].with_words(locale, site.user),
        "audience": _audience(thing, site),
        "other_languages": [
            each for each in site.other_languages if each.locale != thing.words.locale
        ],
    }
    return render(request, "article.html", context)


def _audience(thing: Article, site: Site) -> str:
    """Who may see a restricted article, by name, for those who may publish it; else nothing."""
    if thing.audience_id == Audience.EVERYONE or not permissions.may_publish(site.user, thing):
        return ""
    return str(thing.audience)


@require_safe
def search(request: HttpRequest, locale: str) -> HttpResponseBase:
    """Articles in the locale that contain every word; an editor finds their drafts too."""
    site = _enter(request, locale)
    query = " ".join(request.GET.get("query", "").split())[: full_text.QUERY_CHARACTERS]
    site.addresses = {
        each: f"{reverse('search', kwargs={'locale': each})}?{urlencode({'query': query})}"
        for each in site.help_center.locales  # type: ignore[union-attr]
    }
    terms = full_text.terms_of(query)
    words = ArticleTranslation.objects.visible_to(site.user).filter(locale=locale)
    found = full_text.search(words.select_related("article"), query)
    page = _page(request, found.defer("body", "search_title", "search_text"), RESULTS_PER_PAGE)
    results = [_result(each, terms) for each in page.object_list]
    _name_sections(results, site, locale)
    return render(request, "search.html", {"query": query, "page": page, "results": results})


def _result(words: ArticleTranslation, terms: list[str]) -> Article:
    """The article of a search result, with the words that were found and a snippet of them."""
    thing = words.article
    thing.words = words
    thing.snippet = snippet(rendering.plain_text(words.html), terms)  # type: ignore[attr-defined]
    return thing


def _name_sections(articles: list[Any], site: Site, locale: str) -> None:
    """Give each article its `shown_section`, None where the visitor may not know of it."""
    found = Section.objects.visible_to(site.user)
    rows = found.filter(pk__in={article.section_id for article in articles})
    sections = {section.pk: section for section in rows.with_words(locale, site.user)}
    for article in articles:
        article.shown_section = sections.get(article.section_id)


# Files --------------------------------------------------------------------------------------------


@require_safe
def attachment(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """A file of an article. Pictures are shown, everything else is a download and runs nowhere."""
    # The permission comes first: ranges and validators are looked at only after it.
    found = Attachment.objects.visible_to(request.user).filter(pk=pk, file_name=name).first()
    if found is None:
        raise Http404
    response = _file(request, found)
    disposition = content_disposition_header(
        not files.is_inline(found.content_type), files.safe_file_name(found.file_name)
    )
    response.headers["Content-Disposition"] = disposition or "attachment"
    response.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    # Guessed from the name; a browser would unpack a .tar.gz that somebody wants to keep.
    response.headers.pop("Content-Encoding", None)
    return response


def _file(request: HttpRequest, found: Attachment) -> HttpResponse:
    """The bytes, or the order to the web server to send them; 404 and a log for a lost file."""
    if found.file:
        try:
            return sendfile(
                request, found.file.path, attachment_filename=False, mimetype=found.content_type
            )
        except (Http404, OSError) as error:
            logger.error("The file of attachment %s cannot be read: %r", found.pk, error)
            raise Http404 from None
    logger.error("Attachment %s has no file.", found.pk)
    raise Http404


# What pages have in common ------------------------------------------------------------------------


def _find(manager: Any, site: Site, locale: str, name: str) -> Any:
    """The object that `{id}-{slug}` names, with its `words`; 404 unless the visitor sees both.

    The page of something in a locale shows what is written in that locale, to its editors even
    a draft; everywhere else published words go first.
    """
    thing = manager.visible_to(site.user).filter(pk=_public_id(name)).first()
    if thing is None:
        raise Http404
    model = thing._meta.get_field("translations").related_model
    visible = model.objects.visible_to(site.user).without_text()
    translations = list(visible.filter(**{model.audience_parents[0]: thing}))
    if not translations:
        raise Http404
    for words in translations:
        thing.words = words
        site.addresses[words.locale] = thing.address(words.locale)
    thing.words = min(translations, key=lambda words: _distance(words, locale, thing))
    return thing


def _distance(words: Any, locale: str, thing: Any) -> tuple[Any, ...]:
    is_draft = getattr(words, "draft", False)
    return (words.locale != locale, is_draft, words.locale != thing.source_locale, words.locale)


def _public_id(name: str) -> int:
    # No slug has a dot. An address that ends like a file (`1-title.css`) would be redirected to the
    # title, and some caches keep whatever ends like one.
    match = re.fullmatch(r"(0|[1-9][0-9]{0,18})(?:-[^.]*)?", name)
    if not match or int(match[1]) >= 2**63:
        raise Http404
    return int(match[1])


def _better_address(request: HttpRequest, thing: Any, locale: str) -> str | None:
    """Where the page lives if not here (an old slug, or none), with the query; else None."""
    address = thing.address(locale)
    if unquote(address) == request.path:
        return None
    query = request.META.get("QUERY_STRING")
    return f"{address}?{query}" if query else str(address)


def _trail(section: Section, site: Site, locale: str) -> list[Any]:
    """The category and the sections down to this one, without those the visitor may not know of."""
    path = section.path()
    found = Section.objects.visible_to(site.user).filter(pk__in=[each.pk for each in path])
    sections = {each.pk: each for each in found.with_words(locale, site.user)}
    category = Category.objects.visible_to(site.user).filter(pk=section.category_id)
    shown = [sections[each.pk] for each in path if each.pk in sections]
    return [*category.with_words(locale, site.user), *shown]


def _page(request: HttpRequest, objects: QuerySet[Any], size: int = ARTICLES_PER_PAGE) -> Any:
    """The page that `?page=` asks for; 404 for anything but the number of one that there is."""
    number = request.GET.get("page", "1")
    if not re.fullmatch("[1-9][0-9]{0,8}", number):
        raise Http404
    try:
        return Paginator(objects, size).page(int(number))
    except EmptyPage:
        raise Http404 from None
