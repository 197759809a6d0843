"""Row-level security: a second wall that stands where a view forgets the first one.

The tests connect as a role that neither owns the tables nor goes around policies. Each one first
shows that without the wall the same question finds what is hidden.
"""

import re
from contextlib import nullcontext
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ImproperlyConfigured, MiddlewareNotUsed
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from knox.models import get_token_model

from helpcenter.models import (
    Article,
    ArticleTranslation,
    Attachment,
    Comment,
    HelpCenter,
    Label,
    PermissionGroup,
    Section,
    Subscription,
    Vote,
)
from segments import policies
from segments.apps import make_way, restore
from segments.models import Audience
from segments.querysets import RestrictedQuerySet
from segments.row_security import RowSecurityMiddleware, lifted, see_as
from tests import walls
from tests.factories_content import (
    ArticleFactory,
    AttachmentFactory,
    CategoryFactory,
    SectionFactory,
)
from tests.helpcenter.api.conftest import ApiClient
from tests.helpcenter.test_roles import form_of
from tests.walls import execute, only_postgresql, seen_by

# In every title and text of something hidden.
CANARY = "qzcanary"


@pytest.fixture
def shown(cast, segment_of):
    """An article for everyone, beside one for each segment."""
    article = ArticleFactory(title="For everyone", audience=Audience.everyone())
    for name, segment in segment_of.items():
        audience = Audience.of(segment)
        ArticleFactory(title=f"For {name}", section=article.section, audience=audience)
    return article


def hide_something(shown):
    """A hidden object of each kind, beside and inside what is shown; returns them by kind."""
    hidden, everyone = Audience.nobody(), Audience.everyone()
    category, words = shown.section.category, {"body": f"{CANARY} body", "promoted": True}
    other = CategoryFactory(
        title=f"{CANARY} category", help_center=category.help_center, audience=hidden
    )
    section = SectionFactory(title=f"{CANARY} section", category=category, audience=hidden)
    inner = SectionFactory(title=f"{CANARY} inner", category=category, parent=section)
    empty = SectionFactory(title=f"{CANARY} empty", category=category)
    article = ArticleFactory(title=f"{CANARY} own", section=shown.section, **words)
    inside = ArticleFactory(title=f"{CANARY} inside", section=inner, audience=everyone, **words)
    draft = ArticleFactory(
        title=f"{CANARY} draft", section=shown.section, audience=everyone, draft=True, **words
    )
    return {
        "category": [other],
        "section": [section, inner, empty],
        "article": [article, inside, draft],
        "attachment": [AttachmentFactory(article=article, content=CANARY.encode())],
    }


def client_of(person):
    client = Client()
    if person.is_authenticated:
        client.force_login(person)
    return client


def answer(client, method, address):
    """Status, headers and body, without what differs between two equal requests."""
    response = client.generic(method, address)
    body = b"".join(response.streaming_content) if response.streaming else response.content
    moments = {"Date", "Expires", "Set-Cookie", "X-Rate-Limit-Remaining"}
    headers = {name: said for name, said in response.headers.items() if name not in moments}
    text = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", body.decode("utf-8", "replace"))
    return response.status_code, headers, text


def leaks(answers):
    """The requests whose answer holds a canary. None of them asks for one."""
    return [key for key, (_status, *said) in answers.items() if CANARY in str(said).lower()]


@pytest.fixture
def wall(db, settings):
    """The wall stands, within the transaction of the test; nobody is looking yet."""
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
    walls.build()


@pytest.fixture
def site(transactional_db, settings):
    """Called when the world is there: from then on the site runs behind the wall, as the web role.

    `site(planted=True)` adds the views of this module, which forget `visible_to`.
    """
    owner = connection.settings_dict["USER"]

    def begin():
        walls.build()
        settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": True}
        walls.connect_as(walls.WEB)

    yield begin
    walls.connect_as(owner)
    policies.uninstall(connection)


# A view that forgets `visible_to` -----------------------------------------------------------------


