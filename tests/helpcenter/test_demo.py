"""The demo: what `make demo` shows to somebody who has never seen this."""

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from http.cookiejar import CookieJar
from pathlib import Path
from types import ModuleType
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from django.contrib.auth.models import AnonymousUser
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import NoReverseMatch, path, reverse

from accounts.models import User
from helpcenter import demo, files, urls
from helpcenter.models import Article, Attachment, HelpCenter
from segments.models import Change, Segment

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def filled(db, settings, tmp_path):
    """The demo's content in the database, and its settings and addresses."""
    settings.MEDIA_ROOT = tmp_path
    settings.SENDFILE_ROOT = str(tmp_path)
    demo.fill()
    site = ModuleType("demo_site")
    site.urlpatterns = [*urls.urlpatterns, path("demo/sign-in", demo.sign_in, name="demo_sign_in")]
    settings.DEMO = True
    settings.ROOT_URLCONF = site


def titles(user):
    """What somebody may read, by English title (French where there is no other)."""
    found = Article.objects.visible_to(user).filter(published=True)
    return {article.words.title for article in found.with_words("en-us", user)}


def person(first):
    return User.objects.get(email__startswith=f"{first}.")


def test_everybody_sees_what_is_meant_for_them(filled):
    public = titles(AnonymousUser())
    assert len(public) == 13
    signed_in = {"Register your warranty", "Return or exchange a battery"}
    acme = {
        "Your battery in an Acme home",
        "Opening hours of the Acme service desk",
        "Shared charging in the garage",
    }
    premium = {"Reach the Premium line", "Order the yearly inspection", "Try new features early"}
    borealis = {"The Borealis neighbourhood battery", "How the surplus is divided"}
    french = {"Joindre un conseiller en français", "Aides et démarches en France"}
    staff = {
        "Answer a customer in the first hour",
        "Find out why somebody cannot see an article",
    }
    assert titles(person("maria")) == public | signed_in | acme | premium
    assert titles(person("jonas")) == public | signed_in | borealis
    assert titles(person("claire")) == public | signed_in | french
    agents = public | signed_in | acme | borealis | staff
    assert titles(person("theo")) == agents
    assert titles(person("ana")) == agents | {"Refunds and goodwill"}
    everything = agents | premium | french | {"Refunds and goodwill", "Price changes in spring"}
    assert titles(person("sam")) == everything


def test_one_agent_looks_after_some_articles(filled):
    ana, theo = person("ana"), person("theo")
    draft = Article.objects.get(translations__title="Winter mode")
    assert draft.is_visible_to(ana) and not draft.is_visible_to(theo)


def test_the_picture_is_a_picture(filled):
    chart = Attachment.objects.get(inline=True)
    assert files.is_inline(chart.content_type)
    assert chart.file.size < 50_000


def test_the_content_is_written_once_and_recorded(filled):
    before = Article.objects.count()
    assert demo.fill() is False
    assert Article.objects.count() == before
    # Built-in segments were there before the demo.
    named = Change.objects.filter(model="segments.segment", field="name")
    assert set(named.exclude(object_id__in=["1", "2"]).values_list("actor", flat=True)) == {"demo"}


def test_no_password_opens_any_of_the_accounts(filled):
    assert not any(user.has_usable_password() for user in User.objects.all())


def test_the_start_page_says_who_sees_how_much(filled, client):
    page = " ".join(client.get("/").content.decode().split())
    for someone in demo.PEOPLE:
        user = User.objects.get(email=someone.email)
        visible = Article.objects.visible_to(user).filter(published=True).count()
        card = page[page.index(f"<h2>{someone.name}</h2>") :].split("</li> <li")[0]
        assert str(someone.about) in card
        assert f"Sees {visible} articles" in card
        drafts = Article.objects.visible_to(user).filter(published=False).count()
        assert re.findall(r" and (\d+) draft", card) == ([str(drafts)] if drafts else [])
        for segment in Segment.objects.for_user(user):
            assert f"<li>{segment.name}</li>" in card
    assert "Sees 13 articles" in page


def test_one_click_makes_you_somebody_and_one_more_nobody(filled, client):
    address = reverse("demo_sign_in")
    response = client.post(address, {"person": "maria.santos@example.com", "next": "/hc/fr"})
    assert (response.status_code, response["Location"]) == (302, "/hc/fr")
    assert "You see what Maria Santos sees" in client.get("/hc/en-us").content.decode()
    response = client.post(address, {"person": ""})
    assert response["Location"] == "/hc"
    assert "You see what a visitor sees" in client.get("/hc/en-us").content.decode()


