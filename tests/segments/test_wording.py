"""Who is in a segment, in a sentence."""

import pytest

from segments.conditions import Condition
from segments.models import Segment
from segments.wording import label_of, labels_for, sentence_of, sentences_of, words_for
from tests.segments.conftest import tags_any

pytestmark = pytest.mark.django_db


def test_an_attribute_is_called_as_the_settings_say():
    assert [label_of(name) for name in ("tag", "organization", "hat")] == [
        "Tag",
        "Organization",
        "hat",
    ]


@pytest.mark.parametrize(
    ("operator", "words", "plain"),
    [
        ("any", "tagged gold or vip", "with tag gold or vip"),
        ("all", "tagged gold and vip", "with tag gold and vip"),
        ("none", "not tagged gold or vip", "without tag gold or vip"),
    ],
)
def test_a_condition_in_words(settings, operator, words, plain):
    condition = Condition("tag", operator, frozenset(["vip", "gold"]))
    assert words_for(condition, {}) == words
    settings.SEGMENTS = settings.SEGMENTS | {"WORDS": {}}
    assert words_for(condition, labels_for([condition])) == plain


def test_values_are_called_by_their_names_and_gone_ones_as_they_are():
    condition = Condition("role", "any", frozenset(["agent", "boss"]))
    assert words_for(condition, labels_for([condition])) == "with the role Agent or boss"
    assert words_for(condition, {"role": {"agent": "Agents"}}) == "with the role Agents or boss"
    numbers = Condition("organization", "any", frozenset([7]))
    assert words_for(numbers, {}) == "of 7"


@pytest.mark.parametrize(
    ("conditions", "included", "excluded", "sentence"),
    [
        ("premium", [], [], "People tagged premium"),
        ("premium", ["dan"], [], "People tagged premium; always Dan"),
        ("premium", ["dan", "maria"], ["omar"], "People tagged premium; always {two}; never Omar"),
        ("premium", [], ["dan", "maria"], "People tagged premium; never {either}"),
        (None, ["dan"], [], "Only Dan"),
        (None, ["dan"], ["omar"], "Only Dan; never Omar"),
        (None, [], [], "Nobody: no condition and no person is named"),
        (None, [], ["dan"], "Nobody: no condition and no person is named"),
        ("broken", [], [], "Nobody: There is no attribute “hat”."),
        ("broken", ["dan"], [], "Only Dan"),
    ],
)
def test_who_is_in_a_segment(cast, conditions, included, excluded, sentence):
    segment = Segment.objects.create(name="Some")
    stored = {
        "premium": tags_any("premium"),
        "broken": [{"attribute": "hat", "operator": "any", "values": ["x"]}],
    }
    Segment.objects.filter(pk=segment.pk).update(conditions=stored.get(conditions, []))
    segment = Segment.objects.get(pk=segment.pk)
    segment.include(*(cast[name] for name in included))
    segment.exclude(*(cast[name] for name in excluded))
    first, second = (str(cast[name]) for name in sorted(["dan", "maria"], key=lambda n: cast[n].pk))
    words = {"two": f"{first} and {second}", "either": f"{first} or {second}"}
    assert sentence_of(segment) == sentence.format(**words)


def test_sentences_of_many_are_each_of_one(cast, segment_of):
    for name in ("premium", "french"):
        segment_of[name].include(cast["dan" if name == "premium" else "maria"])
    found = sentences_of([segment_of["premium"], segment_of["french"]])
    assert found == {
        segment_of["premium"].pk: "People tagged premium; always Dan",
        segment_of["french"].pk: "People whose language is French; always Maria",
    }
