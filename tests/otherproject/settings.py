"""A second project around `segments`: Django's own users, a library, and attributes of its own.

`tests/test_otherproject.py` runs it with the wheel of `segments` alone. What stands between
`[readme]` comments is shown in the README.
"""

import environ
from django.db.models import Q

SECRET_KEY = "not a secret: nobody can reach this project"
ALLOWED_HOSTS = ["testserver"]
ROOT_URLCONF = "urls"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
DATABASES = {"default": environ.Env().db("DATABASE_URL")}

# [readme:installed]
INSTALLED_APPS = [
    "library",
    "segments",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "segments.snapshot.SnapshotMiddleware",  # decision and content come from one state
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
# [/readme]

# [readme:settings]
SEGMENTS = {
    # name -> lookups from the user model, united; (lookup, Q) is read for those users only
    "ATTRIBUTES": {
        "team": ["groups__name"],
        "plan": ["profile__company__plan"],
        "tag": ["profile__tags__name", ("profile__company__tags__name", Q(is_staff=False))],
        "beta": ["profile__is_beta_tester"],
        "region": ["profile__region"],
    },
    "STAFF": Q(is_staff=True),
    "ADMIN": Q(is_superuser=True),
    "ACTIVE": Q(is_active=True),
}
# [/readme]

STATIC_URL = "static/"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
REST_FRAMEWORK = {"DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"]}
