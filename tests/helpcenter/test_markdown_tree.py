import os
import re
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpcenter.files import detect_type
from helpcenter.markdown_tree import (
    MAX_ID,
    MarkdownTreeError,
    find_links,
    read_tree,
    rewrite,
)
from helpcenter.rendering import render
from tests.corpus_files import write_corpus

ROOT = Path(__file__).resolve().parents[2]
HOST = "help.northwind.example"


@pytest.fixture
def corpus(tmp_path):
    return read_tree(write_corpus(tmp_path))


@pytest.fixture
def write(tmp_path):
    """Writes files into a folder, `write({path: text or bytes})`, and returns the folder."""

    def write_files(files):
        for path, content in files.items():
            file = tmp_path / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return tmp_path

    return write_files


def only_article(folder):
    (article,) = read_tree(folder).articles()
    return article


def problems(folder):
    with pytest.raises(MarkdownTreeError) as error:
        read_tree(folder)
    assert str(error.value) == "\n".join(map(str, error.value.problems))
    return str(error.value).splitlines()


def skipped(tree):
    return {str(skip.path): skip.reason for skip in tree.skipped}


# The shape ----------------------------------------------------------------------------------------


def test_the_corpus(corpus):
    assert [category.name for category in corpus.categories] == [
        "For partners",
        "Getting started",
        "Wi-Fi and internet",
    ]
    assert [str(section.path) for section in corpus.sections()] == [
        "For partners/Installers",
        "Getting started/Account and billing",
        "Getting started/Setting up",
        "Wi-Fi and internet/Internet connection",
        "Wi-Fi and internet/Wi-Fi",
        "Wi-Fi and internet/Wi-Fi/Mesh",
    ]
    articles = list(corpus.articles())
    assert len(articles) == 13
    assert [a.title for a in articles if a.draft] == ["Move to another plan"]
    assert [a.title for a in articles if a.source_id is None] == ["Choose a place for the router"]
    assert skipped(corpus) == {
        "README.md": "a README is about the folder, not an article",
        "Wi-Fi and internet/Wi-Fi/img/old lights.png": "no article shows this image",
    }


def test_an_article(corpus):
    article = next(a for a in corpus.articles() if a.source_id == 1001)
    assert article.path == PurePosixPath("Getting started/Setting up/Set up your router.md")
    assert article.labels == ("setup", "first steps")
    assert article.position == 2
    assert article.files == (PurePosixPath("Getting started/Setting up/img/ports.png"),)
    assert article.body.startswith("You need the router")
    head = (corpus.root / article.files[0]).read_bytes()
    assert detect_type(head, "ports.png") == "image/png"


def test_names_with_numbers_are_in_order(write):
    names = ["Step 10", "step 9", "Step 1", "Appendix"]
    tree = read_tree(write({f"c/s/{name}.md": "x" for name in names}))
    articles = list(tree.articles())
    assert [a.title for a in articles] == ["Appendix", "Step 1", "step 9", "Step 10"]
    assert [a.position for a in articles] == [0, 1, 2, 3]


def test_sections_nest_five_deep_and_no_deeper(write):
    folder = write({"c/1/2/3/4/5/a.md": "x"})
    assert [section.name for section in read_tree(folder).sections()] == list("12345")
    write({"c/1/2/3/4/5/6/b.md": "x"})
    assert problems(folder) == ["c/1/2/3/4/5/6/b.md:1: Sections nest at most 5 deep."]


def test_a_file_instead_of_a_folder(write):
    folder = write({"a.md": "x"})
    assert problems(folder / "a.md")[0].endswith(":1: This is not a folder.")
    assert problems(folder / "missing")[0].endswith(":1: This is not a folder.")


def test_an_empty_folder(tmp_path):
    tree = read_tree(tmp_path)
    assert tree.categories == tree.skipped == ()


# What is left out ---------------------------------------------------------------------------------


