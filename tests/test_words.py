"""Every text can be translated, and is: into French, German, Spanish, Portuguese and Japanese."""

import gettext
import html
import os
import re
from functools import cache, partial
from io import BytesIO
from itertools import product

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils.translation import override, to_locale

from segments.catalogs import compile_stale
from segments.models import Audience, Segment
from segments.wording import sentence_of
from tests import unmarked, words
from tests.factories_content import ArticleFactory, SectionFactory
from tests.factories_people import TagFactory

pytestmark = pytest.mark.once
CATALOGUES = list(product(words.FOLDERS, words.LANGUAGES))
TEMPLATES = ["segments/templates", "templates"]
PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z]|</?\w+>")
# What only operators read (commands, files that they write), and answers to API clients.
ENGLISH = ["api", "commands", "migrations"]

texts_of = cache(words.texts_of)
catalogue = cache(words.catalogue)


def forms(message):
    return message.string if isinstance(message.string, tuple) else (message.string,)


def ids(message):
    return message.id if isinstance(message.id, tuple) else (message.id,)


# The catalogues -----------------------------------------------------------------------------------


def untranslated(texts, translations):
    """The texts without a translation, and those whose translation is only a guess."""
    found = []
    for message in texts:
        known = translations.get(message.id, message.context)
        if message.id and (known is None or known.fuzzy or not all(forms(known))):
            found.append(message.id)
    return found


def spoiled(translations):
    """Translations that lost a placeholder, have an exclamation mark, or begin or end otherwise."""
    return [m.id for m in translations if m.id and any(_is_spoiled(m, text) for text in forms(m))]


def _is_spoiled(message, text):
    original = ids(message)[-1]
    differs = sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(original))
    # What has a context is no sentence: Japanese needs no space between the items of a list.
    trimmed = not message.context and _spaces(text) != _spaces(original)
    return differs or trimmed or set(text) & set("!！¡")


def _spaces(text):
    return (text[:1].isspace(), text[-1:].isspace())


@pytest.mark.parametrize(("app", "language"), CATALOGUES)
def test_every_text_is_translated(app, language):
    missing = untranslated(texts_of(app), catalogue(app, language))
    assert missing == [], "`make words` adds what is new; then translate it."


@pytest.mark.parametrize(("app", "language"), CATALOGUES)
def test_no_catalogue_has_a_text_that_nothing_shows(app, language):
    shown = texts_of(app)
    kept = catalogue(app, language)
    assert [m.id for m in kept if m.id and not shown.get(m.id, m.context)] == []


@pytest.mark.parametrize(("app", "language"), CATALOGUES)
def test_translations_keep_what_is_put_in(app, language):
    found = catalogue(app, language)
    assert spoiled(found) == []
    assert [(message.id, errors) for message, errors in found.check()] == []


def test_bad_translations_are_noticed():
    bad = Catalog("de")
    bad.add("Delete %(what)s", "Löschen")
    bad.add("Wait", "Warten Sie!")
    bad.add(" By %s ", "Nach %s")
    bad.add("Guess", "Vermutung", flags=["fuzzy"])
    bad.add(("%(n)s day", "%(n)s days"), ("%(n)s Tag", ""))
    bad.add("Save", "Speichern")
    assert spoiled(bad) == ["Delete %(what)s", "Wait", " By %s ", ("%(n)s day", "%(n)s days")]
    texts = Catalog()
    for message in ("Guess", "Save", "New", ("%(n)s day", "%(n)s days")):
        texts.add(message)
    assert untranslated(texts, bad) == ["Guess", "New", ("%(n)s day", "%(n)s days")]


@pytest.mark.parametrize("app", words.FOLDERS)
def test_no_text_has_an_exclamation_mark(app):
    assert [message.id for message in texts_of(app) if "!" in "".join(ids(message))] == []


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_one_text_has_one_translation(language):
    """Django merges the catalogues: of two translations one would win everywhere."""
    known = {}
    for app in words.FOLDERS:
        for message in catalogue(app, language):
            if message.id:
                key = (message.context, message.id)
                assert known.setdefault(key, message.string) == message.string


def test_what_is_missing_or_stale_is_compiled_when_the_site_starts(tmp_path):
    source = tmp_path / "de" / "LC_MESSAGES" / "django.po"
    compiled = source.with_suffix(".mo")
    source.parent.mkdir(parents=True)
    source.write_text('msgid ""\nmsgstr "Content-Type: text/plain; charset=utf-8"\n')

    def is_compiled():
        before = compiled.stat().st_ino if compiled.exists() else None
        compile_stale(tmp_path)
        assert set(source.parent.iterdir()) == {source, compiled}
        return compiled.stat().st_ino != before

    assert is_compiled() and not is_compiled()
    source.write_text(source.read_text() + '\nmsgid "Nobody"\nmsgstr "Niemand"\n')
    later = compiled.stat().st_mtime + 1
    os.utime(source, (later, later))
    assert is_compiled()
    with compiled.open("rb") as file:
        assert gettext.GNUTranslations(file).gettext("Nobody") == "Niemand"


