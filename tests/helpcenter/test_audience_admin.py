"""Audiences in the admin: the impact of a change comes first, one by one and in bulk."""

import json

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from helpcenter.models import Article, Category, HelpCenter, PermissionGroup, Section
from segments.models import Audience, Change
from tests.factories_content import ArticleFactory, SectionFactory
from tests.helpcenter.test_roles import form_of

pytestmark = pytest.mark.django_db
LIST = "admin:helpcenter_article_changelist"


@pytest.fixture
def admin(cast):
    return client_of(cast["ada"])


@pytest.fixture
def publisher(cast, guides):
    return client_of(cast["pia"])


@pytest.fixture
def guides(segment_of):
    """The permission group that lets pia publish and edda edit."""
    editors, publishers = segment_of["editors"], segment_of["publishers"]
    return PermissionGroup.objects.create(
        name="Guides", edit=Audience.of(editors), publish=Audience.of(publishers)
    )


def client_of(person):
    client = Client()
    client.force_login(person)
    return client


def confirmed(answer, **more):
    sent = {}
    for name, text in answer.context["posted"]:
        sent.setdefault(name, []).append(text)
    return sent | {"_seen": answer.context["seen"]} | more


def change(article):
    return reverse("admin:helpcenter_article_change", args=[article.pk])


def said(answer):
    """The messages that the next page will show."""
    return [str(message) for message in get_messages(answer.wsgi_request)]


def audience_of(thing):
    return type(thing)._base_manager.get(pk=thing.pk).audience