def test_what_is_skipped_and_why(write):
    tree = read_tree(
        write(
            {
                "c/s/a.md": "---\ntitle: A\nauthor: me\n---\n[p](data.pdf) ![i](i.png)",
                "c/s/B.MARKDOWN": "x",
                "c/s/data.pdf": "x",
                "c/s/i.png": "x",
                "c/s/other.pdf": "x",
                "c/s/other.png": "x",
                "c/s/empty.md": " \n",
                "c/s/title only.md": "---\ntitle: A\n---\n\n",
                "c/s/.draft.md": "x",
                "c/s/readme.md": "x",
                "c/loose.md": "x",
                "LICENSE.md": "x",
                ".git/config.md": "x",
            }
        )
    )
    assert [article.path.name for article in tree.articles()] == ["a.md", "B.MARKDOWN"]
    assert next(tree.articles()).files == (
        PurePosixPath("c/s/data.pdf"),
        PurePosixPath("c/s/i.png"),
    )
    outside = "not inside a category's section: category/section/article.md"
    assert skipped(tree) == {
        ".git": "hidden",
        "LICENSE.md": outside,
        "c/loose.md": outside,
        "c/s/.draft.md": "hidden",
        "c/s/a.md": "line 3: the front matter's 'author' is not used; "
        "keys are draft, id, labels, title",
        "c/s/empty.md": "empty",
        "c/s/other.pdf": "not Markdown, and no article links to it",
        "c/s/other.png": "no article shows this image",
        "c/s/readme.md": "a README is about the folder, not an article",
        "c/s/title only.md": "empty",
    }


def test_symbolic_links_are_never_followed(write, tmp_path):
    secret = tmp_path / "secret"
    folder = tmp_path / "tree"
    write({"secret/key.png": "secret", "secret/b.md": "secret", "tree/c/s/a.md": "![x](key.png)"})
    (folder / "c/s/key.png").symlink_to(secret / "key.png")
    (folder / "c/s/b.md").symlink_to(secret / "b.md")
    (folder / "c/folder").symlink_to(secret)
    (folder / "c/s/loop").symlink_to(folder)
    tree = read_tree(folder)
    article = next(tree.articles())
    assert article.files == ()
    assert len(list(tree.articles())) == 1
    assert set(skipped(tree)) == {"c/folder", "c/s/b.md", "c/s/key.png", "c/s/loop"}
    assert rewrite(article, lambda path: None, {})[0] == article.body


def test_a_pipe_is_not_read(write, tmp_path):
    write({"c/s/a.md": "x"})
    os.mkfifo(tmp_path / "c/s/b.md")
    assert skipped(read_tree(tmp_path)) == {"c/s/b.md": "not a regular file"}


# Titles -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "title", "body"),
    [
        ("---\ntitle: A  b\n---\n\ntext", "A b", "text"),
        ("# A *b* `c`\n\ntext", "A b c", "text"),
        ("---\nid: 5\n---\n# A\ntext", "A", "text"),
        ("---\ntitle: A\n---\n# A\ntext", "A", "text"),
        ("---\ntitle: A\n---\n# B\ntext", "A", "# B\ntext"),
        ("text\n\n# A\n", "A", "text\n\n# A\n"),
        ("A\n=\ntext", "A", "text"),
        ("```\n# A\n```\n", "file", "```\n# A\n```\n"),
        ("> # A\n", "file", "> # A\n"),
        ("## A\n", "file", "## A\n"),
        ("\ufeff---\r\ntitle: A\r\n---\r\ntext\r\n", "A", "text\n"),
        ("---\ntitle:\n---\ntext", "file", "text"),
        ("---\n---\ntext", "file", "text"),
        ("---\ntitle: A\n...\ntext", "A", "text"),
        ("***\ntext", "file", "***\ntext"),
        ("\x0c# A\n", "file", "\x0c# A\n"),
    ],
)
def test_title_and_body(write, text, title, body):
    article = only_article(write({"c/s/file.md": text}))
    assert (article.title, article.body) == (title, body)