def forgetful(request):
    """All titles there are."""
    titles = ArticleTranslation.objects.values_list("title", flat=True)
    return HttpResponse("\n".join(titles))


def raw(request):
    """The same in SQL."""
    rows = execute("SELECT title FROM helpcenter_articletranslation")
    return HttpResponse("\n".join(title for (title,) in rows))


def joined(request):
    """The same through a model that is not restricted."""
    titles = PermissionGroup.objects.values_list("articles__translations__title", flat=True)
    return HttpResponse("\n".join(title or "" for title in titles))


FORGETFUL = {"orm": forgetful, "raw": raw, "join": joined}
urlpatterns = [path(f"forgetful/{name}", view) for name, view in FORGETFUL.items()]
urlpatterns += [path("", include("helpcenter.urls"))]


@only_postgresql
@pytest.mark.urls(__name__)
def test_a_view_that_forgets_shows_nothing_hidden(cast, shown, site, settings):
    hide_something(shown)
    visitor, admin = Client(), client_of(cast["ada"])
    asked = [f"/forgetful/{name}" for name in FORGETFUL]
    # Without the wall each of them shows it.
    assert all(CANARY in visitor.get(address).text for address in asked)
    site()
    for address in asked:
        found = Client().get(address)
        assert found.status_code == 200
        assert "For everyone" in found.text
        assert CANARY not in found.text
        assert "For acme" not in found.text
        assert "For acme" in client_of(cast["maria"]).get(address).text
        admin = client_of(cast["ada"])
        assert CANARY in admin.get(address).text


@only_postgresql
def test_a_site_that_forgets_everywhere_shows_nothing_hidden(cast, shown, site, monkeypatch, tally):
    """Each `visible_to` shows everything: the planted leak of tests/test_exits.py."""
    found = pages_of(hide_something(shown))
    monkeypatch.setattr(RestrictedQuerySet, "visible_to", lambda self, user: self.all())
    assert leaks(visit(client_of(cast["dan"]), found))
    site()
    answers = {}
    for name in ("visitor", "dan", "lena"):
        answers |= visit(client_of(cast[name]), found, name)
    tally["requests to a site without visible_to, behind the wall"] += len(answers)
    assert any(status == 200 for status, *_ in answers.values())
    assert leaks(answers) == []


def visit(client, found, name="dan"):
    """(persona, method, address) -> answer."""
    answers = {(name, "GET", each): answer(client, "GET", each) for each in found}
    for _status, headers, _text in answers.values():
        # Who is looking is asked in any case, and that Django says of itself.
        headers.pop("Vary", None)
    return answers


# The site works -----------------------------------------------------------------------------------

API = "/api/v2/help_center"
LISTS = ["articles", "sections", "categories", "articles/search?query=for", "user_segments"]


@pytest.fixture
def guides(segment_of):
    return PermissionGroup.objects.create(
        name="Guides",
        edit=Audience.of(segment_of["editors"]),
        publish=Audience.of(segment_of["publishers"]),
    )


@pytest.fixture
def token_of():
    return lambda person: get_token_model().objects.create(person)[1]


@pytest.fixture
def world(cast, shown, guides):
    """Something hidden, and a guide in the care of edda and pia, for nobody and in hiding."""
    hidden = hide_something(shown)
    guide = ArticleFactory(
        title="Guide",
        section=hidden["section"][1],
        audience=Audience.nobody(),
        permission_group=guides,
    )
    guide.translations.create(locale="fr", title="Brouillon", body="…", draft=True)
    attachment = AttachmentFactory(article=guide)
    return hidden | {"guide": [guide], "shown": [shown], "own": [attachment]}