def test_only_the_people_of_the_demo_can_be_chosen(filled, client, cast):
    for email in ("ada@example.com", "nobody@example.com", "\0"):
        assert client.post("/demo/sign-in", {"person": email}).status_code == 404
    assert "_auth_user_id" not in client.session


def test_choosing_leads_to_this_site_only(filled, client):
    for address in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"):
        response = client.post("/demo/sign-in", {"person": "", "next": address})
        assert response["Location"] == "/hc"


def test_choosing_is_a_form_of_this_site(filled):
    strict = Client(enforce_csrf_checks=True)
    assert strict.post("/demo/sign-in", {"person": "sam.okafor@example.com"}).status_code == 403
    assert strict.get("/demo/sign-in").status_code == 405


def test_signing_in_is_choosing_somebody(filled, client):
    page = client.get("/hc/en-us/articles/1").content.decode()
    assert 'href="/?next=%2Fhc%2Fen-us%2Farticles%2F1"' in page
    page = client.get("/?next=/hc/en-us/articles/1").content.decode()
    assert page.count('name="next" value="/hc/en-us/articles/1"') == 7


def test_none_of_it_is_there_outside_the_demo(client, db, settings):
    assert settings.DEMO is False
    with pytest.raises(NoReverseMatch):
        reverse("demo_sign_in")
    demo.fill()
    response = client.post("/demo/sign-in", {"person": "sam.okafor@example.com"})
    assert response.status_code == 404
    assert "_auth_user_id" not in client.session
    assert client.get("/")["Location"] == "/hc/en-us"
    assert "demo" not in client.get("/hc/en-us").content.decode().lower()


def test_the_view_itself_refuses_outside_the_demo(filled, client, settings):
    settings.DEMO = False
    assert client.post("/demo/sign-in", {"person": "sam.okafor@example.com"}).status_code == 404


def test_the_command_refuses_outside_the_demo(db):
    with pytest.raises(CommandError, match="manage.py demo"):
        call_command("demo")
    assert not HelpCenter.objects.exists()


# The real thing -----------------------------------------------------------------------------------


class Demo:
    """`manage.py demo` in a process of its own."""

    def __init__(self, folder):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG")}
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "demo", "--port", str(self.port)],
            cwd=ROOT,
            env=kept | {"DATA_DIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        for line in self.process.stdout:
            self.output += line
            if line.startswith("Serving at"):
                break

    def stop(self):
        """End it as Ctrl-C does; everything it said."""
        self.process.send_signal(signal.SIGINT)
        self.output += self.process.communicate(timeout=20)[0]
        return self.output


def test_the_demo_runs_and_keeps_its_data(tmp_path):
    folder = tmp_path / "new" / "data"
    opener = build_opener(HTTPCookieProcessor(CookieJar()))
    first = Demo(folder)
    try:
        assert "Serving at http://127.0.0.1" in first.output, first.output
        page = opener.open(first.url).read().decode()
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page)[1]
        form = {"person": "claire.dubois@example.com", "csrfmiddlewaretoken": token}
        page = opener.open(f"{first.url}/demo/sign-in", urlencode(form).encode()).read().decode()
        assert "You see what Claire Dubois sees" in page
    finally:
        said = first.stop()
    assert first.process.returncode == 0
    assert "Traceback" not in said and "Warning" not in said, said
    assert stat.S_IMODE((folder / "demo-secret-key").stat().st_mode) == 0o600

    second = Demo(folder)
    try:
        assert "still there" in second.output
        # Cookies know no ports: whoever was signed in still is.
        page = opener.open(f"{second.url}/hc/en-us").read().decode()
        assert "You see what Claire Dubois sees" in page
        third = subprocess.run(
            [sys.executable, "manage.py", "demo", "--port", str(second.port)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "DATA_DIR": str(folder)},
            capture_output=True,
            text=True,
        )
        assert third.returncode == 1
        assert third.stderr == f"CommandError: Port {second.port} is in use; " + (
            "choose another one with --port.\n"
        )
    finally:
        second.stop()
    assert second.process.returncode == 0


@pytest.mark.parametrize("port", ["0", "-1", "65536", "abc"])
def test_a_port_that_is_none_is_refused(tmp_path, port):
    ended = subprocess.run(
        [sys.executable, "manage.py", "demo", f"--port={port}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode != 0
    assert port in ended.stderr and "Traceback" not in ended.stderr
