"""Importing folders: what is stored, who sees it, and that nothing happens by accident."""

import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings as site_settings
from django.core.files.storage import FileSystemStorage
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection
from django.test.utils import CaptureQueriesContext

from helpcenter import importing
from helpcenter.models import Article, ArticleTranslation, Attachment, Category, HelpCenter, Section
from segments.models import Audience, Change, Segment
from tests.conftest import CAST
from tests.corpus_files import png, write_corpus
from tests.factories_content import ArticleFactory, HelpCenterFactory, SectionFactory

ROOT = Path(__file__).resolve().parents[2]
HOST = "help.northwind.example"
PARTNERS, MESH = "For partners/Installers", "Wi-Fi and internet/Wi-Fi/Mesh"
BILLING = "Getting started/Account and billing"

# Who is in the segments that the sections are restricted to, said by hand. Ada sees everything.
MEMBERS = {
    "acme": {"maria", "nadia"},
    "premium": {"omar", "nadia"},
    "staff": {"lena", "aki", "edda", "pia", "ada"},
}


@pytest.fixture(autouse=True)
def storage(settings, tmp_path):
    """The folder of attachments, empty."""
    settings.MEDIA_ROOT = tmp_path / "attachments"
    settings.SENDFILE_ROOT = str(settings.MEDIA_ROOT)
    return settings.MEDIA_ROOT


@pytest.fixture
def corpus(db, tmp_path):
    return write_corpus(tmp_path)


@pytest.fixture
def write(db, tmp_path):
    """Writes a folder, `write({path: text or bytes})`, and returns it."""

    def write_files(files):
        for path, content in files.items():
            file = tmp_path / "folder" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path / "folder"

    return write_files


@pytest.fixture
def restrict(tmp_path):
    """Writes a file for --restrict and returns the option."""

    def write_lines(text):
        file = tmp_path / "restrict.yaml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return f"--restrict={file}"

    return write_lines


def run(folder, *options, locale="en-us"):
    """What the command prints."""
    out = io.StringIO()
    call_command("import_markdown", str(folder), f"--locale={locale}", *options, stdout=out)
    return out.getvalue()


def refusal(folder, *options, **more):
    """Why the command changes nothing, line by line."""
    with pytest.raises(CommandError) as caught:
        run(folder, *options, **more)
    first, *problems = str(caught.value).split("\n")
    assert first == "Nothing was changed."
    return problems


def article(title):
    return Article.objects.get(translations__title=title)


def words(title):
    return ArticleTranslation.objects.get(title=title)


def bytes_of(attachment):
    with attachment.file.open() as file:
        return file.read()


def contents():
    """Every row of every table, and every stored file."""
    rows = {
        model._meta.label: sorted(map(repr, model._base_manager.values_list()))
        for model in apps.get_models(include_auto_created=True)
    }
    return rows, stored_files()