# What is wrong ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("---\ntitle: 5\n---\nx",
         "2: 'title' must be text, not a number; put it in quotation marks."),
        ("---\ntitle: yes\n---\nx",
         "2: 'title' must be text, not true or false; put it in quotation marks."),
        ("---\ntitle: 2026-01-01\n---\nx",
         "2: 'title' must be text, not a date; put it in quotation marks."),
        ("---\ntitle: {{ name }}\n---\nx", "2: The front matter is not valid YAML: "),
        ("---\ntitle: a: b\n---\nx",
         "2: The front matter is not valid YAML: mapping values are not allowed here."),
        ("---\nid: 1\ntitle: 'a\n---\nx", "4: The front matter is not valid YAML: "),
        ("---\ntitle: 2026-13-45\n---\nx", "1: The front matter is not valid YAML: "),
        ("---\nid: " + "9" * 5000 + "\n---\nx", "1: The front matter is not valid YAML: "),
        ("---\na: " + "[" * 5000 + "\n---\nx", "1: The front matter is not valid YAML: "),
        ("---\ntitle: !!python/object/apply:os.system [id]\n---\nx",
         "2: The front matter is not valid YAML: "),
        ("---\n? [a]\n: b\n---\nx", "2: The front matter is not valid YAML: "),
        ("---\n- a\n---\nx", "2: The front matter must be lines like 'title: …'; "
         "keys are draft, id, labels, title."),
        ("---\ntitle: a\nx", "1: The front matter has no closing '---' line."),
        ("---\nid: 0\n---\nx", f"2: 'id' must be a whole number from 1 to {MAX_ID}."),
        ("---\nid: 9007199254740992\n---\nx", "2: 'id' must be a whole number from 1 to "),
        ("---\nid: true\n---\nx", "2: 'id' must be a whole number from 1 to "),
        ("---\nid: '5'\n---\nx", "2: 'id' must be a whole number from 1 to "),
        ("---\ntitle: a\n\ndraft: maybe\n---\nx", "4: 'draft' must be true or false, not text."),
        ("---\ndraft: 1\n---\nx", "2: 'draft' must be true or false, not a number."),
        ("---\nlabels: a\n---\nx", "2: 'labels' must be a list of texts, such as [wifi, setup]."),
        ("---\nlabels: [1]\n---\nx", "2: 'labels' must be a list of texts, such as "),
        ("---\nlabels: ['']\n---\nx", "2: A label has 1 to 200 characters."),
        ("---\nid: 1\nid: 2\n---\nx", "3: 'id' is given twice; it is also in line 2."),
        ("# " + "a" * 301 + "\nx", "1: The title has 301 characters; 1 to 300 are possible."),
        (b"a\nb\nc\xff", "3: This is not valid UTF-8; save the file in that encoding."),
        (b"a\nb\x00", "2: There is a NUL character here; remove it."),
        ("---\ntitle: a\n---\n\n![x](../../../../etc/passwd.png)",
         "5: The image '../../../../etc/passwd.png' is outside the folder that is imported."),
        ("# T\n\nx\n\n<img src='%2e%2e/%2E%2e/../x.png'>",
         "5: The image '%2e%2e/%2E%2e/../x.png' is outside the folder that is imported."),
        ("![x](a%00.png)", "1: The image 'a%00.png' is outside the folder that is imported."),
    ],
)  # fmt: skip
def test_problem(write, content, problem):
    (line,) = problems(write({"c/s/a.md": content, "c/s/good.md": "x"}))
    assert line.startswith(f"c/s/a.md:{problem}")


