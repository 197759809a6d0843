"""Model fields that store and compare one spelling, on every way a value takes into a query.

`save` and `bulk_create` go through `pre_save`, `update`, `get_or_create` and exact lookups through
`get_prep_value`, forms and `full_clean` through `to_python`. Look-ups by part (`contains`,
`startswith`...) compare what they are given.
"""

from __future__ import annotations

from typing import Any

from django.db import models

from .normalisation import normalise, normalise_domain, normalise_email, readable


class _OneSpelling(models.Field):
    """A text field whose values are always as `spelling` writes them, or a ValidationError."""

    @staticmethod
    def spelling(text: str) -> str:
        raise NotImplementedError

    def to_python(self, value: Any) -> Any:
        value = super().to_python(value)
        # What is empty is left to the check for required values, which has the usual message.
        return self.spelling(value) if value else value

    def get_prep_value(self, value: Any) -> Any:
        value = super().get_prep_value(value)  # calls to_python
        return self.spelling("") if value == "" else value

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        value = super().pre_save(model_instance, add)
        if not hasattr(value, "resolve_expression"):
            # The instance shows what the database will hold.
            value = self.get_prep_value(value)
            setattr(model_instance, self.attname, value)
        return value


class NormalisedCharField(_OneSpelling, models.CharField):
    """A name that is compared: NFKC, case-folded, single spaces."""

    spelling = staticmethod(normalise)


class ReadableCharField(_OneSpelling, models.CharField):
    """A name that is shown: as it was written, but for invisible differences."""

    spelling = staticmethod(readable)


class DomainField(_OneSpelling, models.CharField):
    """A domain name in lower-case ASCII."""

    spelling = staticmethod(normalise_domain)


class NormalisedEmailField(_OneSpelling, models.EmailField):
    """An e-mail address, in the one spelling in which it is stored, compared and written to."""

    spelling = staticmethod(normalise_email)


class TriggerField(models.PositiveBigIntegerField):
    """A number that database triggers write and `save()` never does.

    An instance may be older than the row: to store what it holds would undo the trigger.
    """

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        return super().pre_save(model_instance, add) if add else models.F(self.attname)