@pytest.mark.parametrize(("app", "language"), CATALOGUES)
def test_each_catalogue_compiles(app, language):
    compiled = BytesIO()
    write_mo(compiled, catalogue(app, language))
    compiled.seek(0)
    read = gettext.GNUTranslations(compiled)
    message = next(m for m in catalogue(app, language) if isinstance(m.id, str) and m.id)
    assert read.gettext(message.id) == message.string


def test_the_site_offers_what_is_translated():
    offered = {to_locale(code) for code, _name in settings.LANGUAGES} - {"en_US"}
    assert offered == set(words.LANGUAGES)


# The code -----------------------------------------------------------------------------------------


def files(*folders, suffix):
    found = [file for each in folders for file in (words.ROOT / each).rglob(f"*{suffix}")]
    assert found
    return [file for file in found if not set(ENGLISH) & set(file.relative_to(words.ROOT).parts)]


def test_templates_have_no_bare_text():
    found = {str(f): unmarked.in_template(f.read_text()) for f in files(*TEMPLATES, suffix=".html")}
    assert {file: bare for file, bare in found.items() if bare} == {}


def test_scripts_have_no_bare_text():
    found = files("segments/static", suffix=".js")
    assert [bare for file in found for bare in unmarked.in_script(file.read_text())] == []


def test_code_has_no_bare_text():
    found = {str(f): unmarked.in_code(f.read_text()) for f in files(*words.FOLDERS, suffix=".py")}
    assert {file: bare for file, bare in found.items() if bare} == {}


def test_names_of_models_and_fields_are_translated():
    assert unmarked.in_models(*words.FOLDERS) == []


def test_bare_texts_are_noticed():
    page = """{% load i18n %}{# a comment #}<script>let word</script><p title="Bare title">
    {% translate "Marked" %} {{ variable }}</p><input type="submit" value="Bare button">
    <input type="hidden" value="kept">
    <p>Bare text, {% blocktranslate %}marked{% endblocktranslate %}</p>"""
    assert unmarked.in_template(page) == ["Bare title", "Bare button", "Bare text,"]
    script = "a.textContent = 'Bare'; b.title = c.dataset.title; d.textContent = '✓'; alert(`Bare`)"
    assert unmarked.in_script(script) == ["Bare", "Bare"]
    marked = "from django.utils.translation import gettext as _, gettext_lazy\n"
    code = marked + "\n".join(
        [
            "a = CharField(label='Bare')",
            "b = CharField(label=gettext_lazy('Marked'), name='x')",
            "c = _('Too early')",
            "verbose_name = f'Bare {b}'",
            "def f():",
            "    raise ValidationError({'name': 'Bare'})",
            "    messages.error(request, 'Bare')",
            "    raise ValidationError(_('Marked'))",
            "    raise ValidationError(f'{place}[{number}]: {words}')",
        ]
    )
    assert sorted(unmarked.in_code(code)) == [
        "ValidationError({'name': 'Bare'})",
        "_('Too early')",
        "label='Bare'",
        "messages.error(request, 'Bare')",
        "verbose_name = f'Bare {b}'",
    ]


def test_each_managing_page_says_what_it_decides():
    bases = ("page.html", "content_page.html", "inspection_page.html")
    without = [
        file.name
        for file in [
            *files("segments/templates", suffix=".html"),
            words.ROOT / "templates/view_as.html",
        ]
        if file.name not in bases
        and "{% extends" in file.read_text()
        and '<p class="lead">' not in file.read_text()
    ]
    assert without == []


# What people see ----------------------------------------------------------------------------------


def code_of(language):
    """As browsers and settings.LANGUAGES write it."""
    return language.lower().replace("_", "-")


SENTENCES = {
    "en_US": "End users of Acme, tagged gold or vip; always Dan; never Maria",
    "de": "Endbenutzer von Acme, mit dem Stichwort gold oder vip; immer Dan; nie Maria",
    "es": "Usuarios finales de Acme, con la etiqueta gold o vip; siempre Dan; nunca Maria",
    "fr": "Utilisateurs finaux de l'organisation Acme, avec le marqueur gold ou vip\N{NBSP}; "
    "toujours Dan\N{NBSP}; jamais Maria",
    "ja": "エンドユーザー（組織がAcme、タグがgoldまたはvip）。Danは常に含む。Mariaは常に除外",
    "pt_BR": "Usuários finais de Acme, com a tag gold ou vip; sempre Dan; nunca Maria",
}


