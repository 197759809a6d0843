"""Show content to the right people.

One question, one rule: *may this person see this thing?*, for one object, for a list of a million,
and in reverse. Start at `querysets.visible_to`; `docs/rule.md` states the rule in words.
Nothing here knows the site around it: what people and content look like comes from
`settings.SEGMENTS` and from the models that inherit `segments.models.Restricted`.
"""
