"""The REST API: Zendesk's Help Center API, the parts of its Support API about people, and ours."""
