"""The history of audiences and of people: compared, and gone back to through the impact."""

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import Organization, OrganizationDomain, Tag, User
from segments import history_pages
from segments.history import acting_as
from segments.models import Audience, Change
from segments.recollection import moments_of
from tests.factories_content import ArticleFactory
from tests.helpcenter.test_audience_admin import admin, audience_of, confirmed, guides, said
from tests.helpcenter.test_roles import form_of

__all__ = ["admin", "guides"]
pytestmark = pytest.mark.django_db


def of(thing, page):
    options = thing._meta
    return reverse(f"admin:{options.app_label}_{options.model_name}_{page}", args=[thing.pk])


def test_a_number_is_one_that_the_database_can_have():
    assert history_pages.number_in("9" * 18) == 10**18 - 1
    assert [history_pages.number_in(text) for text in ("9" * 19, "x", "", "-1", "\u0663")] == [
        None
    ] * 5


class TestAudiences:
    @pytest.fixture
    def article(self, admin, segment_of):
        """For nobody at first, then for French speakers, then for everyone."""
        article = ArticleFactory(audience=Audience.nobody(), title="Prices")
        for audience in (Audience.of(segment_of["french"]), Audience.everyone()):
            with acting_as(f"command {audience.pk}"):
                article.audience = audience
                article.save()
        return article

    def test_two_moments_are_compared(self, admin, article):
        page = admin.get(of(article, "history"))
        assert "Who may see it: Nobody → French" in page.content.decode()
        new, _french, beginning = (m.pk for m in moments_of(article))
        answer = admin.get(of(article, "history"), {"a": beginning, "b": new})
        assert answer.context["compared"] == [("Who may see it", "Nobody", "Everyone")]
        answer = admin.get(of(article, "history"), {"a": new, "b": beginning})
        assert answer.context["compared"] == [("Who may see it", "Everyone", "Nobody")]
        assert admin.get(of(article, "history"), {"a": "x", "b": "9" * 40}).status_code == 200
        answer = admin.get(of(article, "history"), {"a": new})
        assert [answer.context[name] for name in ("b", "compared")] == [None, None]
        assert answer.context["a"].pk == new

    def test_long_histories_have_pages(self, admin, article, monkeypatch):
        monkeypatch.setattr(history_pages, "PER_PAGE", 2)
        page = admin.get(of(article, "history"), {"page": "2"}).context["moments"]
        assert [moment.pk for moment in page] == [moments_of(article)[-1].pk]

    def test_going_back_fills_the_form_and_asks(self, admin, article, segment_of):
        rows = admin.get(of(article, "history")).context["rows"]
        addresses = [address for _moment, address in rows]
        assert addresses[0] == "" and len(addresses) == 3
        page = admin.get(addresses[1])
        assert page.context["adminform"].form["audience"].value() == [str(segment_of["french"].pk)]
        assert "Nothing is stored until you save" in page.content.decode()
        assert audience_of(article).pk == Audience.EVERYONE
        answer = admin.post(addresses[1], form_of(article, audience=str(segment_of["french"].pk)))
        assert "Hidden from visitors from now on: 1 article" in answer.content.decode()
        assert admin.post(addresses[1], confirmed(answer)).status_code == 302
        assert audience_of(article) == Audience.of(segment_of["french"])
        page = admin.get(addresses[2])
        assert page.context["adminform"].form["audience"].value() == ["nobody"]

    def test_an_audience_that_is_gone_is_no_way_back(self, admin, article):
        with connection.cursor() as cursor:
            keep = [Audience.NOBODY, Audience.EVERYONE]
            gone = list(Audience.objects.exclude(pk__in=keep).values_list("pk", flat=True))
            marks = ", ".join(map(str, gone))
            cursor.execute(f"DELETE FROM segments_audiencesegment WHERE audience_id IN ({marks})")
            cursor.execute(f"DELETE FROM segments_audience WHERE id IN ({marks})")
        rows = admin.get(of(article, "history")).context["rows"]
        assert [bool(address) for _moment, address in rows] == [False, False, True]
        pk = rows[1][0].pk
        assert admin.get(of(article, "change"), {"restore": pk}).status_code == 404

    @pytest.mark.parametrize("wrong", ["", "x", "12", "9" * 30, "-1", "\u0663"])
    def test_there_must_have_been_such_a_moment(self, admin, article, wrong):
        assert admin.get(of(article, "change"), {"restore": wrong}).status_code == 404

    def test_permission_groups_too(self, admin, guides, segment_of):
        guides.edit = Audience.of(segment_of["returns"])
        with acting_as("a command"):
            guides.save()
        rows = admin.get(of(guides, "history")).context["rows"]
        assert rows[0][0].words == [("May edit", "Editors", "Returns team")]
        form = admin.get(rows[1][1]).context["adminform"].form
        assert form["edit"].value() == [str(segment_of["editors"].pk)]

    def test_an_editor_learns_nothing_of_it(self, cast, article, guides, segment_of):
        type(article)._base_manager.filter(pk=article.pk).update(permission_group=guides)
        editor, publisher = Client(), Client()
        editor.force_login(cast["edda"])
        publisher.force_login(cast["pia"])
        assert "French" not in editor.get(of(article, "history")).content.decode()
        assert "French" in publisher.get(of(article, "history")).content.decode()
        pk = moments_of(article)[1].pk
        page = editor.get(of(article, "change"), {"restore": pk})
        assert str(segment_of["french"].pk) not in page.content.decode()
        assert str(segment_of["french"].pk) in publisher.get(of(article, "change")).content.decode()