@only_postgresql
def test_everybody_gets_the_same_answers_with_the_wall(cast, world, token_of, site, tally):
    found = pages_of(world) + pages_of_editors(world)
    api = [f"{API}/{each}" for each in LISTS]
    api += [f"{API}/articles/{world[kind][0].pk}" for kind in ("guide", "shown", "article")]

    people = ["visitor", "maria", "pia", "ada"]

    def ask():
        answers = {}
        for name in people:
            answers |= visit(client_of(cast[name]), found, name)
            token = token_of(cast[name]) if cast[name].is_authenticated else None
            answers |= visit(ApiClient(token), api, name)
        return answers

    without = ask()
    site()
    behind = ask()
    tally["answers compared with and without the wall"] += len(behind)
    assert {status for status, *_ in behind.values()} <= {200, 301, 302, 401, 403, 404}
    assert [key for key in without if without[key] != behind[key]] == []
    # The positive control: what the people see differs, so equal answers say something.
    guide = f"{API}/articles/{world['guide'][0].pk}"
    assert [behind[name, "GET", guide][0] for name in people] == [404, 404, 200, 200]


def pages_of(world):
    """The pages of the help center, with each hidden thing wherever one can be named."""
    kinds = {"category": "categories", "section": "sections", "article": "articles"}
    found = [f"/hc/en-us/{kinds[k]}/{thing.pk}" for k in kinds for thing in world[k]]
    found += [f"/hc/attachments/{a.pk}/{a.file_name}" for a in world["attachment"]]
    around = world["section"][0].category
    found += [
        f"/hc/en-us/categories/{around.pk}",
        f"/hc/en-us/sections/{around.sections.first().pk}",
    ]
    return [*found, "/hc", "/hc/en-us", *(f"/hc/en-us/search?query={q}" for q in ("for", "body"))]


def pages_of_editors(world):
    """The guide, its file, and the pages on which it is managed."""
    (guide,), (attachment,) = world["guide"], world["own"]
    return [
        f"/hc/en-us/articles/{guide.pk}",
        f"/hc/fr/articles/{guide.pk}-brouillon",
        f"/hc/attachments/{attachment.pk}/{attachment.file_name}",
        f"/admin/helpcenter/article/{guide.pk}/change/",
        f"/admin/helpcenter/article/{guide.pk}/history/",
        "/admin/helpcenter/article/",
        "/admin/helpcenter/section/",
    ]


@only_postgresql
def test_people_write_behind_the_wall(cast, world, token_of, site):
    site()
    api = {name: ApiClient(token_of(cast[name])) for name in ("maria", "pia", "ada")}
    public, guide = world["shown"][0].pk, world["guide"][0].pk
    hidden = world["article"][0].pk

    def said(person, method, address, body=None):
        answered = getattr(api[person], method)(f"{API}/{address}", body or {})
        return answered.status_code

    comment = {"comment": {"body": "Thanks", "locale": "en-us"}}
    assert said("maria", "post", f"articles/{public}/comments", comment) == 201
    assert said("maria", "post", f"articles/{public}/up") in (200, 201)
    assert said("maria", "post", f"articles/{hidden}/comments", comment) == 404
    assert said("maria", "post", f"articles/{hidden}/up") == 404
    words = {"translation": {"title": "A better guide", "draft": False}}
    assert said("pia", "put", f"articles/{guide}/translations/en-us", words) == 200
    assert said("pia", "put", f"articles/{hidden}/translations/en-us", words) == 404
    assert said("pia", "put", f"articles/{guide}", {"article": {"promoted": True}}) == 200
    shelf = {"section": {"name": "New", "locale": "en-us"}}
    category = world["category"][0].pk
    assert said("ada", "post", f"categories/{category}/sections", shelf) == 201
    assert said("ada", "delete", f"articles/{hidden}") == 204
    assert said("pia", "delete", f"articles/{guide}") == 204


