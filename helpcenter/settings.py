"""Settings of the help center, read from the environment; docs/deployment.md explains each."""

import os
import sys
from datetime import timedelta
from pathlib import Path

import environ
from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from django.core.management.utils import get_random_secret_key
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

DEMO = env.bool("DEMO", default=False)
DEBUG = env.bool("DEBUG", default=False)
TESTING = "pytest" in sys.modules

# Everything the running site writes: the SQLite file, attachments, collected static files.
DATA_DIR = Path(env.str("DATA_DIR", default=str(BASE_DIR / "var")))
DATA_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)

SECRET_KEY = env.str("SECRET_KEY", default="")
if DEMO and not SECRET_KEY:
    # Kept, so that who is signed in stays so when the demo is started again.
    key_file = DATA_DIR / "demo-secret-key"
    if not key_file.exists():
        with open(os.open(key_file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(get_random_secret_key())
    SECRET_KEY = key_file.read_text()
if not SECRET_KEY:
    if not (DEBUG or TESTING):
        raise ImproperlyConfigured(
            "Set SECRET_KEY to a long random text (or DEBUG=1 while developing). "
            "`python -c 'import secrets; print(secrets.token_urlsafe(50))'` prints one."
        )
    SECRET_KEY = get_random_secret_key()

THIS_MACHINE = ["localhost", "127.0.0.1", "[::1]"]
# In the demo anybody can become anybody, so it answers under no other name.
ALLOWED_HOSTS = THIS_MACHINE if DEMO else env.list("ALLOWED_HOSTS", default=THIS_MACHINE)
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "helpcenter",
    "accounts",
    "segments",
    "allauth",
    "allauth.account",
    "helpcenter.apps.AdminSiteConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "django_filters",
    "django_htmx",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "knox",
    "rest_framework",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "helpcenter.middleware.private_by_default",
    "helpcenter.middleware.plain_request",
    "helpcenter.middleware.speak_the_language",
    "django.contrib.sessions.middleware.SessionMiddleware",
    # Decision and content come from one snapshot: everything below sees one state of the database.
    # The API's counters are written outside of it.
    "helpcenter.api.limits.rate_limit",
    "segments.snapshot.SnapshotMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "helpcenter.denials.log_denials",
    "helpcenter.viewing.view_as",
    # Does nothing unless SEGMENTS["ROW_SECURITY"] is on; then after all that change request.user.
    "segments.row_security.RowSecurityMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]

ROOT_URLCONF = "helpcenter.urls"
WSGI_APPLICATION = "helpcenter.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "helpcenter.context.site",
            ],
        },
    },
]

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'db.sqlite3'}")}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        # Readers and the one writer do not wait for each other; a writer waits for its turn.
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        "timeout": 10,
    }
else:
    DATABASES["default"]["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
    DATABASES["default"]["CONN_HEALTH_CHECKS"] = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

CACHES = {"default": env.cache("CACHE_URL", default="locmemcache://")}

AUTH_USER_MODEL = "accounts.User"
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in [
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    ]
]
SESSION_ENGINE = "accounts.sessions"
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "/"
ACCOUNT_ADAPTER = "accounts.adapter.AccountAdapter"
ACCOUNT_FORMS = {
    "login": "accounts.forms.LoginForm",
    "signup": "accounts.forms.SignupForm",
    "add_email": "accounts.forms.AddEmailForm",
}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*", "password2*"]
ACCOUNT_EMAIL_VERIFICATION = "mandatory"
ACCOUNT_CHANGE_EMAIL = True
ACCOUNT_LOGOUT_REDIRECT_URL = "/"
ACCOUNT_EMAIL_SUBJECT_PREFIX = ""

EMAIL_CONFIG = env.email("EMAIL_URL", default="consolemail://")
vars().update(EMAIL_CONFIG)
DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="help@localhost")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"dated": {"format": "%(asctime)s %(name)s %(message)s"}},
    "handlers": {"access": {"class": "logging.StreamHandler", "formatter": "dated"}},
    "loggers": {
        # Who was refused what (helpcenter.denials). Not in the demo, where everybody is.
        "segments.access": {
            "handlers": ["access"],
            "level": env.str("ACCESS_LOG_LEVEL", default="WARNING" if DEMO else "INFO"),
        },
    },
}

LANGUAGE_CODE = "en-us"
# A person's language and a help center's locales are among these.
LANGUAGES = [
    ("en-us", _("English")),
    ("fr", _("French")),
    ("de", _("German")),
    ("es", _("Spanish")),
    ("pt-br", _("Brazilian Portuguese")),
    ("ja", _("Japanese")),
]
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATIC_ROOT = DATA_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
            if DEMO or DEBUG or TESTING
            else "whitenoise.storage.CompressedManifestStaticFilesStorage"
        )
    },
}
# Files whose names hold a digest of their content may be kept for ever, others never unasked.
WHITENOISE_MAX_AGE = 0
WHITENOISE_USE_FINDERS = DEMO or DEBUG or TESTING

# A segment may name thousands of organizations, each of which is a field of its form.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 20_000

# Never below a public folder: helpcenter.views.attachment serves attachments after the check.
MEDIA_ROOT = DATA_DIR / "attachments"
SENDFILE_ROOT = str(MEDIA_ROOT)
SENDFILE_URL = "/protected"
SENDFILE_BACKEND = env.str("SENDFILE_BACKEND", default="django_sendfile.backends.simple")

SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not (DEMO or DEBUG or TESTING)
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=not (DEMO or DEBUG or TESTING))
SECURE_HSTS_SECONDS = env.int(
    "SECURE_HSTS_SECONDS", default=0 if DEMO or DEBUG or TESTING else 31536000
)
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not (DEMO or DEBUG or TESTING)
if env.bool("BEHIND_TLS_PROXY", default=False):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    # Without it every visitor would share the proxy's limit of failed sign-ins.
    ALLAUTH_TRUSTED_PROXY_COUNT = 1

# Hosts that may play videos inside an article.
VIDEO_HOSTS = ["www.youtube.com", "www.youtube-nocookie.com", "player.vimeo.com"]
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF],
        "form-action": [SELF],
        "frame-src": [f"https://{host}" for host in VIDEO_HOSTS],
        "frame-ancestors": [NONE],
        "base-uri": [NONE],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "helpcenter.api.authentication.TokenAuthentication",
        "helpcenter.api.authentication.SessionAuthentication",
    ],
    # For a view that is no Endpoint: helpcenter.api.base says the rest.
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAdminUser"],
    "DEFAULT_FILTER_BACKENDS": ["segments.rest_framework.VisibleToViewerFilter"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    # OPTIONS would describe fields and choices to everybody.
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "helpcenter.api.schema.EndpointSchema",
    "EXCEPTION_HANDLER": "helpcenter.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
    "DATETIME_FORMAT": "%Y-%m-%dT%H:%M:%SZ",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Help center",
    "DESCRIPTION": "Zendesk's Help Center API, what its Support API says of people, and segments "
    "beyond both. Every address also ends in .json; content also has a locale in it, as in "
    "/api/v2/help_center/en-us/articles.",
    "VERSION": "2",
    "OAS_VERSION": "3.1.1",
    "COMPONENT_SPLIT_REQUEST": True,
    # Some fields are for some callers only.
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
    "ENUM_ADD_EXPLICIT_BLANK_NULL_CHOICE": False,
    "PREPROCESSING_HOOKS": ["helpcenter.api.schema.without_variants"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "helpcenter.api.schema.with_components",
    ],
    "SERVE_INCLUDE_SCHEMA": False,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    # Nothing is sent to a validator elsewhere.
    "SWAGGER_UI_SETTINGS": {
        "deepLinking": True,
        "validatorUrl": None,
        "docExpansion": "none",
        "defaultModelsExpandDepth": -1,
    },
}
REST_KNOX = {"AUTH_HEADER_PREFIX": "Bearer", "TOKEN_TTL": timedelta(days=365)}
# Requests that a token, or an address without one, may make in a minute.
API_REQUESTS_PER_MINUTE = {
    "token": env.int("API_REQUESTS_PER_MINUTE", default=700),
    "address": env.int("API_REQUESTS_PER_MINUTE_ANONYMOUS", default=200),
}

SEGMENTS = {
    # docs/row_level_security.md
    "ROW_SECURITY": env.bool("ROW_LEVEL_SECURITY", default=False),
    "STAFF": Q(role__in=["light_agent", "agent", "admin"]),
    "ADMIN": Q(role="admin"),
    "ACTIVE": Q(is_active=True),
    "ATTRIBUTES": {
        "role": ["role"],
        "organization": ["organizations__id"],
        "group": ["agent_groups__id"],
        # End users inherit the tags of their organizations, staff do not.
        "tag": ["tags__name", ("organizations__tags__name", Q(role="end_user"))],
        "language": ["language"],
    },
    # Each of them ends before gunicorn would end the worker, after 30 seconds.
    "TIMEOUTS": {
        "statement_timeout": f"{env.int('STATEMENT_TIMEOUT', default=20)}s",
        "lock_timeout": f"{env.int('LOCK_TIMEOUT', default=5)}s",
        "idle_in_transaction_session_timeout": "60s",
    },
    # As at Zendesk, `any` and `all` conditions on organizations do not limit staff.
    "END_USER_ATTRIBUTES": ["organization"],
    # How the sentences about segments speak of them: “End users of Acme or Globex, tagged vip”.
    "WORDS": {
        "role": {
            "label": _("Role"),
            "any": _("with the role %s"),
            "all": _("with the role %s"),
            "none": _("without the role %s"),
        },
        "organization": {
            "label": _("Organization"),
            "any": _("of %s"),
            "all": _("of %s"),
            "none": _("outside of %s"),
        },
        "group": {
            "label": _("Group"),
            "any": _("in the group %s"),
            "all": _("in the groups %s"),
            "none": _("not in the group %s"),
        },
        "tag": {
            "label": _("Tag"),
            "any": _("tagged %s"),
            "all": _("tagged %s"),
            "none": _("not tagged %s"),
        },
        "language": {
            "label": _("Language"),
            "any": _("whose language is %s"),
            "all": _("whose language is %s"),
            "none": _("whose language is not %s"),
        },
    },
    # Whose eyes each URL is for. `manage.py check` fails for one that is not here.
    "URLS": {
        "start": "filtered",
        "hc": "filtered",
        "hc_slash": "filtered",
        "home": "filtered",
        "home_slash": "filtered",
        "category": "filtered",
        "section": "filtered",
        "article": "filtered",
        "search": "filtered",
        "attachment": "filtered",
        "view_as": "staff",
        "view_as_stop": "staff",
        "account_*": "public",
        "account_email": "signed-in",
        "account_change_password": "signed-in",
        "account_set_password": "signed-in",
        "account_reauthenticate": "signed-in",
        "admin:*": "staff",
        "api:*": "filtered",
        "api-schema": "public",
        "api-docs": "public",
        **({"demo_sign_in": "public"} if DEMO else {}),
    },
}