def test_every_problem_is_reported_at_once(write):
    folder = write(
        {
            "c/s/a.md": "---\nid: x\ndraft: x\n---\n![x](../../../a.png)",
            "c/s/b.md": b"\xff",
            "c/s/one.md": "---\nid: 7\n---\nx",
            "c/t/two.md": "---\ntitle: T\nid: 7\n---\nx",
        }
    )
    assert problems(folder) == [
        f"c/s/a.md:2: 'id' must be a whole number from 1 to {MAX_ID}.",
        "c/s/a.md:3: 'draft' must be true or false, not text.",
        "c/s/a.md:5: The image '../../../a.png' is outside the folder that is imported.",
        "c/s/b.md:1: This is not valid UTF-8; save the file in that encoding.",
        "c/t/two.md:3: The id 7 is already used by c/s/one.md.",
    ]


def test_yaml_that_repeats_itself_does_not_explode(write):
    lines = ["a0: &a0 [x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    tree = read_tree(write({"c/s/a.md": "---\n" + "\n".join(lines) + "\n---\nx"}))
    assert len(tree.skipped) == 20


def test_a_file_name_that_is_no_text(tmp_path):
    (tmp_path / "c/s").mkdir(parents=True)
    try:
        with open(os.fsencode(tmp_path / "c/s") + b"/\xff.md", "w") as file:
            file.write("x")
    except OSError:
        pytest.skip("this file system only takes UTF-8 names")
    assert problems(tmp_path) == ["c/s:1: The name '\\udcff.md' is not valid UTF-8."]


# Links --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[a](b.md)", ["link b.md"]),
        ("![a](b.png) text ![c]( <d e.png> 'title')", ["image b.png", "image d e.png"]),
        ("[![a](b.png)](c.md)", ["image b.png", "link c.md"]),
        ("[a [b](c.md) d](e.md)", ["link c.md"]),
        ("[a](b\\_c.md)", ["link b_c.md"]),
        ("[a](b(c).md)", ["link b(c).md"]),
        ("[a][b] [c] [d][]\n\n[b]: e.md\n[c]: <f g.md> 'x'\n[D]:\n  h.md\n",
         ["link e.md", "link f g.md", "link h.md"]),
        ("> [a]\n>\n> [a]: b.md", ["link b.md"]),
        ("[a]: b.md\n[a]: c.md\n", ["link b.md", "link c.md"]),
        ("<https://a.example/x>", ["link https://a.example/x"]),
        ("<maria@example.com>", []),
        ('<a href="b.md">x</a> <img src=c.png> <A HREF=\'d&amp;e\'>', [
            "link b.md", "image c.png", "link d&e"]),
        ('<div>\n<a href="b.md">x</a>\n</div>', ["link b.md"]),
        ("| a | b |\n|---|---|\n| [x](y.md) | [x](y.md) `a\\|b` [z](z.md) |",
         ["link y.md", "link y.md", "link z.md"]),
        ("- a\n\n\t- [b](c.md)\n\t  [d](e.md)", ["link c.md", "link e.md"]),
        ("# [a](b.md) #", ["link b.md"]),
        ("[a](b.md)\n===", ["link b.md"]),
        ("x[^1]\n\n[^1]: See [a](b.md).", ["link b.md"]),
        ("> [!NOTE]\n> [a](b.md)", ["link b.md"]),
        ("> [!NOTE] [a](b.md)", ["link b.md"]),
        ("**[a](b.md)**", ["link b.md"]),
        # Not links.
        ("`[a](b.md)`", []),
        ("```\n[a](b.md)\n![a](b.png)\n```", []),
        ("    [a](b.md)", []),
        ("\\[a](b.md)", []),
        ("[a] (b.md)", []),
        ("<!-- [a](b.md) <img src=c.png> -->", []),
        ("x <!-- <a href='b.md'> --> y", []),
        ("<pre>\n&lt;a href='b.md'>\n</pre>", []),
        ("<script>'<a href=\"b.md\">'</script>", []),
        ("<code>`[a](b.md)`</code>", []),
    ],
)  # fmt: skip
def test_links_found(body, expected):
    links = find_links(body)
    assert [f"{link.kind} {link.address}" for link in links] == expected
    for link in links:
        assert body.count("\n", 0, link.start) + 1 == link.line
        assert re.sub(r"[\\<>\"']|amp;", "", body[link.start : link.end]) == link.address.replace(
            "\\", ""
        )