@only_postgresql
def test_an_editor_works_where_what_is_above_is_hidden(
    cast, world, guides, segment_of, site, monkeypatch
):
    """The help center itself does not admit pia: she sees the article, and what a change does."""
    section = world["shown"][0].section
    center = section.category.help_center
    center.audience = Audience.of(segment_of["acme"])
    center.save()
    guide = ArticleFactory(
        section=section, audience=Audience.nobody(), permission_group=guides, title="Guide"
    )
    address = f"/admin/helpcenter/article/{guide.pk}/change/"
    form = form_of(guide, audience="everyone")

    def ask():
        client = client_of(cast["pia"])
        page = visit(client, [address])
        asked = client.post(address, form)
        return page, asked.status_code, asked.context["seen"], asked.context["effect"].gains

    without = ask()
    site()
    assert ask() == without
    assert without[-1] > 0, "The customers of Acme gain the guide."
    # The positive control: were it computed from what pia sees, nobody would gain anything.
    monkeypatch.setattr("segments.effects.lifted", nullcontext)
    assert ask()[-1] == 0


@only_postgresql
def test_people_sign_in_and_out_behind_the_wall(cast, world, site):
    cast["maria"].set_password("correct horse")
    cast["maria"].save()
    site()
    client = Client()
    signed = client.post(
        "/accounts/login/", {"login": "maria@example.com", "password": "correct horse"}
    )
    assert signed.status_code == 302
    assert "For acme" in client.get("/hc/en-us/search?query=acme").text
    client.post("/accounts/logout/")
    assert "For acme" not in client.get("/hc/en-us/search?query=acme").text


# Context ------------------------------------------------------------------------------------------


@only_postgresql
def test_nothing_stays_for_the_next_request(cast, shown, site, monkeypatch):
    hide_something(shown)
    site()
    admin = client_of(cast["ada"])
    before = execute("SELECT pg_backend_pid()")
    assert CANARY in admin.get("/hc/en-us").text.lower()
    count = "SELECT count(*) FROM helpcenter_article"
    assert execute(count) == [(0,)]
    with transaction.atomic():
        assert execute(count) == [(0,)]
    assert CANARY not in Client().get("/hc/en-us").text.lower()
    assert execute("SELECT pg_backend_pid()") == before, "It was not the same connection."
    # The positive control: a setting of the session stays.
    execute("SELECT set_config('segments.wall', 'off', false)")
    assert execute(count)[0][0] > 0


@only_postgresql
def test_without_a_viewer_nothing_is_shown(wall):
    with lifted():
        ArticleFactory(audience=Audience.everyone())
    assert list(Article._base_manager.all()) == []
    assert list(HelpCenter._base_manager.all()) == []
    with lifted():
        assert Article._base_manager.count() == 1


def test_where_there_is_no_wall_nobody_is_asked_who_is_looking(
    db, settings, django_assert_num_queries
):
    """On PostgreSQL without the setting, and with it where the database has no such thing."""
    wanted = connection.vendor != "postgresql"
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": wanted}
    with django_assert_num_queries(0), lifted():
        see_as(AnonymousUser())
    settings.SEGMENTS = {**settings.SEGMENTS, "ROW_SECURITY": False}
    with pytest.raises(MiddlewareNotUsed):
        RowSecurityMiddleware(lambda request: HttpResponse())


@only_postgresql
def test_the_wall_is_up_again_after_an_exception(wall):
    with lifted():
        ArticleFactory(audience=Audience.everyone())
    with pytest.raises(RuntimeError), lifted():
        raise RuntimeError
    assert not Article._base_manager.exists()
    with pytest.raises(DatabaseError), transaction.atomic(), lifted():
        execute("SELECT 1 / 0")
    assert not Article._base_manager.exists()


@only_postgresql
def test_the_wall_is_up_again_after_what_is_undone(wall):
    with transaction.atomic(), lifted():
        ArticleFactory(audience=Audience.everyone())
        assert Article._base_manager.exists()
        transaction.set_rollback(True)
    assert not Article._base_manager.exists()
    with lifted():
        assert not Article._base_manager.exists()


@only_postgresql
def test_outside_of_a_transaction_the_wall_is_lifted_in_one(shown, site):
    site()
    with lifted():
        assert Article._base_manager.exists()
        assert connection.in_atomic_block
    assert not Article._base_manager.exists()


