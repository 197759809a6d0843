"""Parts of sentences, which each language puts together in its own way."""

import pytest
from django.utils import translation

from segments import phrases


@pytest.mark.parametrize(
    ("language", "joined", "separated"), [("en", "a, b", "a; b"), ("ja", "a、b", "a；b")]
)
def test_each_language_has_its_own_signs(language, joined, separated):
    with translation.override(language):
        assert phrases.joined(["a", "b"]) == joined
        assert phrases.separated(["a", "b"]) == separated


@pytest.mark.parametrize(
    ("words", "both", "either"),
    [
        ("a", "a", "a"),
        ("ab", "a and b", "a or b"),
        ("abc", "a, b and 1 more", "a, b or 1 more"),
        ("abcd", "a, b and 2 more", "a, b or 2 more"),
    ],
)
def test_what_is_too_much_is_counted(words, both, either):
    assert phrases.all_of(words, 2) == both
    assert phrases.any_of(words, 2) == either