def test_the_same_link_in_code_and_beside_it():
    body = "`[a](b.md)` [a](b.md) `[a](b.md)`"
    (link,) = find_links(body)
    assert link.start == body.index("b.md", 12)


PIECES = st.sampled_from(
    ["[a](x.md)", "![a](x.png)", "[a]", "[a]: x.md", "<a href=x.md>", "<img src='x.png'>", "`",
     "```", "> ", "- ", "1. ", "    ", "\t", "|", "|-|", "\n", "\n\n", "# ", "*", "[", "](", ")",
     "<!--", "-->", "<div>", "</div>", "\\", "text", "&", "[^1]", "[^1]: ", "{.x}", "\r"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=25).map("".join))
def test_links_are_where_they_are_said_to_be(body):
    body = body.replace("\r", "\n")
    end = 0
    for link in find_links(body):
        assert link.start >= end
        end = link.end
        if link.address in ("x.md", "x.png"):
            assert body[link.start : link.end].strip("<>'\"") == link.address


@given(st.lists(PIECES, max_size=25).map("".join))
def test_rewriting_changes_addresses_and_nothing_else(tmp_path_factory, body):
    article = article_with(tmp_path_factory, body)
    names = {PurePosixPath("c/s", name): "/new" for name in ("x.md", "x.png")}
    new, _ = rewrite(article, names.get, {})
    html = render(article.body, "markdown")
    assert render(new, "markdown") == re.sub(r'(href|src)="x\.(md|png)"', r'\1="/new"', html)


def article_with(tmp_path_factory, body):
    folder = tmp_path_factory.mktemp("tree")
    (folder / "c/s").mkdir(parents=True)
    (folder / "c/s/a.md").write_text(f"---\ntitle: T\n---\n.\n\n{body}")
    return only_article(folder)


def rewritten(write, body, addresses=None, ids=None):
    """The body after rewriting, and what is reported; files unknown to `addresses` do not exist."""
    article = only_article(write({"c/s/a.md": f"---\ntitle: T\n---\n{body}"}))
    known = {PurePosixPath(path): address for path, address in (addresses or {}).items()}
    paths = {number: PurePosixPath(path) for number, path in (ids or {}).items()}
    new, unresolved = rewrite(article, known.get, paths, [HOST])
    return new, list(map(str, unresolved))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("[x](b.md)", "[x](/b)"),
        ("[x](b)", "[x](/b)"),
        ("[x](./b.md?a=1#c)", "[x](/b?a=1#c)"),
        ("[x](../s/b.md)", "[x](/b)"),
        ("[x](%62.md)", "[x](/b)"),
        ("[x](<b.md> 'title')", "[x](/b 'title')"),
        ("[x]: b.md 'title'\n\n[x]", "[x]: /b 'title'\n\n[x]"),
        ("<a href=b.md>x</a>", '<a href="/b">x</a>'),
        ("![x](i.png)", "![x](</i%20(1).png>)"),
        ("<img src='i.png'>", '<img src="/i (1).png">'),
        ("[x](..)", "[x](/section)"),
        (f"[x](https://{HOST}/hc/en-us/articles/7-old#c)", "[x](/b#c)"),
        (f"[x](HTTP://{HOST.upper()}/hc/articles/7)", "[x](/b)"),
        ("[x](/hc/en-us/articles/7-old)", "[x](/b)"),
        (f"<https://{HOST}/hc/en-us/articles/7-a_b_c>",
         f"[https://{HOST}/hc/en-us/articles/7-a\\_b\\_c](</b>)"),
    ],
)  # fmt: skip
def test_rewritten(write, body, expected):
    addresses = {"c/s/b.md": "/b", "c/s/i.png": "/i (1).png", "c": "/section"}
    assert rewritten(write, body, addresses, {7: "c/s/b.md"}) == (expected, [])


