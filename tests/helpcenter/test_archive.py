"""Archived articles: missing everywhere, and brought back as drafts for nobody."""

from django.urls import reverse

from helpcenter.models import Article, ArticleTranslation, Attachment
from segments.models import Audience
from tests.factories_content import ArticleFactory, AttachmentFactory


def test_an_admin_restores_it(cast, client):
    article = ArticleFactory(title="Old", audience=Audience.everyone())
    file = AttachmentFactory(article=article)
    article.archive()
    client.force_login(cast["ada"])
    assert client.get(file.address()).status_code == 404
    listed = reverse("admin:helpcenter_archivedarticle_changelist")
    assert "Old" in client.get(listed).text
    assert "Old" not in client.get(reverse("admin:helpcenter_article_changelist")).text
    client.post(listed, {"action": "restore", "_selected_action": [article.pk]})
    article = Article.objects.visible_to(cast["ada"]).get()
    assert (article.audience_id, article.published) == (Audience.NOBODY, False)
    assert not Article.objects.visible_to(cast["maria"]).exists()
    assert client.get(file.address()).status_code == 200


def test_nobody_else_finds_the_page(cast, client):
    ArticleFactory(title="Old").archive()
    for name in ("lena", "aki", "pia"):
        client.force_login(cast[name])
        listed = client.get(reverse("admin:helpcenter_archivedarticle_changelist"))
        assert listed.status_code == 403


def test_it_is_missing_for_everybody(cast):
    article = ArticleFactory(title="Old", audience=Audience.everyone())
    AttachmentFactory(article=article)
    models = (Article, ArticleTranslation, Attachment)
    for person in cast.values():
        assert all(model.objects.visible_to(person).exists() for model in models)
    article.archive()
    for person in cast.values():
        assert not any(model.objects.visible_to(person).exists() for model in models)
        assert not article.is_visible_to(person)