class TestPeople:
    @pytest.fixture
    def articles(self, segment_of):
        audience = {name: Audience.of(segment_of[name]) for name in ("premium", "acme", "staff")}
        return {
            name: ArticleFactory(audience=each, title=f"For {name}")
            for name, each in audience.items()
        }

    def post(self, client, person, **changes):
        form = client.get(of(person, "change")).context["adminform"].form
        sent = {"email": person.email, "name": person.name, "role": person.role, "is_active": "on"}
        sent["language"] = person.language or ""
        for name in ("agent_groups", "tags"):
            sent[name] = [str(row.pk) for row in getattr(person, name).all()]
        for prefix in ("memberships", "memberships-2"):
            sent |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
        assert set(form.fields) <= {*sent, "password"}
        sent = {name: value for name, value in (sent | changes).items() if value is not None}
        return client.post(of(person, "change"), sent)

    def test_more_to_see_needs_a_tick(self, admin, cast, articles):
        dan, premium = cast["dan"], Tag.objects.get(name="premium")
        answer = self.post(admin, dan, tags=[str(premium.pk)])
        page = answer.content.decode()
        assert "1 person sees more" in page and "For premium" in page
        assert "For acme" not in page and "Tag: premium" in page
        assert "was changed successfully" not in page
        assert not dan.tags.exists() and not Change.objects.of(dan).filter(field="tag").exists()
        admin.post(of(dan, "change"), confirmed(answer))
        assert not dan.tags.exists()
        assert admin.post(of(dan, "change"), confirmed(answer, _widen="yes")).status_code == 302
        assert list(dan.tags.all()) == [premium]

    def test_the_question_says_what_changes(self, admin, cast, articles):
        """Of this change, and not of those before it."""
        dan = cast["dan"]
        dan.tags.add(Tag.objects.create(name="beta"))
        tags = [str(tag.pk) for tag in Tag.objects.filter(name__in=["beta", "premium"])]
        answer = self.post(admin, dan, tags=tags, language="fr")
        names = ("before", "after", "cancel", "own_rights")
        assert [answer.context[name] for name in names] == [
            "Language: –; Tag: –",
            "Language: French; Tag: premium",
            of(dan, "change"),
            True,
        ]

    def test_an_answer_is_to_one_question(self, admin, cast, articles):
        """About this person and this change, even where others have the same impact."""
        Tag.objects.create(name="beta")
        tags = {tag.name: str(tag.pk) for tag in Tag.objects.all()}
        cast["claire"].tags.add(tags["beta"])
        seen = [
            self.post(admin, cast["dan"], tags=[tags["premium"]]),
            self.post(admin, cast["maria"], tags=[tags["premium"]]),
            self.post(admin, cast["dan"], tags=[tags["premium"], tags["beta"]]),
            self.post(admin, cast["claire"], tags=[tags["premium"], tags["beta"]]),
            self.post(admin, cast["claire"], tags=[tags["premium"]]),
        ]
        assert len({answer.context["seen"] for answer in seen}) == len(seen)

    def test_it_is_said_whose_change_is_stored(self, admin, cast):
        answer = self.post(admin, cast["dan"], name="Daniel")
        (words,) = said(answer)
        assert ">Daniel</a>” was changed successfully" in words

    def test_a_role_counts_with_all_that_it_brings(self, admin, cast, articles):
        answer = self.post(admin, cast["dan"], role="admin")
        page = answer.content.decode()
        assert all(f"For {name}" in page for name in articles)
        assert User.objects.get(pk=cast["dan"].pk).role == "end_user"

    def test_less_to_see_is_shown(self, admin, cast, articles):
        answer = self.post(admin, cast["claire"], is_active=None)
        assert answer.status_code == 302  # she saw nothing that visitors do not see
        aki = cast["aki"]
        answer = self.post(admin, aki, role="end_user", agent_groups=[])
        assert "Seen by fewer people: 1 article" in answer.content.decode()
        assert User.objects.get(pk=aki.pk).role == "agent"

    def test_what_shows_nothing_asks_nothing(self, admin, cast, articles):
        assert self.post(admin, cast["dan"], name="Daniel").status_code == 302
        assert User.objects.get(pk=cast["dan"].pk).name == "Daniel"

    def test_an_address_that_gives_a_membership_counts(self, admin, cast, articles):
        acme = Organization.objects.get(name="Acme")
        OrganizationDomain.objects.create(organization=acme, domain="acme.example")
        dan = cast["dan"]
        dan.emailaddress_set.create(email="dan@acme.example", verified=True)
        answer = self.post(admin, dan, email="dan@acme.example")
        assert "For acme" in answer.content.decode()
        assert not dan.organizations.exists()

    def test_going_back(self, admin, cast, articles):
        omar = User.objects.get(pk=cast["omar"].pk)
        globex, premium = omar.organizations.get(), Tag.objects.get(name="premium")
        new = Tag.objects.create(name="beta")
        omar.tags.add(new)
        omar.tags.remove(new)
        omar.tags.add(premium)
        moment = moments_of(omar)[0].pk
        omar.organizations.clear()
        omar.tags.clear()
        User.objects.filter(pk=omar.pk).update(language="fr", is_active=False)
        answer = admin.get(of(omar, "history"), {"a": moment, "b": moments_of(omar)[0].pk})
        assert {
            ("Organization", "Globex", "–"),
            ("Tag", "premium", "–"),
            ("Language", "–", "French"),
        } < set(answer.context["compared"])
        assert [bool(back) for _m, back in answer.context["rows"]][:2] == [False, True]
        asked = admin.post(of(omar, "go_back"), {"moment": moment})
        page = asked.content.decode()
        assert "For premium" in page and "For acme" not in page
        assert not User.objects.get(pk=omar.pk).is_active
        admin.post(of(omar, "go_back"), confirmed(asked))
        assert not User.objects.get(pk=omar.pk).is_active
        assert admin.post(of(omar, "go_back"), confirmed(asked, _widen="yes")).status_code == 302
        omar = User.objects.get(pk=omar.pk)
        assert (omar.is_active, omar.language) == (True, None)
        assert (list(omar.organizations.all()), list(omar.tags.all())) == ([globex], [premium])

    def test_what_is_gone_stays_gone(self, admin, cast, articles):
        dan, tag = cast["dan"], Tag.objects.create(name="beta")
        dan.tags.add(tag)
        moment = moments_of(dan)[0].pk
        tag.delete()
        history = admin.get(of(dan, "history"))
        assert history.context["by_post"] is True
        asked = admin.post(of(dan, "go_back"), {"moment": moment})
        assert "Nobody sees more or less than now" in asked.content.decode()
        names = ("before", "after", "cancel", "own_rights")
        found = [asked.context[name] for name in names]
        assert found == ["–", "–", of(dan, "history"), True]
        answer = admin.post(of(dan, "go_back"), confirmed(asked))
        words = "Dan is as they were then; what is gone since could not come back."
        assert (answer.status_code, answer.url, said(answer)) == (302, of(dan, "history"), [words])
        assert not dan.tags.exists()

    @pytest.mark.parametrize("wrong", ["", "x", "12", "9" * 30])
    def test_there_must_have_been_such_a_moment(self, admin, cast, wrong):
        assert admin.post(of(cast["omar"], "go_back"), {"moment": wrong}).status_code == 404

    @pytest.mark.parametrize("name", ["pia", "lena", "dan"])
    def test_only_for_admins(self, cast, name):
        client = Client()
        client.force_login(cast[name])
        moment = moments_of(cast["omar"])[-1].pk
        answer = client.post(of(cast["omar"], "go_back"), {"moment": moment})
        assert answer.status_code in (302, 403)
        assert cast["omar"].organizations.exists()
        assert client.get(of(cast["omar"], "go_back")).status_code in (302, 403)