class TestOne:
    """One article, section, category, help center or permission group."""

    def test_widening_needs_a_tick(self, admin, cast, segment_of):
        article = ArticleFactory(audience=Audience.nobody(), title="Prices")
        french = str(segment_of["french"].pk)
        answer = admin.post(change(article), form_of(article, audience=french))
        page = answer.content.decode()
        assert "1 person sees more" in page and "Claire" in page and "Prices" in page
        assert audience_of(article).pk == Audience.NOBODY
        answer = admin.post(change(article), confirmed(answer))
        assert "Tick the box" in answer.content.decode()
        assert audience_of(article).pk == Audience.NOBODY
        assert admin.post(change(article), confirmed(answer, _widen="yes")).status_code == 302
        assert audience_of(article) == Audience.of(segment_of["french"])

    def test_becoming_public_is_said(self, admin, segment_of):
        article = ArticleFactory(audience=Audience.of(segment_of["signed in"]), title="Prices")
        answer = admin.post(change(article), form_of(article, audience="everyone"))
        assert "Visible to every visitor from now on: 1 article" in answer.content.decode()
        assert answer.context["widens"]

    def test_narrowing_is_shown_but_needs_no_tick(self, admin):
        article = ArticleFactory(audience=Audience.everyone(), title="Prices")
        answer = admin.post(change(article), form_of(article, audience="nobody"))
        assert "Hidden from visitors from now on" in answer.content.decode()
        assert admin.post(change(article), confirmed(answer)).status_code == 302
        assert audience_of(article).pk == Audience.NOBODY

    def test_other_changes_ask_nothing(self, admin):
        article = ArticleFactory(audience=Audience.everyone())
        sent = form_of(article, audience="everyone", promoted="on")
        assert admin.post(change(article), sent).status_code == 302

    def test_what_was_confirmed_is_what_happens(self, admin, cast, segment_of):
        article = ArticleFactory(audience=Audience.nobody())
        french = str(segment_of["french"].pk)
        answer = admin.post(change(article), form_of(article, audience=french))
        cast["dan"].language = "fr"
        cast["dan"].save()
        again = admin.post(change(article), confirmed(answer, _widen="yes"))
        assert "2 people see more" in again.content.decode()
        assert audience_of(article).pk == Audience.NOBODY

    def test_nothing_typed_is_lost_nor_a_file(self, admin, settings, tmp_path):
        settings.MEDIA_ROOT = tmp_path
        article = ArticleFactory(audience=Audience.nobody())
        file = {
            "attachments-TOTAL_FORMS": 1,
            "attachments-0-article": article.pk,
            "attachments-0-file": SimpleUploadedFile("plan.txt", b"text"),
            "translations-0-title": "New words",
        }
        answer = admin.post(change(article), form_of(article, audience="everyone", **file))
        assert answer.context["files"] == [("attachments-0-file", "plan.txt")]
        assert not article.attachments.exists()
        sent = confirmed(answer, _widen="yes")
        sent["attachments-0-file"] = SimpleUploadedFile("plan.txt", b"text")
        assert admin.post(change(article), sent).status_code == 302
        assert article.attachments.count() == 1
        assert article.translations.filter(title="New words").exists()

    def test_a_publisher_learns_numbers_but_no_names_of_people(self, publisher, segment_of, guides):
        article = ArticleFactory(audience=Audience.nobody(), permission_group=guides)
        sent = form_of(article, audience=str(segment_of["french"].pk))
        page = publisher.post(change(article), sent).content.decode()
        assert "1 person sees more" in page
        assert "Claire" not in page

    def test_a_publisher_learns_no_audience_of_what_is_above(self, publisher, segment_of, guides):
        article = ArticleFactory(
            permission_group=guides,
            section__audience=Audience.of(segment_of["premium"]),
            section__title="Offers",
        )
        page = publisher.get(change(article)).content.decode()
        assert "section “Offers”" in page
        assert "Offers”: Premium" not in page

    @pytest.mark.parametrize("model", [Section, Category, HelpCenter])
    def test_shelves_too(self, admin, cast, segment_of, model):
        article = ArticleFactory(audience=Audience.everyone(), title="Inside")
        thing = {
            Section: article.section,
            Category: article.section.category,
            HelpCenter: article.section.category.help_center,
        }[model]
        name = model._meta.model_name
        address = reverse(f"admin:helpcenter_{name}_change", args=[thing.pk])
        form = admin.get(address).context["adminform"].form
        sent = {k: form[k].value() for k in form.initial if form[k].value() is not None}
        sent = {k: json.dumps(v) if isinstance(v, dict) else v for k, v in sent.items()}
        sent |= {"audience": str(segment_of["french"].pk)}
        if model is not HelpCenter:
            words = thing.translations.get()
            sent |= {
                "translations-TOTAL_FORMS": 1,
                "translations-INITIAL_FORMS": 1,
                "translations-0-id": words.pk,
                f"translations-0-{name}": thing.pk,
                "translations-0-locale": words.locale,
                "translations-0-title": words.title,
            }
        answer = admin.post(address, sent)
        assert "Hidden from visitors from now on: 1 article" in answer.content.decode()
        assert audience_of(thing).pk == Audience.EVERYONE
        assert admin.post(address, confirmed(answer)).status_code == 302
        assert audience_of(thing) == Audience.of(segment_of["french"])

    def test_permission_groups_too(self, admin, cast, segment_of, guides):
        address = reverse("admin:helpcenter_permissiongroup_change", args=[guides.pk])
        sent = {
            "name": "Guides",
            "edit": [str(segment_of["returns"].pk)],
            "publish": [str(segment_of["publishers"].pk)],
        }
        answer = admin.post(address, sent)
        page = answer.content.decode()
        assert "1 person sees more" in page and "Aki" in page
        assert "1 person sees less" in page and "Edda" in page
        admin.post(address, confirmed(answer, _widen="yes"))
        assert PermissionGroup.objects.get(pk=guides.pk).edit == Audience.of(segment_of["returns"])

    def test_the_question_says_all_there_is(self, admin, segment_of):
        article = ArticleFactory(audience=Audience.nobody(), title="Prices")
        answer = admin.post(
            change(article), form_of(article, audience=str(segment_of["french"].pk))
        )
        context = answer.context
        assert context["title"] == "What this change does"
        assert (context["before"], context["after"]) == ("Nobody", "French")
        assert context["cancel"] == change(article)
        assert [str(each) for each in context["gainers"]] == ["Claire"]
        assert not context["losers"]

    def test_a_publisher_is_asked_without_names(self, publisher, segment_of, guides):
        article = ArticleFactory(audience=Audience.of(segment_of["acme"]), permission_group=guides)
        sent = form_of(article, audience=str(segment_of["french"].pk))
        context = publisher.post(change(article), sent).context
        assert (context["gainers"], context["losers"]) == ([], [])

    def test_an_answer_is_to_one_question(self, admin, segment_of):
        """About this article and this place, even if another has the same name and impact."""
        first = ArticleFactory(audience=Audience.everyone(), title="Twin", body="The same")
        other = ArticleFactory(
            audience=Audience.everyone(), title="Twin", body="The same", section=first.section
        )
        places = [
            SectionFactory(
                title="Twins",
                audience=Audience.of(segment_of["french"]),
                category=first.section.category,
            )
            for _twice in "12"
        ]

        def seen(article, **changed):
            return admin.post(change(article), form_of(article, **changed)).context["seen"]

        assert seen(first, audience="nobody") != seen(other, audience="nobody")
        one, two = (seen(first, section=place.pk) for place in places)
        assert one != two

    def test_the_field_is_as_the_model_says(self, admin, monkeypatch):
        monkeypatch.setattr(Section._meta.get_field("audience"), "help_text", "Who reads it")
        form = admin.get(reverse("admin:helpcenter_section_add")).context["adminform"].form
        field, model_field = form.fields["audience"], Section._meta.get_field("audience")
        assert field.label == "Audience"
        assert field.initial == model_field.get_default()
        assert field.help_text == "Who reads it"
        group = admin.get(reverse("admin:helpcenter_permissiongroup_add")).context["adminform"]
        offered = {
            name: "everyone" in str(each.form[name])
            for each, name in [(group, "edit"), (group, "publish")]
        }
        assert offered == {"edit": False, "publish": False}
        assert "everyone" in str(form["audience"])

    def test_what_is_new_goes_back_to_nothing(self, admin):
        address = reverse("admin:helpcenter_section_add")
        assert admin.get(address, {"restore": "1"}).status_code == 200

    def test_the_picker_says_what_is_above(self, admin, segment_of):
        section = Audience.of(segment_of["premium"])
        article = ArticleFactory(section__audience=section, section__title="Offers")
        assert self.help_of(admin, article) == (
            "What is above restricts it, too: section “Offers”: Premium."
        )
        plain = ArticleFactory(section__audience=Audience.everyone())
        assert self.help_of(admin, plain) == "Nothing above restricts it further."

    def help_of(self, client, article):
        answer = client.get(change(article))
        assert said(answer) == []
        form = answer.context["adminform"].form
        return form.fields["audience"].help_text


