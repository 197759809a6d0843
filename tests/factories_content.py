"""Content for tests: ArticleFactory(title="Reset", audience=Audience.of(partners), section=…).

Help centers, categories and sections are for everyone unless another audience is given;
articles are for nobody, as in the models.
"""

import factory
from django.core.files.base import ContentFile
from factory.django import DjangoModelFactory

from helpcenter.models import Article, Attachment, Category, HelpCenter, Section
from segments.models import Audience


class HelpCenterFactory(DjangoModelFactory):
    class Meta:
        model = HelpCenter

    name = "Help"
    audience = factory.LazyFunction(Audience.everyone)


class TranslatedFactory(DjangoModelFactory):
    """Title, body and locale make the first translation."""

    class Meta:
        abstract = True

    @classmethod
    def _create(cls, model_class, *args, title, body="", locale="en-us", **fields):
        words = {key: fields.pop(key) for key in ("draft", "format") if key in fields}
        thing = super()._create(model_class, *args, source_locale=locale, **fields)
        thing.translations.create(locale=locale, title=title, body=body, **words)
        # As the triggers left it: whether an article is published follows from its translations.
        thing.refresh_from_db()
        return thing


class CategoryFactory(TranslatedFactory):
    class Meta:
        model = Category

    title = factory.Sequence("Category {}".format)
    audience = factory.LazyFunction(Audience.everyone)
    help_center = factory.SubFactory(HelpCenterFactory)


class SectionFactory(TranslatedFactory):
    class Meta:
        model = Section

    title = factory.Sequence("Section {}".format)
    audience = factory.LazyFunction(Audience.everyone)
    category = factory.SubFactory(CategoryFactory)


class ArticleFactory(TranslatedFactory):
    """Published unless draft=True."""

    class Meta:
        model = Article

    title = factory.Sequence("Article {}".format)
    body = "Some words."
    draft = False
    section = factory.SubFactory(SectionFactory)


class AttachmentFactory(DjangoModelFactory):
    """AttachmentFactory(article=…, content=b"…", name="a.txt")."""

    class Meta:
        model = Attachment

    article = factory.SubFactory(ArticleFactory)

    @classmethod
    def _create(cls, model_class, *args, content=b"text", name="file.txt", **fields):
        file = ContentFile(content, name=name)
        return super()._create(model_class, *args, file=file, **fields)