@only_postgresql
def test_a_command_lifts_the_wall_and_leaves_it_standing(wall, cast):
    with lifted():
        article = ArticleFactory(audience=Audience.everyone())
    call_command("explain_access", "dan@example.com", "helpcenter.Article", str(article.pk))
    assert not Article._base_manager.exists()


# What a row belongs to ----------------------------------------------------------------------------


@pytest.fixture
def things(wall, cast, segment_of):
    """One row in each protected table that belongs to an article for customers of Acme."""
    with lifted():
        article = ArticleFactory(audience=Audience.of(segment_of["acme"]))
        AttachmentFactory(article=article)
        Attachment.objects.create(file="unused/a.txt", uploaded_by=cast["omar"])
        label = Label.objects.create(name="acme")
        article.labels.add(label)
        said = Comment.objects.create(article=article, author=cast["maria"], locale="en-us")
        Vote.objects.create(comment=said, user=cast["maria"], value=1)
        Subscription.objects.create(article=article, user=cast["maria"], locale="en-us")
        return article


TABLES = [ArticleTranslation, Attachment, Article.labels.through, Comment, Vote, Subscription]


@only_postgresql
@pytest.mark.parametrize(
    ("name", "count"), [("visitor", 0), ("omar", 0), ("lena", 0), ("maria", 1), ("ada", 1)]
)
def test_what_belongs_to_an_article_is_hidden_with_it(things, cast, name, count):
    with seen_by(cast[name]):
        shown = {model: len(ids) for model, ids in walls.rows_of(Article, *TABLES).items()}
    unused = {"omar": 1, "ada": 1}.get(name, 0)
    assert shown == dict.fromkeys([Article, *TABLES], count) | {Attachment: count + unused}


@only_postgresql
def test_whoever_is_no_staff_edits_nothing_though_a_group_names_them(wall, cast, segment_of):
    with lifted():
        group = PermissionGroup.objects.create(name="G", edit=Audience.of(segment_of["signed in"]))
        ArticleFactory(permission_group=group)
    for name, count in {"visitor": 0, "maria": 0, "lena": 1, "ada": 1}.items():
        with seen_by(cast[name]):
            assert Article._base_manager.count() == count, name


@only_postgresql
def test_hidden_rows_cannot_be_changed_or_made(things, cast):
    with seen_by(cast["omar"], writes=True):
        assert execute_count("UPDATE helpcenter_article SET position = 7") == 0
        assert execute_count("DELETE FROM helpcenter_comment") == 0
        with pytest.raises(DatabaseError, match="row-level security"), transaction.atomic():
            Comment.objects.create(article=things, author=cast["omar"], locale="en-us")
    with seen_by(cast["maria"], writes=True):
        assert execute_count("UPDATE helpcenter_article SET position = 7") == 1
        Comment.objects.create(article=things, author=cast["maria"], locale="en-us")