def stored_files():
    root = Path(site_settings.MEDIA_ROOT)
    return {
        str(file.relative_to(root)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in root.rglob("*")
        if file.is_file()
    }


# Who sees what ------------------------------------------------------------------------------------


def read_folder(root):
    """Key, section and draft of each article, found without the code that is tested."""
    for file in sorted(root.rglob("*.md")):
        path = file.relative_to(root)
        if len(path.parts) < 3 or path.stem == "README":
            continue
        matter = re.match(r"---\n(.*?)\n---\n", file.read_text(), re.S)
        lines = matter[1].split("\n") if matter else []
        ids = [int(line.removeprefix("id: ")) for line in lines if line.startswith("id: ")]
        yield (ids[0] if ids else path.stem), path.parent.as_posix(), "draft: true" in lines


def check_lists(root, cast, closed):
    """Each persona's list is exactly what the folders and the membership by hand say."""
    articles = [*read_folder(root)]
    ids = {key for key, _, _ in articles}
    total = 0
    for name in CAST:
        expected = {
            key
            for key, folder, draft in articles
            if name == "ada"
            or not draft
            and all(
                name in MEMBERS[segment]
                for section, segment in closed.items()
                if f"{folder}/".startswith(f"{section}/")
            )
        }
        titled = Article.objects.visible_to(cast[name]).titled()
        seen = [pk if pk in ids else title for pk, title in titled.values_list("pk", "title")]
        assert len(seen) == len(set(seen))
        assert set(seen) == expected, name
        total += len(seen)
    return total


def lines_for(closed, segment_of):
    return "".join(f"{path}: {segment_of[key].name}\n" for path, key in closed.items())


def test_everybody_sees_their_articles_and_no_others(corpus, cast, segment_of, restrict):
    closed = {PARTNERS: "acme", MESH: "premium", BILLING: "staff"}
    run(corpus, restrict(lines_for(closed, segment_of)))
    assert check_lists(corpus, cast, closed)
    assert list(Article.objects.visible_to(cast["maria"]).filter(section__parent=None, pk=3001))
    # Whoever sees no article of a section knows of no such section.
    names = {str(section) for section in Section.objects.visible_to(cast["maria"])}
    assert names == {"Setting up", "Wi-Fi", "Internet connection", "Installers"}
    assert {str(category) for category in Category.objects.visible_to(cast["dan"])} == {
        "Getting started",
        "Wi-Fi and internet",
    }


@pytest.mark.corpus
def test_the_real_corpus(db, cast, segment_of, restrict, storage):
    default = ROOT.parent / "shared/content/arduino"
    root = Path(os.environ.get("HELP_CENTER_CORPUS", default))
    if not root.is_dir():
        pytest.skip(f"there are no articles in {root}; see HELP_CENTER_CORPUS")
    closed = {
        "Hardware Support/Opta": "acme",
        "Arduino Cloud/Spaces": "premium",
        "Store Support/Shipping": "staff",
    }
    options = [restrict(lines_for(closed, segment_of)), "--host=support.arduino.cc"]
    printed = run(root, *options)
    assert "articles: 414 created, 0 updated, 0 unchanged" in printed
    assert "sections: 44 created" in printed
    assert check_lists(root, cast, closed) > 4000
    assert len(stored_files()) == Attachment.objects.count() == 146
    for html in ArticleTranslation.objects.values_list("html", flat=True):
        left = re.findall(r'href="https://support\.arduino\.cc/hc/en-us/articles/(\d+)', html)
        assert not Article.objects.filter(pk__in=left).exists()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert "articles: 0 created, 0 updated, 414 unchanged" in run(root, *options)
    assert not writes(queries)
    assert len(queries) < 40


# What is stored -----------------------------------------------------------------------------------


def test_the_first_import(corpus):
    printed = run(corpus, f"--host={HOST}")
    assert "The help center “northwind” is new, for everyone." in printed
    assert "categories: 3 created, 0 updated, 0 unchanged" in printed
    assert "sections: 6 created, 0 updated, 0 unchanged" in printed
    assert "articles: 13 created, 0 updated, 0 unchanged" in printed
    assert "files: 3 created, 0 updated, 0 unchanged" in printed
    assert "Wi-Fi and internet/Wi-Fi/img/old lights.png: no article shows this image" in printed
    assert "lead nowhere" not in printed
    center = HelpCenter.objects.get()
    assert (center.default_locale, center.locales) == ("en-us", ["en-us"])
    mesh = article("Add a second router").section
    assert [str(section) for section in mesh.path()] == ["Wi-Fi", "Mesh"]
    assert str(mesh.category) == "Wi-Fi and internet"
    first = article("Set up your router")
    assert (first.pk, first.published) == (1001, True)
    assert {label.name for label in first.labels.all()} == {"setup", "first steps"}
    assert not article("Move to another plan").published
    assert "<h2 id=" in words("Set up your router").html
    assert "amber" in words("No internet").search_text
    everything = [center, *Category.objects.all(), *Section.objects.all(), *Article.objects.all()]
    assert {thing.audience_id for thing in everything} == {Audience.EVERYONE}


def test_positions_follow_the_folder(corpus):
    run(corpus)
    assert [str(category) for category in Category.objects.all()] == [
        "For partners",
        "Getting started",
        "Wi-Fi and internet",
    ]
    section = article("Set up your router").section
    assert [str(each) for each in section.articles.all()] == [
        "Choose a place for the router",
        "Reset the router",
        "Set up your router",
    ]


def test_links_lead_to_pages_that_exist(corpus, client):
    run(corpus, f"--host={HOST}")
    links = set()
    for each in ArticleTranslation.objects.filter(draft=False):
        links.update(re.findall(r'(?:href|src)="(/[^"#]*)', each.html))
        assert f'href="https://{HOST}' not in each.html
    assert "/hc/en-us/articles/1002" in links
    assert len([link for link in links if "article_attachments" in link]) == 3
    for link in links:
        assert client.get(link, follow=True).status_code == 200, link


def test_a_link_does_not_tell_the_title_of_what_it_leads_to(corpus):
    run(corpus, f"--host={HOST}")
    for body in ArticleTranslation.objects.values_list("body", flat=True):
        assert not re.search(r"/articles/\d+-", body)


def test_each_article_has_its_own_copy_of_an_image(corpus, cast):
    run(corpus)
    copies = Attachment.objects.filter(file_name="ports.png")
    one, other = copies
    assert one.article_id != other.article_id
    assert bytes_of(one) == bytes_of(other) == png((200, 200, 60))
    assert {(a.content_type, a.inline, a.size) for a in copies} == {("image/png", True, one.size)}
    assert one.size == len(png((200, 200, 60)))
    one.article.audience = Audience.nobody()
    one.article.save()
    assert list(copies.visible_to(cast["visitor"])) == [other]
    assert not Attachment.objects.get(pk=one.pk).is_visible_to(cast["dan"])


def test_files_are_what_their_bytes_are(write):
    html = b"<script>alert(1)</script>"
    body = "![a](a.png) [b](b.pdf) ![c](<c d.png>)"
    run(
        write(
            {
                "c/s/a.md": body,
                "c/s/a.png": html,
                "c/s/b.pdf": b"%PDF-",
                "c/s/c d.png": png((1, 2, 3)),
            }
        )
    )
    types = dict(Attachment.objects.values_list("file_name", "content_type"))
    assert types == {
        "a.png": "application/octet-stream",
        "b.pdf": "application/pdf",
        "c d.png": "image/png",
    }


def test_audience_of_what_is_new(corpus, segment_of):
    names = ["--audience", segment_of["acme"].name, "--audience", segment_of["staff"].name]
    assert "is new, for Customers of Acme, Agents and admins." in run(corpus, *names)
    both = Audience.of(segment_of["acme"], segment_of["staff"])
    for model in (HelpCenter, Category, Section, Article):
        assert set(model.objects.values_list("audience", flat=True)) == {both.pk}


def test_patterns_set_audiences(corpus, segment_of, restrict):
    acme, staff = segment_of["acme"], segment_of["staff"]
    run(
        corpus,
        restrict(
            f"For partners: [{acme.name}, {staff.name}]\n"
            f"'**/*router*.md': {staff.name}\n"
            "Getting started/*/Pay?by*: nobody\n"
        ),
    )
    by_title = {str(each): each.audience for each in Article.objects.all()}
    assert by_title["Pay by invoice"] == Audience.nobody()
    assert by_title["No internet"] == Audience.everyone()
    assert by_title["Replace a broken router"] == Audience.of(staff)
    assert [title for title in by_title if by_title[title] == Audience.of(staff)]
    assert Category.objects.get(translations__title="For partners").audience == Audience.of(
        acme, staff
    )


def test_history_names_the_command(corpus, restrict):
    run(corpus)
    Change.objects.all().delete()
    run(corpus, restrict(f"{PARTNERS}: nobody"))
    change = Change.objects.get()
    assert (change.actor, change.field, change.after) == ("import_markdown", "audience", "1")


# Repeating ----------------------------------------------------------------------------------------


def writes(queries):
    return [
        query["sql"]
        for query in queries
        if re.match(r"\s*(INSERT|UPDATE|DELETE|SELECT set_config)", query["sql"])
    ]


def test_repeating_writes_nothing(corpus, segment_of, restrict):
    options = [restrict(f"{PARTNERS}: {segment_of['acme'].name}"), f"--host={HOST}"]
    run(corpus, *options)
    before = contents()
    with CaptureQueriesContext(connection) as queries:
        printed = run(corpus, *options)
    assert not writes(queries)
    assert contents() == before
    assert "articles: 0 created, 0 updated, 13 unchanged" in printed
    assert "files: 0 created, 0 updated, 3 unchanged" in printed


def test_queries_do_not_grow_with_the_folder(write):
    folder = write({"c/s/a1.md": "![x](a.png)", "c/s/a.png": png((1, 2, 3))})
    run(folder)
    with CaptureQueriesContext(connection) as few:
        run(folder)
    for number in range(2, 12):
        write(
            {f"c{number}/s/t/a{number}.md": "![x](a.png)", f"c{number}/s/t/a.png": png((1, 2, 3))}
        )
    run(folder)
    with CaptureQueriesContext(connection) as many:
        run(folder)
    assert len(many) == len(few)


def test_only_what_changed_is_written(corpus):
    run(corpus)
    before = {t.title: t.updated_at for t in ArticleTranslation.objects.all()}
    articles = dict(Article.objects.values_list("pk", "updated_at"))
    file = corpus / "Wi-Fi and internet/Internet connection/No internet.md"
    file.write_text(file.read_text().replace("amber", "orange"))
    new = corpus / "Wi-Fi and internet/Internet connection/An outage.md"
    new.write_text("---\nid: 77\n---\nWait.")
    printed = run(corpus)
    assert "articles: 1 created, 1 updated, 12 unchanged" in printed
    after = {t.title: t.updated_at for t in ArticleTranslation.objects.all()}
    assert [title for title in before if before[title] != after[title]] == ["No internet"]
    assert "orange" in words("No internet").search_text
    # The new one took its place in the row, which is no news about the old one.
    assert (article("An outage").position, article("No internet").position) == (0, 1)
    assert articles.items() <= dict(Article.objects.values_list("pk", "updated_at")).items()


def test_labels_follow_the_file(corpus):
    run(corpus)
    file = corpus / PARTNERS / "Replace a broken router.md"
    file.write_text(file.read_text().replace("[guarantee]", "[repairs, setup]"))
    assert "1 updated" in run(corpus)
    labels = article("Replace a broken router").labels
    assert {label.name for label in labels.all()} == {"repairs", "setup"}


def test_a_changed_image_replaces_the_file(corpus, django_capture_on_commit_callbacks):
    run(corpus)
    old = Attachment.objects.get(file_name="lights.png")
    names = set(stored_files())
    (corpus / "Wi-Fi and internet/Wi-Fi/img/lights.png").write_bytes(png((9, 9, 9), 5))
    with django_capture_on_commit_callbacks(execute=True):
        assert "files: 0 created, 1 updated, 2 unchanged" in run(corpus)
    new = Attachment.objects.get(file_name="lights.png")
    assert (new.pk, bytes_of(new), new.size) == (old.pk, png((9, 9, 9), 5), new.file.size)
    assert names - set(stored_files()) == {old.file.name}
    assert set(stored_files()) - names == {new.file.name}


def test_a_changed_image_of_the_same_size_is_noticed(write):
    folder = write({"c/s/a.md": "[x](x.bin)", "c/s/x.bin": b"one"})
    run(folder)
    run(write({"c/s/x.bin": b"two"}))
    assert bytes_of(Attachment.objects.get()) == b"two"


def test_a_lost_file_comes_back(corpus):
    run(corpus)
    lost = Attachment.objects.get(file_name="lights.png")
    lost.file.storage.delete(lost.file.name)
    assert "files: 0 created, 1 updated, 2 unchanged" in run(corpus)
    assert bytes_of(Attachment.objects.get(file_name="lights.png")) == png((240, 240, 240))


def test_what_left_the_folder_is_reported_and_stays(corpus):
    run(corpus)
    (corpus / PARTNERS / "Prices for installers.md").unlink()
    file = corpus / "Wi-Fi and internet/Wi-Fi/What the lights mean.md"
    file.write_text(re.sub(r"!\[.*?\)", "", file.read_text(), count=1))
    for each in (corpus / MESH).iterdir():
        each.unlink()
    (corpus / "Wi-Fi and internet/Wi-Fi/Slow Wi-Fi.md").unlink()
    printed = run(corpus)
    assert "In the help center but not in the folder, left alone (6):" in printed
    assert re.search(r"  section \d+ “Mesh”\n", printed)
    for line in ("  article 3001 “Prices for installers”", "  article 2002 “My Wi-Fi is slow”"):
        assert line in printed
    assert re.search(r"  file \d+ “lights.png” of article 2001\n", printed)
    assert (Article.objects.count(), Attachment.objects.count()) == (13, 3)


def test_two_at_once(transactional_db, process_env, tmp_path):
    folder = write_corpus(tmp_path)
    command = [sys.executable, "-m", "django", "import_markdown", folder, "--locale=en-us"]
    environment = process_env | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    both = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted(re.findall(r"articles: (\d+) created", "".join(printed))) == ["0", "13"]
    assert (HelpCenter.objects.count(), Article.objects.count()) == (1, 13)


# Never wider by accident --------------------------------------------------------------------------


def test_audiences_set_by_hand_stay(corpus, segment_of):
    run(corpus)
    nobody, staff = Audience.nobody(), Audience.of(segment_of["staff"])
    HelpCenter.objects.update(audience=staff)
    Section.objects.filter(translations__title="Mesh").update(audience=staff)
    Article.objects.filter(pk=1001).update(audience=nobody)
    file = corpus / "Getting started/Setting up/Set up your router.md"
    file.write_text(file.read_text() + "\nMore.")
    printed = run(corpus, "--audience=everyone")
    assert "articles: 0 created, 1 updated" in printed
    assert "sees more" not in printed
    assert HelpCenter.objects.get().audience == staff
    assert Section.objects.get(translations__title="Mesh").audience == staff
    assert Article.objects.get(pk=1001).audience == nobody


def test_restrict_sets_stored_audiences_and_says_where_more_people_see(
    corpus, segment_of, restrict
):
    acme, staff = segment_of["acme"], segment_of["staff"]
    run(corpus)
    assert "sees more" not in run(corpus, restrict(f"{PARTNERS}: {acme.name}"))
    assert "sees more" not in run(corpus, restrict(f"{PARTNERS}: nobody"))
    printed = run(corpus, restrict(f"{PARTNERS}: {staff.name}"))
    assert f"{PARTNERS}: for “Agents and admins” now, as --restrict says; was “Nobody”" in printed
    printed = run(corpus, restrict(f"{PARTNERS}: [{staff.name}, {acme.name}]"))
    assert "Who sees more (1):" in printed
    assert "sees more" not in run(corpus, restrict(f"{PARTNERS}: {acme.name}"))
    section = Section.objects.get(translations__title="Installers")
    assert section.audience == Audience.of(acme)


def move(corpus, name, old, new):
    (corpus / new).mkdir(parents=True, exist_ok=True)
    (corpus / old / name).rename(corpus / new / name)


def test_an_article_moves_with_its_file_to_fewer_people(corpus, segment_of, restrict):
    options = [restrict(f"{PARTNERS}: {segment_of['acme'].name}")]
    run(corpus, *options)
    move(corpus, "Pay by invoice.md", BILLING, PARTNERS)
    printed = run(corpus, *options)
    assert "articles: 0 created" in printed
    assert "sees more" not in printed
    assert str(article("Pay by invoice").section) == "Installers"


def test_an_article_moves_to_more_people_only_when_allowed(corpus, segment_of, restrict, cast):
    options = [restrict(f"{PARTNERS}: {segment_of['acme'].name}")]
    run(corpus, *options)
    move(corpus, "Prices for installers.md", PARTNERS, BILLING)
    for _ in range(2):
        printed = run(corpus, *options)
        assert (
            f"  {BILLING}/Prices for installers.md: left in “Installers”, because more people"
            " could see it here (--allow-wider moves it)" in printed
        )
        assert not Article.objects.get(pk=3001).is_visible_to(cast["visitor"])
    printed = run(corpus, *options, "--allow-wider")
    assert f"  {BILLING}/Prices for installers.md: moved here from “Installers”" in printed
    assert Article.objects.get(pk=3001).is_visible_to(cast["visitor"])


def test_a_file_that_is_moved_and_restricted_at_once_moves(corpus, segment_of, restrict):
    name = segment_of["acme"].name
    run(corpus, restrict(f"{PARTNERS}: {name}"))
    move(corpus, "Prices for installers.md", PARTNERS, BILLING)
    printed = run(corpus, restrict(f"'{BILLING}/Prices for installers.md': {name}"))
    assert "sees more" not in printed
    assert str(article("Prices for installers").section) == "Account and billing"


@pytest.mark.parametrize("reason", ["section", "article", "draft"])
def test_a_renamed_file_without_an_id_is_held_back(corpus, cast, segment_of, reason):
    """It is a new article, and nobody has said that more people may see it than the old one."""
    run(corpus)
    old = article("Choose a place for the router")
    if reason == "section":
        Section.objects.filter(pk=old.section_id).update(audience=Audience.of(segment_of["acme"]))
    elif reason == "article":
        Article.objects.filter(pk=old.pk).update(audience=Audience.of(segment_of["acme"]))
    else:
        old.translations.update(draft=True, updated_by=cast["ada"])
    folder = "Getting started/Where it stands"
    move(corpus, "Choose a place for the router.md", "Getting started/Setting up", folder)
    move(corpus, "img", "Getting started/Setting up", folder)
    printed = run(corpus)
    line = f"  {folder}/Choose a place for the router.md: more people could see it than article"
    assert f"{line} {old.pk} of this title, so it is for nobody" in printed
    new = Article.objects.exclude(pk=old.pk).get(translations__title=str(old))
    assert new.audience == Audience.nobody()
    new.delete()
    assert line in run(corpus, "--allow-wider")
    assert Article.objects.visible_to(cast["visitor"]).filter(
        section__translations__title="Where it stands"
    )


def test_a_renamed_file_that_was_for_everyone_stays_so(corpus, cast):
    run(corpus)
    folder = "Getting started/Setting up"
    (corpus / folder / "Choose a place for the router.md").rename(corpus / folder / "Place.md")
    assert "sees more" not in run(corpus)
    assert (
        Article.objects.visible_to(cast["visitor"])
        .filter(translations__title="Choose a place for the router")
        .count()
        == 2
    )


def test_where_an_admin_moved_things_they_stay(corpus):
    run(corpus)
    shelf = SectionFactory(title="Shelf", category=Category.objects.first())
    pathless = article("Choose a place for the router")
    Article.objects.filter(pk=pathless.pk).update(section=shelf)
    mesh = Section.objects.get(translations__title="Mesh")
    mesh.parent, mesh.category = shelf, shelf.category
    mesh.save()
    mesh.translations.update(title="Several routers")
    run(corpus)
    pathless.refresh_from_db()
    mesh.refresh_from_db()
    assert (pathless.section, mesh.parent, str(mesh)) == (shelf, shelf, "Several routers")
    (corpus / MESH / "Deep").mkdir()
    (corpus / MESH / "Deep/new.md").write_text("New.")
    run(corpus)
    assert article("new").section.category == shelf.category


def test_too_deep_where_an_admin_moved_things(write):
    folder = write({"c/s/a.md": "x", "c/1/2/3/4/5/a.md": "x"})
    run(folder)
    section = Section.objects.get(translations__title="s")
    section.parent = Section.objects.get(translations__title="4")
    section.save()
    before = contents()
    assert refusal(write({"c/s/t/b.md": "x"})) == [
        "c/s/t:1: The section around it was moved in the help center; this would be too deep."
    ]
    assert contents() == before


def test_a_draft_is_published_by_its_file(corpus, cast):
    run(corpus)
    file = corpus / BILLING / "Move to another plan.md"
    file.write_text(file.read_text().replace("draft: true", "draft: false"))
    printed = run(corpus)
    assert f"  {BILLING}/Move to another plan.md: was a draft, is published now" in printed
    assert Article.objects.get(pk=1005).is_visible_to(cast["visitor"])
    file.write_text(file.read_text().replace("draft: false", "draft: true"))
    run(corpus)
    assert not Article.objects.get(pk=1005).is_visible_to(cast["visitor"])


def test_what_a_person_retracted_stays_a_draft(corpus, cast):
    run(corpus)
    ArticleTranslation.objects.filter(article=1004).update(draft=True, updated_by=cast["ada"])
    file = corpus / BILLING / "Pay by invoice.md"
    for addition in ("", "\nMore.", ""):
        file.write_text(file.read_text() + addition)
        printed = run(corpus)
        assert f"  {BILLING}/Pay by invoice.md: left a draft, as it was made here" in printed
        assert not Article.objects.get(pk=1004).is_visible_to(cast["visitor"])
    assert "is published now" in run(corpus, "--allow-wider")
    assert Article.objects.get(pk=1004).is_visible_to(cast["visitor"])


def test_replacing_what_a_person_wrote_is_reported(corpus, cast):
    run(corpus)
    edited = words("No internet")
    edited.body, edited.updated_by = "Mine.", cast["ada"]
    edited.save()
    printed = run(corpus)
    path = "Wi-Fi and internet/Internet connection/No internet.md"
    assert f"Replaced by the folder's words (1):\n  {path}: was edited here since" in printed
    assert "amber" in words("No internet").body


def test_nothing_of_another_help_center_is_taken_over(write):
    HelpCenterFactory(name="First")
    other = SectionFactory(category__help_center=HelpCenterFactory(name="Second"))
    ArticleFactory(pk=7, section=other)
    before = contents()
    assert refusal(write({"c/s/a.md": "---\nid: 7\n---\nx"})) == [
        "c/s/a.md:1: The id 7 belongs to something in another help center."
    ]
    assert contents() == before


# Languages ----------------------------------------------------------------------------------------


@pytest.fixture
def french(write):
    """A French folder: two articles that the corpus has, at other places, and one of its own."""
    return write(
        {
            "Début/Installer/a.md": "---\nid: 1001\ntitle: Installer\n---\n![x](a.png)",
            "Début/Installer/a.png": png((7, 7, 7)),
            "Autre/Factures/b.md": "---\nid: 1004\ntitle: Factures\nlabels: [argent]\n---\nUn.",
            "Début/Courrier/c.md": "---\nid: 9\ntitle: Courrier\n---\n[a](../Installer/a.md)",
        }
    )


def test_another_language_adds_translations_only(corpus, french):
    run(corpus)
    HelpCenter.objects.update(locales=["en-us", "fr"])
    before = list(Article.objects.values())
    printed = run(french, locale="fr")
    assert "articles: 1 created, 2 updated, 0 unchanged" in printed
    assert list(Article.objects.exclude(pk=9).values()) == before
    assert {str(section) for section in Section.objects.filter(source_locale="fr")} == {"Courrier"}
    assert {str(category) for category in Category.objects.filter(source_locale="fr")} == {"Début"}
    assert Article.objects.get(pk=9).source_locale == "fr"
    assert "/hc/fr/articles/1001" in words("Courrier").body
    installer = words("Installer")
    assert (installer.article_id, installer.locale) == (1001, "fr")
    assert Attachment.objects.filter(article=1001).count() == 2
    assert "left alone" not in printed
    assert "left alone" not in run(corpus)
    assert "0 created, 0 updated, 3 unchanged" in run(french, locale="fr")


def test_each_language_has_its_own_image_at_the_same_place(write):
    words = {"c/s/a.md": "---\nid: 7\n---\n![x](a.png)", "c/s/a.png": png((1, 2, 3))}
    run(write(words))
    HelpCenter.objects.update(locales=["en-us", "fr"])
    run(write({"c/s/a.png": png((4, 5, 6))}), locale="fr")
    images = {bytes_of(attachment) for attachment in Attachment.objects.filter(article=7)}
    assert images == {png((1, 2, 3)), png((4, 5, 6))}
    for each in ArticleTranslation.objects.all():
        shown = Attachment.objects.get(pk=re.findall(r"article_attachments/(\d+)", each.body)[0])
        assert bytes_of(shown) == png((1, 2, 3) if each.locale == "en-us" else (4, 5, 6))


def test_a_translation_does_not_publish_what_is_retracted(corpus, french, cast):
    run(corpus)
    HelpCenter.objects.update(locales=["en-us", "fr"])
    ArticleTranslation.objects.filter(article=1004).update(draft=True)
    assert "Autre/Factures/b.md: left a draft" in run(french, locale="fr")
    assert not Article.objects.get(pk=1004).is_visible_to(cast["visitor"])


# Refusals -----------------------------------------------------------------------------------------

GOOD = "---\nid: 5\n---\nText."
UNKNOWN = (
    "There is no segment {0!r}.{1} Accepted: nobody, Agents and admins, Signed-in users, Spring."
)


@pytest.mark.parametrize(
    ("files", "problems"),
    [
        ({"c/s/b.md": "---\ntitle: [x\n---\nx"}, ["c/s/b.md:3: The front matter is not valid"]),
        ({"c/s/b.md": "---\nid: five\n---\nx"}, ["c/s/b.md:2: 'id' must be a whole number"]),
        ({"c/s/b.md": b"a\n\xff"}, ["c/s/b.md:2: This is not valid UTF-8"]),
        ({"c/s/b.md": GOOD}, ["c/s/b.md:2: The id 5 is already used by c/s/a.md."]),
        ({"c/s/b.md": "a\n\x00"}, ["c/s/b.md:2: There is a NUL character"]),
        ({"c/1/2/3/4/5/6/b.md": "x"}, ["c/1/2/3/4/5/6/b.md:1: Sections nest at most 5 deep."]),
        (
            {"c/s/b.md": "---\nid: 0\n---\nx", "c/s/c.md": b"\xff"},
            ["c/s/b.md:2: 'id' must be", "c/s/c.md:1: This is not valid UTF-8"],
        ),
        ({"c/s/\u00e9.md": "x", "c/s/e\u0301.md": "x"}, ["c/s/é.md:1: This would get the same id"]),
    ],
)  # fmt: skip
def test_a_wrong_file_is_named_and_nothing_is_changed(write, files, problems):
    folder = write({"c/s/a.md": GOOD, "c/s/a.png": png((1, 2, 3))} | files)
    before = contents()
    found = refusal(folder)
    assert len(found) == len(problems)
    for line, problem in zip(found, problems, strict=True):
        assert line.startswith(problem)
    assert contents() == before


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("c: [Spring", ["1: This is not valid YAML: expected ',' or ']', but got '<stream end>'."]),
        ("c: Spring\nc: nobody", ["2: 'c' is also in line 1."]),
        ("c: winter", ["1: " + UNKNOWN.format("winter", "")]),
        ("c: Sprin", ["1: " + UNKNOWN.format("Sprin", " Did you mean 'Spring'?")]),
        ("c: spring", ["1: " + UNKNOWN.format("spring", " Did you mean 'Spring'?")]),
        ("c: ' Spring'", ["1: " + UNKNOWN.format(" Spring", " Did you mean 'Spring'?")]),
        ("c: everyone", ["1: " + UNKNOWN.format("everyone", "")]),
        (
            "c:\n- Spring\n- Summer\nc/s: Autumn",
            [
                "3: " + UNKNOWN.format("Summer", ""),
                "4: " + UNKNOWN.format("Autumn", ""),
            ],
        ),
        ("c/x.md: Spring", ["1: 'c/x.md' names nothing in the folder."]),
        ("c/s/b.md: nobody", ["1: 'c/s/b.md' names nothing in the folder. Did you mean"]),
        ("C: nobody", ["1: 'C' names nothing in the folder."]),
        ("c/s/a.png: nobody", ["1: 'c/s/a.png' names nothing"]),
        ("../folder/c: nobody", ["1: '../folder/c' names nothing"]),
        (
            "'**/a.md': Spring\n'c/s/*.md': nobody",
            ["2: 'c/s/*.md' gives “c/s/a.md” other people than line 1 ('**/a.md') does."],
        ),
        ("c: 12", ["1: Expected the name of a segment, a list of names, or nobody"]),
        ("c:", ["1: Expected the name of a segment"]),
        ("c: []", ["1: Expected the name of a segment"]),
        ("c: {Spring: 1}", ["1: Expected the name of a segment"]),
        ("c: [nobody, Spring]", ["1: 'nobody' stands alone, without segments."]),
        ("12: Spring", ["1: A path must be text; put it in quotation marks."]),
        ("", ["1: Write lines like"]),
        ("# c: Spring", ["1: Write lines like"]),
        ("- c", ["1: Write lines like"]),
        ("c", ["1: Write lines like"]),
        ("c: Spring\n---\nc: nobody", ["2: This is not valid YAML"]),
        ("c: *x", ["1: This is not valid YAML: found undefined alias"]),
        ("c: !!python/object:os.system x", ["1: Expected the name of a segment"]),
        ("[" * 5000, ["1: This is not valid YAML"]),
        (b"c: Spring\nd: \xff", ["2: This is not valid UTF-8"]),
        ("c: Spring\nd: \x00", ["2: This is not valid YAML: special characters are not allowed."]),
    ],
)  # fmt: skip
def test_a_wrong_restriction_is_named_and_nothing_is_changed(write, restrict, text, problems):
    folder = write({"c/s/a.md": GOOD})
    Segment.objects.create(name="Spring")
    before = contents()
    option = restrict(text)
    found = refusal(folder, option)
    assert len(found) == len(problems), found
    for line, problem in zip(found, problems, strict=True):
        assert line.startswith(f"{option.partition('=')[2]}:{problem}")
    assert contents() == before


