"""What bodies name is looked for among what the caller may see.

The leak matrix in tests/test_exits.py asks every address of the API.
"""

import pytest

from helpcenter.models import Article
from tests import exits

API = "/api/v2/help_center"


@pytest.mark.surface(21, 46)
def test_files_that_a_body_names_are_hidden_too(api, segment_of):
    """Hidden ids in bodies are refused like missing ones."""
    hidden = exits.hide_something(exits.show_something(segment_of))
    mine = Article.objects.get(permission_group__name="Guides")
    known = hidden.ids("attachment")[0]
    answers = {
        api("pia")
        .post(f"{API}/articles/{mine.pk}/bulk_attachments", {"attachment_ids": [pk]})
        .content.replace(str(pk).encode(), b"ID")
        for pk in (known, known // 10 * 10 + (known + 1) % 10)
    }
    assert len(answers) == 1
    assert not mine.attachments.exists()