def execute_count(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.rowcount


@only_postgresql
def test_every_restricted_model_is_protected(db):
    tables = policies.Policies(connection).policies
    missing = [m for m in policies.protected_models() if m._meta.db_table not in tables]
    assert missing == []
    assert Article.labels.through._meta.db_table in tables


def test_a_table_that_inherits_another_is_refused(monkeypatch):
    monkeypatch.setattr(Article._meta, "parents", {HelpCenter: None})
    with pytest.raises(ImproperlyConfigured, match="Article inherits a table"):
        policies.protected_models()


@only_postgresql
def test_outdated_functions_go(wall):
    execute("CREATE FUNCTION segments_rls_old() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    assert "segments_rls_old" in policies.functions(connection)
    policies.install(connection)
    assert policies.functions(connection) == set(policies.Policies(connection).functions)


# The command --------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="a refusal on SQLite")
def test_sqlite_is_refused():
    with pytest.raises(CommandError, match="feature of PostgreSQL.*SQLite.*Nothing was changed"):
        call_command("enable_rls")


def state():
    """What the catalogue says: policies, functions, and the two switches of each table."""
    switches = execute(
        "SELECT relname, relrowsecurity, relforcerowsecurity FROM pg_class "
        "WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r' ORDER BY 1"
    )
    oids = execute(
        "SELECT oid FROM pg_policy UNION ALL "
        "SELECT oid FROM pg_proc WHERE starts_with(proname, 'segments_rls_') ORDER BY 1"
    )
    return switches, oids


@only_postgresql
def test_the_command_can_be_given_twice_and_taken_back(db, capsys):
    before = state()
    call_command("enable_rls", "--role", walls.WEB)
    once = state()
    assert once != before
    assert "is on for 12 tables" in capsys.readouterr().out
    call_command("enable_rls", "--role", walls.WEB)
    assert state() == once
    call_command("enable_rls", "--disable")
    assert state() == before
    call_command("enable_rls", "--disable")
    assert state() == before


@only_postgresql
def test_a_wall_that_is_wanted_needs_no_more_words(wall, capsys):
    call_command("enable_rls")
    assert capsys.readouterr().out == "Row-level security is on for 12 tables.\n"


@only_postgresql
def test_a_role_without_a_wall_is_refused(wall):
    with pytest.raises(CommandError, match="--disable takes it down"):
        call_command("enable_rls", "--disable", "--role", walls.WEB)
    assert policies.is_installed(connection)


@only_postgresql
def test_an_unknown_role_is_refused(db):
    with pytest.raises(CommandError, match="no role nobody_there"):
        call_command("enable_rls", "--role", "nobody_there")
    assert not policies.is_installed(connection)


@only_postgresql
def test_the_web_role_gets_what_it_needs_and_no_more(db):
    call_command("enable_rls", "--role", walls.WEB)
    rights = execute(
        "SELECT relname, array_agg(privilege_type ORDER BY privilege_type) "
        "FROM pg_class, aclexplode(relacl) "
        "WHERE grantee = %s::regrole AND relkind = 'r' GROUP BY 1",
        walls.WEB,
    )
    usual = ["DELETE", "INSERT", "SELECT", "UPDATE"]
    few = {"segments_change": ["INSERT", "SELECT"], "django_migrations": ["SELECT"]}
    assert len(rights) > 40
    assert {table: few.get(table, usual) for table, _rights in rights} == dict(rights)
    with pytest.raises(DatabaseError, match="denied|owner"), transaction.atomic():
        execute(f"SET LOCAL ROLE {walls.WEB}")
        execute("ALTER TABLE helpcenter_article DISABLE ROW LEVEL SECURITY")


# Migrations ---------------------------------------------------------------------------------------


@only_postgresql
def test_a_migration_finds_every_row_and_the_wall_stands_afterwards(wall):
    from django.apps import apps

    with lifted():
        ArticleFactory(audience=Audience.nobody())
    whole = state()
    assert Article._base_manager.count() == 0
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    make_way("default", plan=["a migration"])
    assert Article._base_manager.count() == 1
    with seen_by(AnonymousUser()):
        assert execute("SELECT count(*) FROM helpcenter_article") == [(0,)]
    (name,) = [n for n, t in policies.installed(connection).items() if t == "helpcenter_vote"]
    execute(f"DROP POLICY {name} ON helpcenter_vote")
    # As a migration does that makes a table anew.
    execute("REVOKE ALL ON helpcenter_vote FROM " + walls.WEB)
    last = [each for each in apps.get_app_configs() if each.models_module][-1]
    restore(last, "default", plan=["a migration"])
    assert state()[0] == whole[0]
    assert Article._base_manager.count() == 0
    assert set(policies.installed(connection).values()) >= {"helpcenter_vote"}
    with seen_by(AnonymousUser()):
        assert execute("SELECT count(*) FROM helpcenter_vote") == [(0,)]


@only_postgresql
def test_migrations_put_up_no_wall_that_nobody_asked_for(db):
    from django.apps import apps

    last = [each for each in apps.get_app_configs() if each.models_module][-1]
    restore(last, "default")
    assert not policies.is_installed(connection)


def nested(depth, audience):
    """So many sections, each in the one before; the model refuses more than five."""
    everyone = Audience.everyone()
    section = SectionFactory(audience=audience)
    found = [section]
    for _level in range(depth - 1):
        below = SectionFactory(category=section.category, audience=everyone)
        Section.objects.filter(pk=below.pk).update(parent=section)
        found.append(section := below)
    return found


@only_postgresql
def test_sections_are_seen_as_deep_as_the_rule_says(wall, cast, segment_of):
    with lifted("default"):
        open_ones, closed = nested(6, Audience.everyone()), nested(3, Audience.nobody())
        inside = [
            ArticleFactory(section=section, audience=Audience.everyone())
            for section in (open_ones[4], open_ones[5], closed[2])
        ]
    with seen_by(cast["dan"]):
        found = walls.rows_of(Section, Article)
    assert found[Section] & {each.pk for each in open_ones} == {each.pk for each in open_ones[:5]}
    assert not found[Section] & {each.pk for each in closed}
    assert found[Article] & {each.pk for each in inside} == {inside[0].pk}


@only_postgresql
def test_what_is_outdated_is_replaced_and_all_of_it_is_taken_down(wall):
    """Also where a model was that is protected no longer."""
    old = f"{policies.PREFIX}old"
    for table in ("helpcenter_article", "accounts_tag"):
        execute(f"CREATE POLICY {old} ON {table} USING (false)")
    execute("ALTER TABLE accounts_tag ENABLE ROW LEVEL SECURITY")
    execute("DROP POLICY " + old + " ON helpcenter_article")
    execute(f"CREATE POLICY {old}er ON helpcenter_article USING (false)")
    policies.install(connection)
    assert not {old, f"{old}er"} & policies.installed(connection).keys()
    execute(f"CREATE POLICY {old} ON accounts_tag USING (false)")
    policies.uninstall(connection)
    assert policies.installed(connection) == {} and policies.functions(connection) == set()
    secured = execute("SELECT relname FROM pg_class WHERE relrowsecurity OR relforcerowsecurity")
    assert secured == []


@only_postgresql
def test_of_the_web_role_stays_nothing_that_was_not_granted(db):
    execute("CREATE TABLE strangers (id int)")
    execute(f"GRANT TRUNCATE ON helpcenter_article TO {walls.WEB}")
    execute("CREATE SEQUENCE numbers OWNED BY helpcenter_label.id")
    policies.grant(connection, walls.WEB)

    def may(kind, what, right):
        asked = f"SELECT has_{kind}_privilege('{walls.WEB}', '{what}', '{right}')"
        return execute(asked)[0][0]

    assert not may("table", "strangers", "SELECT")
    assert not may("table", "helpcenter_article", "TRUNCATE")
    assert may("table", "helpcenter_article", "DELETE")
    assert execute(
        "SELECT DISTINCT privilege_type FROM pg_namespace, aclexplode(nspacl) "
        f"WHERE nspname = current_schema() AND grantee = '{walls.WEB}'::regrole"
    ) == [("USAGE",)]


@only_postgresql
def test_what_is_published_is_compared_with_any_value(db):
    published = {"parent": None, "position": 3, "created_at": None}
    model = SimpleNamespace(_meta=Section._meta, audience_published=published)
    assert [*policies.Policies(connection)._published(model)] == [
        '"helpcenter_section"."parent_id" IS NULL',
        '"helpcenter_section"."position" = 3',
        '"helpcenter_section"."created_at" IS NULL',
    ]


def test_names_are_quoted_and_nothing_is_true():
    assert policies._quoted('a"b') == '"a""b"'
    assert policies._all([]) == "true"
    assert policies._all(["a", "b"]) == "a AND b"


def test_roles_are_named_without_their_quotation_marks():
    class Cursor:
        """As PostgreSQL writes roles whose names are no plain words."""

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def execute(self, *asked):
            pass

        def fetchall(self):
            return [('"X role"',), ("plain",)]

    found = policies.web_roles(SimpleNamespace(cursor=Cursor))
    assert found == ["X role", "plain"]