def test_problems_of_both_are_told_at_once(write, restrict):
    problems = refusal(write({"c/s/a.md": "---\nid: x\n---\nx"}), restrict("c: ["))
    assert [line.partition(": ")[0][-6:] for line in problems] == ["a.md:2", "yaml:1"]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--audience=Sprin"], "--audience: There is no segment 'Sprin'. Did you mean 'Spring'?"),
        (["--audience=Spring", "--audience=everyone"], "--audience: 'everyone' and 'nobody' stand"),
        (["--audience=Everyone"], "--audience: There is no segment 'Everyone'. Did you mean 'ever"),
        (["--restrict=/nowhere.yaml"], "/nowhere.yaml:1: This file cannot be read: No such file"),
        (["--host=https://x.example"], "--host: 'https://x.example' is no host name such as"),
        (["--locale=en-uk"], "This site does not speak 'en-uk'. Did you mean 'en-us' or 'en-"),
        (["--locale=EN-US"], "This site does not speak 'EN-US'."),
    ],
)  # fmt: skip
def test_wrong_options(write, options, problem):
    folder = write({"c/s/a.md": GOOD})
    Segment.objects.create(name="Spring")
    before = contents()
    if "en-uk" in options[0]:
        problem = problem.partition(" or")[0]
    assert refusal(folder, *options)[0].startswith(problem)
    assert contents() == before


