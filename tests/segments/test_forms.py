"""Choosing an audience in a form: always said, never inferred."""

import pytest
from django import forms
from django.core.exceptions import ValidationError

from segments.forms import AudienceField
from segments.models import Audience, Segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def pair():
    return [Segment.objects.create(name=name) for name in ("One", "Two")]


def test_the_choices_are_nobody_everyone_and_segments(pair):
    labels = [label for _value, label in AudienceField().choices]
    assert labels[2:] == ["Agents and admins", "One", "Signed-in users", "Two"]
    assert [value for value, _label in AudienceField().choices][:2] == ["nobody", "everyone"]
    editors = AudienceField(with_everyone=False)
    assert "everyone" not in dict(editors.choices)
    with pytest.raises(ValidationError):
        editors.clean(["everyone"])


def test_a_choice_becomes_the_audience_it_means(pair):
    field = AudienceField()
    assert field.clean(["nobody"]) == Audience.nobody()
    assert field.clean(["everyone"]) == Audience.everyone()
    assert field.clean([str(pair[0].pk)]) == Audience.of(pair[0])
    assert field.clean([str(each.pk) for each in reversed(pair)]) == Audience.of(*pair)


@pytest.mark.parametrize(
    "wrong",
    [
        None,
        [],
        [""],
        ["nobody", "everyone"],
        ["everyone", "1"],
        ["nobody", "1"],
        ["7"],
        ["x"],
        ["1", "7"],
        "1",
        ["1\0"],
        ["9" * 30],
    ],
    ids=repr,
)
def test_what_means_nothing_is_refused(wrong):
    before = Audience.objects.count()
    with pytest.raises(ValidationError):
        AudienceField().clean(wrong)
    assert Audience.objects.count() == before


def test_what_cannot_be_combined_is_said():
    with pytest.raises(ValidationError) as refused:
        AudienceField().clean(["nobody", "everyone"])
    words = "Nobody and everyone cannot be combined with anything else."
    assert [(error.code, error.message) for error in refused.value.error_list] == [("mixed", words)]


def test_a_stored_audience_is_shown_as_its_choices(pair):
    field = AudienceField()
    both = Audience.of(*pair)
    names = {str(each.pk) for each in pair}
    assert field.prepare_value(Audience.NOBODY) == ["nobody"]
    assert field.prepare_value(Audience.everyone()) == ["everyone"]
    assert set(field.prepare_value(both.pk)) == set(field.prepare_value(both)) == names
    assert field.prepare_value(["nobody"]) == ["nobody"]
    assert field.prepare_value(None) is None


def test_it_has_changed_when_the_choices_have(pair):
    field, one = AudienceField(), Audience.of(pair[0]).pk
    assert not field.has_changed(one, [str(pair[0].pk)])
    assert field.has_changed(one, [str(pair[1].pk)])
    assert field.has_changed(one, ["everyone"])
    assert field.has_changed(one, [])
    assert field.has_changed(None, ["nobody"])
    assert not field.has_changed(None, None)


def test_a_form_without_an_answer_is_not_for_everyone():
    class Form(forms.Form):
        audience = AudienceField()

    form = Form({})
    assert not form.is_valid()
    assert "Say who may see this" in form.errors["audience"][0]
