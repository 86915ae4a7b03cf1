"""The crawl against what Python itself says (pydoc, inspect, importlib.metadata), then on an install made for the test."""

import ast
import gc
import importlib.metadata
import inspect
import json
import os
import pydoc_data.topics
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lablib.corpus import crawl_files
from lablib.corpus.crawl import PARTS, QUICK, Places, Report, authors, crawl, places
from lablib.corpus.crawl_docstrings import File, docstrings, parse, python_files, read_docstrings, source_text
from lablib.corpus.crawl_metadata import licence_name, package_authors, parse_metadata
from lablib.corpus.crawl_report import Problem, decode, whole

LOUD = 'from pathlib import Path\n"not the first"\nPath(r"{flag}").write_text("ran")\nraise SystemExit("imported")\n'


@pytest.fixture
def install(tmp_path):
    """A small install: a standard library with good and bad files, and two packages, of which everything shouts when it is run."""
    flag = tmp_path / "it_ran"
    stdlib, site = tmp_path / "lib", tmp_path / "site"
    loud = LOUD.format(flag=flag)
    files = {
        "lib/os.py": '"""Talks to the system."""\n' + loud,
        "lib/pydoc_data/topics.py": '# made\ntopics = {"while": "Loops.\\n", "if": "Chooses.\\n"}\n' + loud,
        "lib/LICENSE.txt": "PYTHON LICENCE\n",
        "lib/two.py": "print 'Python 2'\n",
        "lib/deep.py": "x = " + "(" * 5_000 + ")" * 5_000,
        "lib/null.py": "'''Doc'''\0\n",
        "lib/long_line.py": f'"""Long."""\nx = "{"a" * 1_000_000}"\n',
        "lib/test/test_os.py": '"""A test."""\n',
        "lib/site-packages/inner.py": '"""Belongs to another part."""\n',
        "site/cat/__init__.py": '"""A cat."""\n' + loud + 'class Cat:\n    """Purrs."""\n',
        "site/cat/half.py": '"""Half \\ud800 a pair."""\n',
        "site/cat/tests/test_cat.py": '"""A test."""\n',
        "site/stray.py": 'def f():\n    """Belongs to nobody."""\n',
        "site/cat-2.dist-info/METADATA": "Metadata-Version: 2.4\nName: cat\nVersion: 2\nLicense-Expression: MIT\n"
        'Author-email: "Ann B." <ann@cat.example>, bo@cat.example\nMaintainer-email: Al <al@cat.example>\n\n# Cat\n\nA cat.\n',
        "site/cat-2.dist-info/RECORD": "cat/__init__.py,,\ncat/half.py,,\n",
        "site/cat-2.dist-info/licenses/LICENSE": "Do as you like.\n",
        "site/cat-2.dist-info/licenses/parts/a.txt": "A part's licence.\n",
        "site/cat-2.dist-info/entry_points.txt": "[x]\n",
        "site/dog-1.egg-info/PKG-INFO": "Name: dog\nVersion: 1\nLicense: UNKNOWN\nDescription: A dog.\n        \n        Barks.\n",
        "site/empty-1.dist-info/RECORD": "",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    (stdlib / "old.py").write_bytes(b'# -*- coding: latin-1 -*-\n"""Caf\xe9."""\n')
    (stdlib / "broken.py").write_bytes(b'"""One\nCaf\xe9."""\n')
    (stdlib / "unknown.py").write_bytes(b'# coding: klingon\n"""Qapla."""\n')
    (stdlib / "rot.py").write_bytes(b'# coding: rot13\n"""Plain."""\n')
    (stdlib / "dangling.py").symlink_to(tmp_path / "nowhere.py")
    (stdlib / "round").mkdir()
    (stdlib / "round" / "again").symlink_to(stdlib / "round", target_is_directory=True)
    os.mkfifo(stdlib / "pipe.py")
    return Places(stdlib, (site,)), flag


def texts(where, what=PARTS, **options):
    report = Report()
    return {document.id: document.text for document in crawl(what, where=where, report=report, **options)}, report


def problems(report, trouble):
    return {Path(problem.name).name: problem.reason for problem in report.problems if problem.trouble == trouble}


# ------------------------------------------------------------------ against what Python says itself


def test_the_language_reference_is_what_help_shows():
    found = {document.id: document.text for document in crawl("language reference")}
    assert found == {f"pydoc/{name}": text for name, text in pydoc_data.topics.topics.items()}


@pytest.mark.parametrize("module", [json, ast, inspect, sys.modules["argparse"], sys.modules["json.decoder"]])
def test_docstrings_are_those_that_inspect_gives(module):
    path = Path(module.__file__)
    found = dict(read_docstrings(File(str(path.parent), path.name)).docstrings)
    assert found.pop("") == inspect.getdoc(module)
    compared = 0
    for name, text in found.items():
        value = module
        try:
            for part in name.split("."):
                value = inspect.getattr_static(value, part)
        except AttributeError:
            continue  # deleted at the module's end, or inside a function
        value = getattr(value, "__func__", value)
        if isinstance(value.__doc__, str):
            assert inspect.cleandoc(value.__doc__) == text, name
            compared += 1
    assert compared >= min(len(found), 2)
    assert compared > 0.7 * len(found)


def test_readmes_and_addresses_are_those_of_importlib_metadata():
    found = {document.id: document for document in crawl(("metadata", "readmes"))}
    named = {(author.document, author.email) for author in authors()}
    compared = 0
    for distribution in importlib.metadata.distributions(path=[str(folder) for folder in places().sites]):
        key = f"{distribution.metadata['Name']}-{distribution.version}"
        readme = (distribution.metadata.get_payload() or distribution.metadata["Description"] or "").strip("\n")
        if readme.strip() not in ("", "UNKNOWN"):  # which old setuptools writes where there is none
            assert found[f"readme/{key}"].text.strip() == readme.strip(), key
            compared += 1
    assert compared > 50
    assert len(named) > 50
    for document, email in named:
        assert email in found[document].text


def test_this_install_holds_four_megabytes_without_the_packages_docstrings():
    report = Report()
    ids = [document.id for document in crawl(QUICK, report=report)]
    assert report.total.bytes >= 4_000_000
    assert set(report.parts) == set(QUICK)
    assert len(ids) == len(set(ids)) == report.total.documents


# ------------------------------------------------------------------ an install made for the test


def test_nothing_that_is_read_is_imported_or_run(install):
    where, flag = install
    before = set(sys.modules)
    found, _ = texts(where, tests=True)
    assert found["package/cat/__init__"] == "A cat."
    assert found["package/cat/__init__:Cat"] == "Purrs."
    assert not flag.exists()
    assert {name for name in set(sys.modules) - before if not name.startswith("encodings")} == set()


def test_the_same_text_would_have_run_if_it_were_imported(install):
    where, flag = install
    done = subprocess.run(
        [sys.executable, "-c", "import cat"], cwd=where.sites[0], capture_output=True, text=True, check=False
    )
    assert "imported" in done.stderr
    assert flag.read_text() == "ran"


def test_all_that_can_be_read_is_there_and_all_else_is_named(install):
    found, report = texts(install[0])
    assert found == {
        "pydoc/if": "Chooses.\n",
        "pydoc/while": "Loops.\n",
        "stdlib/broken": "One\nCaf\ufffd.",
        "stdlib/long_line": "Long.",
        "stdlib/old": "Café.",
        "stdlib/os": "Talks to the system.",
        "stdlib/rot": "Plain.",
        "stdlib/unknown": "Qapla.",
        "metadata/cat-2": "Metadata-Version: 2.4\nName: cat\nVersion: 2\nLicense-Expression: MIT\n"
        'Author-email: "Ann B." <ann@cat.example>, bo@cat.example\nMaintainer-email: Al <al@cat.example>',
        "metadata/dog-1": "Name: dog\nVersion: 1\nLicense: UNKNOWN\nDescription: A dog.\n        \n        Barks.",
        "readme/cat-2": "# Cat\n\nA cat.",
        "readme/dog-1": "A dog.\n\nBarks.",
        "licence/python/LICENSE.txt": "PYTHON LICENCE\n",
        "licence/cat-2/licenses/LICENSE": "Do as you like.\n",
        "licence/cat-2/licenses/parts/a.txt": "A part's licence.\n",
        "package/cat/__init__": "A cat.",
        "package/cat/__init__:Cat": "Purrs.",
        "package/cat/half": "Half \ufffd a pair.",
        "package/stray:f": "Belongs to nobody.",
    }
    assert set(problems(report, "unreadable")) == {"dangling.py", "pipe.py"}
    unparsable = problems(report, "unparsable")
    assert set(unparsable) == {"two.py", "deep.py", "null.py"}
    assert "line 1" in unparsable["two.py"]
    assert "null" in unparsable["null.py"]
    mis_encoded = problems(report, "mis-encoded")
    assert set(mis_encoded) == {"broken.py", "unknown.py", "rot.py", "half.py:"}
    assert "0xe9 at offset 10" in mis_encoded["broken.py"]
    assert "klingon" in mis_encoded["unknown.py"]
    assert "rot13" in mis_encoded["rot.py"]
    assert set(problems(report, "missing")) == {"empty-1.dist-info"}
    assert set(problems(report, "left out")) == {"test", "tests"}


def test_sources_and_licences(install):
    documents = {document.id: document for document in crawl(PARTS, where=install[0])}
    said = {id: (document.source, document.licence, document.kind) for id, document in documents.items()}
    assert said["pydoc/if"] == ("language reference", "PSF-2.0", "reference")
    assert said["stdlib/os"] == ("standard library", "PSF-2.0", "docstring")
    assert said["readme/cat-2"] == ("cat", "MIT", "readme")
    assert said["readme/dog-1"] == ("dog", "unknown", "readme")
    assert said["licence/cat-2/licenses/LICENSE"] == ("cat", "MIT", "licence")
    assert said["package/cat/__init__:Cat"] == ("cat", "MIT", "docstring")
    assert said["package/stray:f"] == ("stray.py", "unknown", "docstring")


def test_the_report_counts_what_was_yielded(install):
    report = Report()
    taken = list(crawl(PARTS, where=install[0], report=report))
    assert report.total.documents == len(taken)
    assert report.total.characters == sum(len(document.text) for document in taken)
    assert report.total.bytes == sum(len(document.text.encode()) for document in taken)
    assert report.parts["standard library"].documents == 6
    assert "unparsable: 3" in str(report)
    assert "standard library" in str(report)


def test_two_runs_and_two_processes_give_the_same_in_the_same_order(install):
    runs = [list(texts(install[0], processes=processes)[0].items()) for processes in (1, 1, 2)]
    assert runs[0] == runs[1] == runs[2]


def test_a_crawl_streams(install):
    report = Report()
    next(crawl(PARTS, where=install[0], report=report))
    assert report.total.documents == 1
    assert report.problems == []


def test_only_some_packages_and_tests_on_request(install):
    found, report = texts(install[0], ("readmes", "packages"), only={"Cat"})
    assert set(found) == {"readme/cat-2", "package/cat/__init__", "package/cat/__init__:Cat", "package/cat/half"}
    with_tests, report = texts(install[0], "standard library", tests=True)
    assert with_tests["stdlib/test/test_os"] == "A test."
    assert problems(report, "left out") == {}


def test_authors_are_those_in_the_fields(install):
    assert [(author.email, author.name, author.role, author.document) for author in authors(install[0])] == [
        ("ann@cat.example", "Ann B.", "author", "metadata/cat-2"),
        ("bo@cat.example", "", "author", "metadata/cat-2"),
        ("al@cat.example", "Al", "maintainer", "metadata/cat-2"),
    ]


def test_an_install_that_left_things_out_says_so(tmp_path):
    (tmp_path / "os.py").write_text("")
    found, report = texts(Places(tmp_path, ()))
    assert found == {}
    assert set(problems(report, "missing")) == {"topics.py", "LICENSE.txt", "packages"}
    found, report = texts(Places(None, ()), "language reference")
    assert found == {}
    assert "compiled only" in problems(report, "missing")["standard library"]


def test_a_language_reference_that_is_no_dictionary_of_texts_is_named(tmp_path):
    topics = tmp_path / "pydoc_data" / "topics.py"
    topics.parent.mkdir()
    for wrong in ("topics = make()", "1 + 1", "topics = ["):
        topics.write_text(wrong)
        found, report = texts(Places(tmp_path, ()), "language reference")
        assert found == {}
        assert set(problems(report, "unparsable")) == {"topics.py"}, wrong


def test_a_standard_library_in_a_zip_file_is_read_the_same(install, tmp_path):
    where = install[0]
    names = [file for file in sorted(where.stdlib.rglob("*.py")) if file.is_file() and "again" not in file.parts]
    with zipfile.ZipFile(tmp_path / "python.zip", "w") as archive:
        for file in names:
            if "site-packages" not in file.parts:
                archive.write(file, file.relative_to(where.stdlib).as_posix())
    zipped, _ = texts(Places(tmp_path / "python.zip", ()), ("language reference", "standard library"))
    unzipped, _ = texts(where, ("language reference", "standard library"))
    assert zipped == unzipped
    assert len(zipped) == 8


def test_a_second_folder_with_the_same_package_is_left_out_and_named(install, tmp_path):
    where, _ = install
    shutil.copytree(where.sites[0], tmp_path / "second")
    found, report = texts(Places(where.stdlib, (where.sites[0], tmp_path / "second")))
    assert "package/cat/__init__" in found
    assert problems(report, "left out")["cat-2.dist-info"] == "the same package and version as in a folder before it"
    assert problems(report, "left out")["stray.py"] == "a folder before it has a file of this name"


def test_metadata_in_another_encoding_is_read_and_named(tmp_path):
    folder = tmp_path / "emu-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_bytes(b"Name: emu\nVersion: 1\n\nCaf\xe9")
    (folder / "LICENSE").write_bytes(b"\xa9 2020")
    found, report = texts(Places(None, (tmp_path,)), ("readmes", "licences"))
    assert found == {"readme/emu-1": "Caf\ufffd", "licence/emu-1/LICENSE": "\ufffd 2020"}
    assert set(problems(report, "mis-encoded")) == {"METADATA", "LICENSE"}


# ------------------------------------------------------------------ an install that was made to be nasty


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def test_links_are_followed_inside_the_folder_and_never_out_of_it(site, tmp_path):
    put(tmp_path / "home" / "a.py", '"""Private."""\n')
    put(tmp_path / "home" / "passwords", "root\n")
    put(site / "pkg" / "real.py", '"""Public."""\n')
    (site / "outer").symlink_to(tmp_path / "home", target_is_directory=True)
    (site / "outer.py").symlink_to(tmp_path / "home" / "a.py")
    (site / "inner.py").symlink_to(site / "pkg" / "real.py")
    put(site / "cat-2.dist-info" / "METADATA", "Name: cat\nVersion: 2\n")
    (site / "cat-2.dist-info" / "LICENSE").symlink_to(tmp_path / "home" / "passwords")
    put(tmp_path / "home" / "dog" / "METADATA", "Name: dog\nVersion: 1\n\nPrivate.")
    (site / "dog-1.dist-info").symlink_to(tmp_path / "home" / "dog", target_is_directory=True)
    put(site / "emu-1.dist-info" / "x", "")
    (site / "emu-1.dist-info" / "METADATA").symlink_to(tmp_path / "home" / "dog" / "METADATA")
    found, report = texts(Places(None, (site,)))
    assert found == {
        "metadata/cat-2": "Name: cat\nVersion: 2",
        "package/inner": "Public.",
        "package/pkg/real": "Public.",
    }
    assert set(problems(report, "unreadable")) == {"outer.py", "LICENSE", "METADATA"}
    assert set(problems(report, "unreadable").values()) == {"a link that leads out of the folder"}
    assert problems(report, "left out") == dict.fromkeys(
        ("dog-1.dist-info", "outer"), "a link that leads out of the folder"
    )


def test_a_site_that_is_itself_a_link_is_read(site, tmp_path):
    put(site / "a.py", '"""Here."""\n')
    (tmp_path / "link").symlink_to(site, target_is_directory=True)
    assert texts(Places(None, (tmp_path / "link",)), "packages")[0] == {"package/a": "Here."}


def test_eggs_as_folders_are_read_and_as_zip_files_are_named(site):
    put(site / "dir-1.egg" / "EGG-INFO" / "PKG-INFO", "Name: dir\nVersion: 1\nLicense: MIT\n\nRead me.")
    put(site / "dir-1.egg" / "dir.py", '"""An egg."""\n')
    with zipfile.ZipFile(site / "zip-1.egg", "w") as archive:
        archive.writestr("zip.py", '"""Inside."""\n')
    report = Report()
    documents = {document.id: document for document in crawl(PARTS, where=Places(None, (site,)), report=report)}
    assert set(documents) == {"metadata/dir-1", "readme/dir-1", "package/dir-1.egg/dir"}
    assert (documents["package/dir-1.egg/dir"].source, documents["package/dir-1.egg/dir"].licence) == ("dir", "MIT")
    assert problems(report, "left out") == {"zip-1.egg": "an egg that is a zip file"}


def test_giants_are_named_and_the_rest_is_read(site):
    put(site / "big.py", '"""Big."""\n' + "x = 1\n" * 1_700_000)
    put(site / "cat-2.dist-info" / "METADATA", "Name: cat\nVersion: 2\n")
    put(site / "cat-2.dist-info" / "LICENSE", "words " * 1_700_000)
    put(site / "small.py", '"""Small."""\n')
    found, report = texts(Places(None, (site,)))
    assert set(found) == {"metadata/cat-2", "package/small"}
    assert set(problems(report, "unreadable")) == {"big.py", "LICENSE"}
    assert "10,200,000 bytes: more than the 5,000,000" in problems(report, "unreadable")["LICENSE"]


def test_broken_metadata_costs_only_itself(site):
    put(site / "cat.py", '"""A cat."""\n')
    put(site / "cat-2.dist-info" / "METADATA", b"\0\xff\0: :\nName: two words\n\n")
    put(site / "cat-2.dist-info" / "RECORD", '"' + "x" * 200_000 + "\n")  # longer than a field of a table may be
    put(site / "dog-1.dist-info" / "METADATA", "")
    put(site / "dog-1.dist-info" / "RECORD", b'\0\0,\xff\r\r\n"')
    put(site / "emu-1.dist-info" / "METADATA" / "folder", "")
    os.mkfifo(site / "fox-1.egg-info")
    (site / "gnu-1.dist-info").symlink_to(site / "gnu-1.dist-info")
    (site / "ibex").symlink_to(site / "ibex")
    found, report = texts(Places(None, (site,)))
    assert found["package/cat"] == "A cat."
    assert set(found) == {"metadata/cat-2", "package/cat"}
    assert set(problems(report, "missing")) >= {"emu-1.dist-info", "fox-1.egg-info", "gnu-1.dist-info"}
    assert set(problems(report, "mis-encoded")) == {"METADATA"}


def test_a_broken_zip_file_as_standard_library_is_named(site, tmp_path):
    put(tmp_path / "python.zip", "PK, but no more")
    found, report = texts(Places(tmp_path / "python.zip", (site,)))
    assert found == {}
    assert set(problems(report, "unreadable")) == {"python.zip"}


def test_names_that_are_no_utf_8_can_be_written(site):
    folder = os.fsencode(site) + b"/p\xff"
    os.makedirs(folder)
    Path(os.fsdecode(folder), "a.py").write_text('"""Named oddly."""\n')
    (document,) = crawl("packages", where=Places(None, (site,)))
    assert (document.id, document.source) == ("package/p\ufffd/a", "p\ufffd")


def test_what_is_no_address_is_no_authors_address():
    found = parse_metadata(
        'Name: a\nVersion: 1\nAuthor-email: "open <a@b, ,@ <<>> <x@y.example>\nMaintainer-email: a b@c', Path("a")
    )
    assert list(package_authors(found)) == []


# ------------------------------------------------------------------ the pieces


def test_names_of_nested_and_repeated_definitions():
    source = '''
"""Module."""
if x:
    def f(): "first"
elif y:
    def f(): "second"
else:
    class A:
        "a"
        @property
        def p(self): "get"
        @p.setter
        def p(self, v): "set"
        async def q(self):
            def inner(): "inner"
try:
    def g(): "g"
except E:
    def h(): "h"
finally:
    def i(): "i"
match z:
    case 1:
        def j(): "j"
def k(): f"no docstring"
def l(): b"nor this"
def m(): ""
'''
    assert list(docstrings(parse(source))) == [
        ("", "Module."),
        ("f", "first"),
        ("f~2", "second"),
        ("A", "a"),
        ("A.p", "get"),
        ("A.p~2", "set"),
        ("A.q.inner", "inner"),
        ("g", "g"),
        ("i", "i"),
        ("h", "h"),
        ("j", "j"),
    ]


def test_a_thousand_branches_are_no_recursion():
    source = "if x: pass\n" + "elif x: pass\n" * 900 + 'else:\n def f(): "end"\n'
    assert list(docstrings(parse(source))) == [("f", "end")]


def test_parse_leaves_the_collector_as_it_was_and_prints_no_warning(recwarn):
    for enabled in (True, False):
        gc.enable() if enabled else gc.disable()
        parse(r"x = '\d'")
        with pytest.raises(ValueError, match="line 1"):
            parse("def")
        assert gc.isenabled() is enabled
    gc.enable()
    assert len(recwarn) == 0


def test_a_file_that_is_too_large_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(crawl_files, "LARGEST", 10)
    (tmp_path / "a.py").write_text('"""Eleven and more."""')
    (found,) = [read_docstrings(file) for file in python_files(tmp_path)]
    assert found.docstrings == []
    assert found.problems[0].trouble == "unreadable"
    assert "more than the 10" in found.problems[0].reason


def test_a_file_that_vanishes_while_the_crawl_runs_is_named(tmp_path):
    found = read_docstrings(File(str(tmp_path), "gone.py"))
    assert found.problems == [
        Problem("unreadable", str(tmp_path / "gone.py"), "not a regular file, or a link to nothing")
    ]


def _decoding_error(data):
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return error
    return None


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200) | st.binary(max_size=20).map(b"\xef\xbb\xbf".__add__))
@example(b"\xef\xbb\xbfab\xff")
def test_any_bytes_are_decoded_to_writable_text_and_said_to_be_wrong_exactly_when_they_are(data):
    text, wrong = decode(data)
    text.encode()
    if not data.startswith((b"\xff\xfe", b"\xfe\xff")):
        broken = next((error.start for error in [_decoding_error(data)] if error), None)
        assert (wrong == "") if broken is None else (f"at offset {broken} " in wrong)
    read, _ = source_text(data)
    assert isinstance(read, str)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_as_a_python_file_never_raise(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("any", numbered=True)
    (folder / "a.py").write_bytes(data)
    found = read_docstrings(File(str(folder), "a.py"))
    for _, text in found.docstrings:
        text.encode()


@given(st.text(st.characters(), max_size=40), st.integers(0xD800, 0xDFFF))
def test_whole_changes_only_what_cannot_be_written(text, surrogate):
    clean = "".join(character for character in text if not 0xD800 <= ord(character) <= 0xDFFF)
    assert whole(clean) == (clean, "")
    repaired, wrong = whole(clean + chr(surrogate))
    assert repaired == clean + "\ufffd"
    assert f"character {len(clean)}:" in wrong
    assert whole(text)[0] == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfabc", "abc"),
        ("né".encode("utf-16"), "né"),
        (b"a\rb\r\nc\n", "a\nb\nc\n"),
        (b"a\0b", "a\0b"),
        (b"", ""),
    ],
)
def test_marks_and_line_ends(data, text):
    assert decode(data) == (text, "")