def test_a_name_with_two_meanings(write, restrict):
    Segment.objects.create(name="nobody")
    Segment.objects.create(name="everyone")
    folder = write({"c/s/a.md": GOOD})
    for option in ("--audience=everyone", "--audience=nobody", restrict("c: nobody")):
        assert "has a meaning here and is also the name of a segment" in refusal(folder, option)[0]


def test_a_locale_that_is_not_enabled(write):
    HelpCenterFactory(name="Ours", locales=["en-us", "de"])
    before = contents()
    assert refusal(write({"c/s/a.md": GOOD}), locale="fr") == [
        "The help center “Ours” does not speak 'fr'. Accepted: en-us, de."
    ]
    assert contents() == before


@pytest.mark.parametrize("name", ["missing", "empty", "c/s/a.md"])
def test_no_folder_of_articles(write, name):
    folder = write({"c/s/a.md": GOOD, "empty/readme.md": "x"})
    assert len(refusal(folder / name)) == 1
    assert not HelpCenter.objects.exists()


# All or nothing -----------------------------------------------------------------------------------


def test_a_failure_leaves_no_rows_and_no_files(corpus, monkeypatch):
    write_files = importing._Plan.write_files

    def fail(*arguments):
        write_files(*arguments)
        assert len(stored_files()) == 3
        raise KeyboardInterrupt

    before = contents()
    monkeypatch.setattr(importing._Plan, "write_files", fail)
    with pytest.raises(KeyboardInterrupt):
        run(corpus)
    assert contents() == before