class TestMany:
    """Thousands at once: one statement for each distinct result."""

    def ask(self, client, articles, how, *chosen, **more):
        sent = {
            "action": "change_audience",
            "_selected_action": [article.pk for article in articles],
            "how": how,
            "audience": [str(getattr(each, "pk", each)) for each in chosen],
        }
        return client.post(reverse(LIST), sent | more)

    @pytest.fixture
    def articles(self, segment_of):
        premium, french = segment_of["premium"], segment_of["french"]
        audiences = [
            Audience.nobody(),
            Audience.of(premium),
            Audience.of(premium, french),
            Audience.everyone(),
        ]
        return [ArticleFactory(audience=audience) for audience in audiences for _twice in "12"]

    @pytest.mark.parametrize(
        ("how", "chosen", "expected"),
        [
            ("add", ["acme"], [["acme"], ["premium", "acme"], ["premium", "french", "acme"], None]),
            ("remove", ["premium"], [[], [], ["french"], None]),
            ("replace", ["acme"], [["acme"]] * 4),
        ],
    )
    def test_what_becomes_of_them(self, admin, articles, segment_of, how, chosen, expected):
        segments = [segment_of[name] for name in chosen]
        answer = self.ask(admin, articles, how, *segments)
        assert answer.status_code == 200
        before = [audience_of(article) for article in articles]
        answer = admin.post(reverse(LIST), confirmed(answer, _widen="yes"))
        assert answer.status_code == 302
        for place, names in enumerate(expected):
            for article in articles[2 * place : 2 * place + 2]:
                found = audience_of(article)
                if names is None:
                    assert found.pk == Audience.EVERYONE
                else:
                    assert {s.pk for s in found.segments.all()} == {segment_of[n].pk for n in names}
        changed = [a for a, was in zip(articles, before, strict=True) if audience_of(a) != was]
        assert Change.objects.filter(field="audience", actor__isnull=False).count() == len(changed)

    def test_what_is_asked_and_what_is_said(self, admin, articles, segment_of):
        answer = self.ask(admin, articles, "add", segment_of["acme"])
        assert answer.context["before"] == "8 articles"
        assert answer.context["after"] == "Show them to these segments, too: Customers of Acme"
        answer = admin.post(f"{reverse(LIST)}?p=0", confirmed(answer, _widen="yes"))
        assert said(answer) == ["Who sees them has changed for 6 of 8."]
        assert answer.headers["Location"] == f"{reverse(LIST)}?p=0"

    def test_an_answer_is_to_one_question(self, admin, articles, segment_of):
        """About these articles and this way, even if others would have the same impact."""
        first, other = (
            ArticleFactory(audience=Audience.nobody(), title="Twin", section=articles[0].section)
            for _twice in "12"
        )
        seen = [
            self.ask(admin, [article], how, segment_of["french"]).context["seen"]
            for article, how in [(first, "add"), (other, "add"), (first, "replace")]
        ]
        assert len({*seen}) == 3

    @pytest.mark.parametrize("across", [{}, {"select_across": "1"}])
    def test_whom_to_show_them_to_is_asked_first(self, admin, articles, across):
        selected = [str(article.pk) for article in articles]
        sent = {"action": "change_audience", "_selected_action": selected, **across}
        context = admin.post(reverse(LIST), sent).context
        assert context["title"] == "Change who sees them"
        assert (context["count"], context["selected"]) == (8, selected)
        assert context["across"] == across.get("select_across", "0")
        assert not context["form"].is_bound

    def test_nothing_before_it_is_confirmed(self, admin, articles, segment_of):
        answer = self.ask(admin, articles, "replace", "everyone")
        assert answer.context["widens"]
        admin.post(reverse(LIST), confirmed(answer))
        assert audience_of(articles[0]).pk == Audience.NOBODY

    @pytest.mark.parametrize("chosen", ["everyone", "nobody"])
    def test_everyone_and_nobody_only_replace(self, admin, articles, chosen):
        answer = self.ask(admin, articles, "add", chosen)
        assert "can only replace" in answer.content.decode()

    def test_a_publisher_changes_only_what_is_in_their_care(self, publisher, articles, guides):
        mine = ArticleFactory(audience=Audience.everyone(), permission_group=guides)
        answer = self.ask(publisher, [mine], "replace", "nobody")
        publisher.post(reverse(LIST), confirmed(answer))
        assert audience_of(mine).pk == Audience.NOBODY
        self.ask(publisher, articles[-1:], "replace", "nobody")
        assert audience_of(articles[-1]).pk == Audience.EVERYONE

    def test_an_editor_changes_none(self, cast, guides):
        article = ArticleFactory(audience=Audience.everyone(), permission_group=guides)
        answer = self.ask(client_of(cast["edda"]), [article], "replace", "nobody")
        assert said(answer) == ["You may not change who sees 1 of them. Nothing was changed."]
        assert answer.headers["Location"] == reverse(LIST)
        assert audience_of(article).pk == Audience.EVERYONE

    def test_the_cost_does_not_grow(self, admin, segment_of):
        def queries(count):
            articles = ArticleFactory.create_batch(count, audience=Audience.of(segment_of["acme"]))
            sent = confirmed(self.ask(admin, articles, "replace", segment_of["french"]))
            with CaptureQueriesContext(connection) as captured:
                admin.post(reverse(LIST), sent | {"_widen": "yes"})
            assert audience_of(articles[0]) == Audience.of(segment_of["french"])
            return len(captured)

        queries(1)
        assert queries(2) == queries(12)