@pytest.mark.parametrize(
    "body",
    [
        "[x](https://example.com/b.md)",
        "[x](//example.com/b.md)",
        "[x](/b.md)",
        "[x](#b)",
        "[x](?b)",
        "[x]()",
        "[x](mailto:a@b.example)",
        "[x](c:/b.md)",
        "[x](http://[b)",
        f"[x](https://{HOST}/hc/en-us/articles/8)",
        f"[x](https://{HOST}/hc/en-us/articles/7/comments/1)",
        f"[x](https://{HOST}/hc/en-us/sections/7)",
        f"[x](https://{HOST}.evil.example/hc/en-us/articles/7)",
        "[x](https://example.com/hc/en-us/articles/7)",
        "`[x](b.md)`",
    ],
)
def test_left_alone(write, body):
    assert rewritten(write, body, {"c/s/b.md": "/b"}, {7: "c/s/b.md"}) == (body, [])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("[x](gone.md)", "4: 'gone.md' leads to no file here; the link stays as it is."),
        ("x\n\n![x](gone.png)", "6: 'gone.png' leads to no file here; the link stays as it is."),
        ("[x](../../../etc/passwd)",
         "4: '../../../etc/passwd' leads out of the folder; the link stays as it is."),
        ("[x](%2e%2e/%2e%2e/%2e%2e/x)",
         "4: '%2e%2e/%2e%2e/%2e%2e/x' leads out of the folder; the link stays as it is."),
        ("[x](img\\b.md)", "4: 'img\\\\b.md' has a backslash; write it with '/'."),
        ("[x](.)", "4: '.' leads to no file here; the link stays as it is."),
    ],
)  # fmt: skip
def test_links_that_lead_nowhere(write, body, message):
    assert rewritten(write, body) == (body, [f"c/s/a.md:{message}"])


def test_the_corpus_has_no_dead_links(corpus):
    places = {a.path: f"/hc/en-us/articles/{a.source_id or 9}" for a in corpus.articles()}
    places |= {file: f"/hc/f/{file.name}" for a in corpus.articles() for file in a.files}
    for article in corpus.articles():
        body, unresolved = rewrite(article, places.get, corpus.paths_by_id(), [HOST])
        assert unresolved == []
        left = {link.address for link in find_links(body) if not link.address.startswith("/hc/")}
        assert left == set()
        html = render(body, "markdown")
        assert ".md" not in re.sub(r"<code.*?</code>", "", html, flags=re.S)
    reset = next(a for a in corpus.articles() if a.source_id == 1002)
    body, _ = rewrite(reset, places.get, corpus.paths_by_id(), [HOST])
    assert "(/hc/en-us/articles/1001#password)" in body
    assert "# see [the manual](Set up your router.md)" in body


# The real thing -----------------------------------------------------------------------------------


@pytest.mark.corpus
def test_the_real_corpus():
    default = ROOT.parent / "shared/content/arduino"
    folder = Path(os.environ.get("HELP_CENTER_CORPUS", default))
    if not folder.is_dir():
        pytest.skip(f"there are no articles in {folder}; see HELP_CENTER_CORPUS")
    tree = read_tree(folder)
    articles = list(tree.articles())
    assert len(articles) == len(tree.paths_by_id()) == 414
    assert sum(article.draft for article in articles) == 4
    assert (len(tree.categories), len(list(tree.sections()))) == (7, 44)
    assert {skip.reason for skip in tree.skipped} == {
        "no article shows this image",
        "not Markdown, and no article links to it",
    }
    for article in articles:
        html = render(article.body, "markdown")
        assert render(html, "html") == html
