"""Many people at once: their bits, and what is read of them."""

import pytest

from segments import crowd as crowd_module
from segments.attributes import ALL, NONE
from segments.crowd import Crowd, read_crowd
from segments.models import SegmentPerson
from segments.ruleset import current_ruleset

MANY = range(100, 120)  # more than two bytes of bits


def test_people_are_bits_and_bits_are_people():
    crowd = Crowd()
    everybody, odd = crowd.those(MANY), crowd.those(MANY[1::2])
    assert crowd.known == everybody == 2 ** len(MANY) - 1
    assert crowd.ids(odd) == [*MANY[1::2]]
    assert crowd.ids(~odd) == [*MANY[::2]]
    assert [pk for pk in MANY if crowd.has(odd, pk)] == [*MANY[1::2]]
    assert [pk for pk in MANY if crowd.has(~odd, pk)] == [*MANY[::2]]
    assert crowd.ids(NONE) == []


def test_whoever_has_no_bit_is_in_what_is_open_above():
    crowd = Crowd()
    those = crowd.those([1, 2])
    assert crowd.has(~those, "somebody") is True
    assert crowd.has(ALL, "somebody") is True
    assert crowd.has(those, "somebody") is False
    assert crowd.has(NONE, "somebody") is False
    assert crowd.ids(ALL) == [1, 2]


def test_a_crowd_like_another_has_its_bits():
    crowd = Crowd()
    crowd.those([5, 6])
    assert Crowd(crowd).ids(0b10) == [6]
    assert Crowd(crowd).those([7]) == crowd.those([7]) == 0b100


def test_facts_answer_as_of_one_person():
    crowd = Crowd()
    for kind, value, people in [
        ("is inactive", "", [1]),
        ("is staff", "", [2]),
        ("included", 7, [3]),
        ("included", 8, [1]),
        ("excluded", 7, [2, 4]),
        ("has tag", "a", [1, 2]),
        ("has tag", "b", [4]),
        ("has tag", "b", [2]),
    ]:
        crowd.add(kind, value, people)
    assert crowd.ids(crowd.active) == [2, 3, 4]
    assert crowd.has(crowd.active, "somebody")
    assert crowd.ids(crowd.staff) == [2]
    assert crowd.ids(crowd.included_in(7)) == [3]
    assert crowd.ids(crowd.excluded_from(7)) == [2, 4]
    assert crowd.ids(crowd.with_any("tag", ["a", "b"])) == [1, 2, 4]
    assert crowd.ids(crowd.with_each("tag", ["a", "b"])) == [2]
    assert crowd.with_any("tag", ["c"]) == crowd.with_any("hat", ["a"]) == NONE


@pytest.fixture
def rules(cast, segment_of):
    for name in ("dan", "omar"):
        SegmentPerson.objects.create(segment=segment_of["french"], user=cast[name], kind="included")
    return [current_ruleset("default").rules[segment_of["french"].pk]]


@pytest.mark.parametrize(("limit", "read"), [(2, {"dan", "maria"}), (1, {"dan", "maria", "omar"})])
def test_facts_of_few_are_read_and_of_more_all(cast, rules, monkeypatch, limit, read):
    """Each of those in question has a bit, whether anything is known of them or not."""
    monkeypatch.setattr(crowd_module, "ONE_BY_ONE", limit)
    crowd = read_crowd(rules, "default", [cast["maria"].pk, cast["dan"].pk])
    known = {cast[name].pk for name in read}
    assert known <= {*crowd.ids(ALL)}
    assert (cast["omar"].pk in crowd.ids(ALL)) is (limit == 1)
    (rule,) = rules
    admitted = {"dan"} | (read & {"omar"})
    assert {name for name in read if crowd.has(rule.admits(crowd), cast[name].pk)} == admitted


def test_everybody_is_read_where_nobody_is_in_question(cast, rules):
    like = Crowd()
    first = like.those([cast["omar"].pk])
    crowd = read_crowd(rules, "default", like=like)
    admitted = rules[0].admits(crowd)
    assert admitted & first
    assert {*crowd.ids(admitted)} == {cast[name].pk for name in ("dan", "omar", "claire")}