@pytest.mark.django_db(transaction=True)
def test_a_failure_keeps_the_files_that_were_to_be_replaced(corpus, monkeypatch):
    run(corpus)
    before = contents()
    (corpus / "Wi-Fi and internet/Wi-Fi/img/lights.png").write_bytes(png((9, 9, 9)))
    write_files = importing._Plan.write_files

    def fail(*arguments):
        write_files(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(importing._Plan, "write_files", fail)
        with pytest.raises(KeyboardInterrupt):
            run(corpus)
    assert contents() == before


@pytest.mark.django_db(transaction=True)
def test_an_interruption_after_the_commit_keeps_the_new_files(corpus, monkeypatch):
    run(corpus)
    (corpus / "Wi-Fi and internet/Wi-Fi/img/lights.png").write_bytes(png((9, 9, 9)))
    delete = FileSystemStorage.delete

    def interrupted(self, name):
        monkeypatch.setattr(FileSystemStorage, "delete", delete)
        raise KeyboardInterrupt

    monkeypatch.setattr(FileSystemStorage, "delete", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(corpus)
    assert bytes_of(Attachment.objects.get(file_name="lights.png")) == png((9, 9, 9))


def test_a_full_disk_leaves_no_rows_and_no_files(corpus, monkeypatch):
    save = FileSystemStorage._save

    def fail(self, name, content):
        if stored_files():
            path = Path(self.path(name))
            path.parent.mkdir(parents=True)
            path.write_bytes(b"half")
            raise OSError(28, "No space left on device")
        return save(self, name, content)

    before = contents()
    monkeypatch.setattr(FileSystemStorage, "_save", fail)
    with pytest.raises(CommandError, match="Nothing was changed: .*No space left on device"):
        run(corpus)
    assert contents() == before


@pytest.mark.django_db(transaction=True)
def test_a_failed_commit_leaves_no_files_and_a_good_one_keeps_them(corpus, monkeypatch):
    write_files = importing._Plan.write_files

    def break_a_link(*arguments):
        write_files(*arguments)
        # Foreign keys are checked at the end of the transaction.
        Article.objects.filter(pk=1001).update(section=12345)

    before = contents()
    with monkeypatch.context() as patch:
        patch.setattr(importing._Plan, "write_files", break_a_link)
        with pytest.raises(IntegrityError):
            run(corpus)
    assert contents() == before
    run(corpus)
    assert len(stored_files()) == Attachment.objects.count() == 3


def test_a_segment_that_is_deleted_in_between(corpus, segment_of, restrict, monkeypatch):
    intern = importing._intern
    segment = segment_of["acme"]

    def intern_and_delete(*arguments):
        found = intern(*arguments)
        segment.delete()
        return found

    monkeypatch.setattr(importing, "_intern", intern_and_delete)
    assert refusal(corpus, restrict(f"{PARTNERS}: {segment.name}")) == [
        "A segment was deleted in the meantime. Try again."
    ]
    assert not Article.objects.exists()


def test_a_dry_run_says_the_same_and_changes_nothing(corpus, segment_of, restrict):
    option = restrict(f"{PARTNERS}: {segment_of['acme'].name}")
    before = contents()
    printed = run(corpus, option, "--dry-run")
    assert "Nothing was changed: a dry run" in printed
    assert contents() == before
    assert printed.rpartition("\n")[0].split("\n")[:-1] == run(corpus, option).split("\n")[:-2]


def test_lists_are_cut_short_unless_asked(write):
    folder = write({"c/s/a.md": "\n\n".join(f"[x](gone{n}.md)" for n in range(30))})
    printed = run(folder)
    assert (
        "Links that lead nowhere (30):\n  c/s/a.md:1: 'gone0.md' leads to no file here" in printed
    )
    assert "  and 10 more (-v 2 shows all)" in printed
    assert printed.count("gone") == 20
    assert run(folder, "-v2").count("gone") == 30
    assert run(folder, "-v0") == ""


def test_progress_is_for_terminals(corpus, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        call_command("import_markdown", corpus, locale="en-us", stdout=io.StringIO(), stderr=stream)
        assert ("13/13" in stream.getvalue()) == shown