@pytest.fixture
def customers(cast):
    """A segment whose sentence has every part that a sentence can have."""
    acme = cast["maria"].organizations.get().pk
    tags = [TagFactory(name=name).name for name in ("gold", "vip")]
    conditions = [
        {"attribute": "organization", "operator": "any", "values": [acme]},
        {"attribute": "tag", "operator": "any", "values": tags},
    ]
    segment = Segment.objects.create(name="C", user_type="end_users", conditions=conditions)
    segment.include(cast["dan"])
    segment.exclude(cast["maria"])
    return segment


@pytest.mark.parametrize("language", SENTENCES)
def test_a_segment_is_said_in_each_language(customers, language):
    with override(code_of(language)):
        assert sentence_of(customers) == SENTENCES[language]


@pytest.mark.parametrize("language", words.LANGUAGES)
def test_built_in_names_are_translated(db, language):
    with override(code_of(language)):
        for segment in Segment.objects.exclude(built_in=None):
            assert str(segment) != segment.name


@cache
def english():
    """Pieces of our English texts that are long enough to be nothing else on a page."""
    pieces = {
        piece.strip()
        for app in words.FOLDERS
        for message in texts_of(app)
        for text in ids(message)
        for piece in PLACEHOLDER.split(text)
    }
    return [piece for piece in pieces if len(piece) > 11 and " " in piece]


def english_in(answer):
    text = html.unescape(answer.content.decode())
    return [piece for piece in english() if piece in text]


def pages(admin, customers, article, person):
    """Name -> how to get it, for every managing page."""

    def of(name, thing, **query):
        label = f"{thing._meta.app_label}_{thing._meta.model_name}"
        return partial(admin.get, reverse(f"admin:{label}_{name}", args=[thing.pk]), query)

    form = {"name": "C", "user_type": "end_users", "seen_version": customers.version}
    for rows in ("conditions", "people"):
        form |= {f"{rows}-TOTAL_FORMS": 0, f"{rows}-INITIAL_FORMS": 0}
    change = reverse("admin:segments_segment_change", args=[customers.pk])
    return {
        "list": partial(admin.get, reverse("admin:segments_segment_changelist")),
        "form": of("change", customers),
        "impact": partial(admin.post, change, form),
        "explain": of("explain", article, person=person.email),
        "view as": partial(admin.get, reverse("view_as")),
        "index": partial(admin.get, reverse("admin:index")),
        "delete": of("delete", customers),
        "history": of("history", customers),
        "built-in": of("change", Segment.objects.get(built_in="staff")),
        "article": of("change", article),
        "articles": partial(admin.get, reverse("admin:helpcenter_article_changelist")),
        "who can see": of("who_can_see", article),
        "person": of("change", person),
        "can see": of("can_see", person),
        "history of a person": of("history", person),
    }


@pytest.fixture
def show(cast, customers):
    """show(language, at_most) -> what is left of English on an admin's pages, one after another."""
    section = SectionFactory(audience=Audience.of(customers))
    article = ArticleFactory(title="Reset", section=section, audience=Audience.of(customers))

    def answers(language, at_most=None):
        admin = Client(headers={"Accept-Language": code_of(language)})
        admin.force_login(cast["ada"])
        found = pages(admin, customers, article, cast["maria"])
        for name, get in list(found.items())[:at_most]:
            answer = get()
            assert answer.status_code == 200, name
            assert f'lang="{code_of(language)}"' in answer.content.decode(), name
            yield name, english_in(answer)

    return answers


# All pages in German, the first five in the other languages: they say the same.
@pytest.mark.parametrize("language", words.LANGUAGES)
def test_pages_have_no_english_left(show, language):
    for name, left in show(language, None if language == "de" else 5):
        assert (name, left) == (name, [])


def test_english_pages_are_noticed(show):
    assert [name for name, left in show("en_US", 5) if not left] == []


def test_a_chosen_language_grants_nothing(cast, segment_of):
    """Whoever reads in French is not a French-speaking customer; only admins say that."""
    article = ArticleFactory(
        title="Tarifs", locale="fr", audience=Audience.of(segment_of["french"])
    )
    article.section.category.help_center.locales = ["en-us", "fr"]
    article.section.category.help_center.save()
    reader = Client(headers={"Accept-Language": "fr"})
    reader.cookies[settings.LANGUAGE_COOKIE_NAME] = "fr"
    for person, status in (("dan", 404), ("claire", 200)):
        reader.force_login(cast[person])
        answer = reader.get(f"/hc/fr/articles/{article.pk}", follow=True)
        assert answer.status_code == status
        assert '<html lang="fr">' in answer.content.decode()
        cast[person].refresh_from_db()
    assert (cast["dan"].language, cast["claire"].language) == (None, "fr")