@pytest.mark.parametrize(
    ("fields", "licence"),
    [
        ([("License-Expression", "MIT OR Apache-2.0"), ("License", "other")], "MIT OR Apache-2.0"),
        (
            [
                ("License", "Copyright (c) 2020 A.\nAll rights"),
                ("Classifier", "License :: OSI Approved :: BSD License"),
            ],
            "BSD License",
        ),
        ([("License", "BSD")], "BSD"),
        ([("Classifier", "License :: A"), ("Classifier", "License :: B"), ("Classifier", "License :: A")], "A and B"),
        ([("Classifier", "Programming Language :: Python")], "unknown"),
        ([], "unknown"),
    ],
)
def test_the_licence_by_the_field_that_speaks_of_it(fields, licence):
    assert licence_name(fields) == licence


def test_a_readme_in_a_header_loses_its_bars():
    found = parse_metadata(
        "Name: owl\nVersion: 3\nDescription: First\n       |\n       |  Second\n", Path("owl-3.egg-info")
    )
    assert found.readme == "First\n\n  Second"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"what": "docs"}, r"what = 'docs': expected one or several of 'language reference'"),
        ({"what": ("readmes", "web")}, "what = 'web'"),
        ({"processes": 0}, "processes = 0: expected at least 1"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_read(options, message):
    with pytest.raises(ValueError, match=message):
        crawl(**options)