class TestFilters:
    """The list by who sees things."""

    def shown(self, client, **asked):
        answer = client.get(reverse(LIST), asked)
        assert answer.status_code == 200, answer
        return set(answer.context["cl"].queryset.values_list("pk", flat=True))

    def test_by_audience(self, admin, segment_of):
        of = {
            "everyone": ArticleFactory(audience=Audience.everyone()).pk,
            "nobody": ArticleFactory(audience=Audience.nobody()).pk,
            "segments": ArticleFactory(audience=Audience.of(segment_of["french"])).pk,
        }
        for value, pk in of.items():
            assert self.shown(admin, shown_to=value) == {pk}
        assert self.shown(admin, shown_to=segment_of["french"].pk) == {of["segments"]}
        assert self.shown(admin, shown_to=segment_of["acme"].pk) == set()
        assert self.shown(admin, shown_to="9" * 30) == set()

    @pytest.mark.parametrize("name", ["dan", "claire", "omar", "ines", "ada"])
    def test_by_person(self, admin, cast, segment_of, name):
        for audience in (Audience.everyone(), Audience.nobody(), Audience.of(segment_of["french"])):
            ArticleFactory(audience=audience)
        expected = set(Article.objects.visible_to(cast[name]).values_list("pk", flat=True))
        assert self.shown(admin, seen_by=f"{name}@example.com") == expected

    @pytest.mark.parametrize("kind", ["article", "section", "category"])
    def test_audiences_are_named_without_a_query_for_each(self, admin, segment_of, kind):
        address = reverse(f"admin:helpcenter_{kind}_changelist")

        def queries():
            audience = Audience.of(segment_of["french"], segment_of["acme"])
            ArticleFactory(
                audience=audience, section__audience=audience, section__category__audience=audience
            )
            with CaptureQueriesContext(connection) as captured:
                page = admin.get(address)
            assert "Customers of Acme, French" in page.content.decode()
            return len(captured)

        queries()
        assert queries() == queries()

    def test_others_are_told_no_audience(self, publisher, guides, segment_of):
        audience = Audience.of(segment_of["french"])
        ArticleFactory(audience=audience, permission_group=guides)
        page = publisher.get(reverse(LIST)).content.decode()
        assert "Article" in page and segment_of["french"].name not in page

    def test_an_unknown_person_sees_nothing(self, admin):
        ArticleFactory(audience=Audience.everyone())
        assert self.shown(admin, seen_by="nobody@example.com") == set()

    def filters(self, client, **asked):
        changelist = client.get(reverse(LIST), asked).context["cl"]
        found = {
            spec.parameter_name: spec
            for spec in changelist.filter_specs
            if hasattr(spec, "parameter_name")
        }
        return changelist, found

    def test_what_the_filters_offer(self, admin, segment_of):
        changelist, found = self.filters(admin, shown_to="nobody", promoted__exact="1")
        by_audience = found["shown_to"]
        offered = [
            (each["display"], each["query_string"]) for each in by_audience.choices(changelist)
        ]
        kept = "?promoted__exact=1"
        assert offered == [
            ("All", kept),
            ("Everyone", f"{kept}&shown_to=everyone"),
            ("Segments", f"{kept}&shown_to=segments"),
            ("Nobody", f"{kept}&shown_to=nobody"),
        ]
        assert by_audience.others == {"promoted__exact": "1"}
        mine = {(str(each.pk), each.name) for each in segment_of.values() if not each.built_in}
        assert mine <= {*by_audience.segments()}
        (form,) = found["seen_by"].choices(changelist)
        assert form == {
            "others": {"shown_to": "nobody", "promoted__exact": "1"},
            "value": "",
            "problem": "",
        }

    def test_a_person_is_asked_for_in_a_form(self, admin):
        changelist, found = self.filters(admin, seen_by="nobody@example.com", shown_to="nobody")
        (form,) = found["seen_by"].choices(changelist)
        assert form == {
            "others": {"shown_to": "nobody"},
            "value": "nobody@example.com",
            "problem": "person: there is none called “nobody@example.com”.",
        }
        assert found["shown_to"].value() == "nobody"

    def test_only_for_admins(self, publisher, guides, segment_of):
        article = ArticleFactory(audience=Audience.everyone(), permission_group=guides)
        answer = publisher.get(reverse(LIST), {"shown_to": segment_of["french"].pk})
        assert answer.status_code == 302  # Django's way of saying that there is no such filter
        assert b"Claire" not in publisher.get(reverse(LIST)).content
        assert self.shown(publisher) == {article.pk}
