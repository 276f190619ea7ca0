"""The site. Here, in every run: the examples on its pages, and that nothing public is left out.

With `make docs-check` (the marker `docs`): the whole build, planted faults that must fail it, and every page read in
Chromium.
"""

import ast
import doctest
import html
import importlib
import importlib.resources
import inspect
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from pkgutil import resolve_name
from threading import Thread
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin
from zipfile import ZipFile

import numpy as np
import pytest
from numpydoc.docscrape import NumpyDocString

import cbam_np
import cbam_np.ops
from cbam_np.course import measured

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md")) + sorted((ROOT / "docs" / "reference").glob("*.md"))
EXAMPLE = re.compile(r"^```pycon\n(.*?)^```$", re.DOTALL | re.MULTILINE)
MODULES = (
    "arrays",
    "inputs",
    "reference.operations",
    "reference.cost",
    "reference.formulas",
    "checking.thorough",
    "reference.loops",
    "reference.loops_nets",
    "pytorch",
    "nets",
)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name_of(page: Path) -> str:
    return page.relative_to(ROOT / "docs").as_posix()


def examples(page: Path) -> str:
    return "\n".join(EXAMPLE.findall(text_of(page)))


# --- examples -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=name_of)
def test_the_examples_of_a_page_give_what_it_says(page: Path) -> None:
    failed, attempted = run_examples(examples(page), page.name)
    assert attempted > 0
    assert failed == 0


def run_examples(source: str, name: str) -> tuple[int, int]:
    test = doctest.DocTestParser().get_doctest(source, {}, name, name, 0)
    result = doctest.DocTestRunner().run(test)
    return result.failed, result.attempted


def test_a_wrong_example_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_examples(">>> 1 + 1\n3\n", "wrong") == (1, 1)


def public_names() -> Iterator[str]:
    for module in (cbam_np, cbam_np.ops):
        yield from (f"{module.__name__}.{name}" for name in module.__all__)
    for name in MODULES:
        module = importlib.import_module(f"cbam_np.{name}")
        for public in getattr(module, "__all__", vars(module)):
            found = getattr(module, public)
            code = inspect.isfunction(found) or inspect.isclass(found)
            mine = code and (hasattr(module, "__all__") or found.__module__ == module.__name__)
            exported = public in cbam_np.__all__ and name != "pytorch"
            if mine and not public.startswith("_") and not exported:
                yield f"{module.__name__}.{public}"


@pytest.mark.parametrize("name", list(public_names()))
def test_every_public_name_is_in_the_reference_with_an_example(name: str) -> None:
    module, short = name.rsplit(".", 1)
    named = re.compile(rf"^\.\. auto(function|class):: {re.escape(name)}$", re.MULTILINE)
    of_module = re.compile(rf"^\.\. automodule:: {re.escape(module)}\n +:members:( .*\b{short}\b.*)?$", re.MULTILINE)
    pages = [page for page in PAGES if named.search(text_of(page)) or of_module.search(text_of(page))]
    assert len(pages) == 1
    assert re.search(rf"\b{short}\b", examples(pages[0]))


# --- tables of arguments ----------------------------------------------------------------------------------------------


def documented() -> Iterator[str]:
    """What the pages of the reference show: all that is public, the rest that they name, and the methods of classes."""
    named = re.findall(r"^\.\. auto(?:function|class):: (\S+)$", "\n".join(map(text_of, PAGES)), flags=re.MULTILINE)
    for name in dict.fromkeys([*public_names(), *named]):
        yield name
        found = resolve_name(name)
        if inspect.isclass(found):
            yield from (
                f"{name}.{short}" for short, f in vars(found).items() if inspect.isfunction(f) and short[0] != "_"
            )


def signature_of(found: Any) -> list[str]:
    """The names of the arguments, as a docstring writes them."""
    stars = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
    parameters = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    return [stars.get(p.kind.name, "") + p.name for p in parameters]


def table_of(docstring: str) -> list[tuple[str, str]]:
    """The names of the arguments in the docstring's table, and their types; one row may be about several."""
    rows = NumpyDocString(docstring)["Parameters"]
    return [(name, row.type) for row in rows for name in row.name.split(", ")]


def faults_in_table(found: Any) -> list[str]:
    rows = table_of(inspect.getdoc(found) or "")
    wrong = [] if [name for name, _ in rows] == signature_of(found) else [f"{signature_of(found)}, in the table {rows}"]
    array_without_shape = r"(floats|float32|float64|integers|tensors?)\b(?!.*(\(|shape))"
    return wrong + [
        f"{name} without type or shape" for name, kind in rows if not kind or re.match(array_without_shape, kind)
    ]


@pytest.mark.parametrize("name", list(documented()))
def test_the_table_of_arguments_has_every_argument_with_its_type(name: str) -> None:
    assert not faults_in_table(resolve_name(name))


def test_a_table_that_does_not_fit_is_noticed() -> None:
    def op(x: Any, *, scale: float) -> None:
        """What `tables` are put below."""

    tables = ["x : floats (N, C)\nscale : float", "x : floats (N, C)", "x : floats\nscale : float", "x\nscale : float"]
    tables += ["scale : float\nx : floats (N, C)", "x : floats (N, C)\nscale : float\nk : int"]
    faults = []
    for rows in tables:
        op.__doc__ = f"One line.\n\nParameters\n----------\n{rows}\n"
        faults.append(bool(faults_in_table(op)))
    assert faults == [False, True, True, True, True, True]


# --- formulas of docstrings -----------------------------------------------------------------------------------------

TYPESET = {
    "F^c_avg[n,c] = 1/(HW) Σ_{i,j} F[n,c,i,j]": r"F^c_{\text{avg}}[n,c] = \frac{1}{HW} \sum _{i,j} F[n,c,i,j]",
    "d_w1 = d_zᵀ x        d_b1 = Σ_n d_z": r"d_{w_{1}} = d_{z}^{\top} x \qquad d_{b_{1}} = \sum _n d_{z}",
    "d_x_padded[n, c] += d_out[n,c] / k²": r"d_{x_{\text{padded}}}[n, c] \mathrel{+}= d_{\text{out}}[n,c] / k^2",
    "x̂ = (x - μ) / √(v + ε)": r"\hat{x} = (x - μ) / \sqrt{v + ε}",
    "dF′ = d_out  if c = c*,  else 0": r"dF' = d_{\text{out}}\text{ if }c = c^*,\text{ else }0",
    "loss = - t log σ(z)": r"\text{loss} = - t \log  σ(z)",
    "a = max(x, 0)\nb    = pool's dF": r"\begin{aligned}a &= \max (x, 0)\\ b &= \text{pool's }dF\end{aligned}",
}


@pytest.mark.parametrize("text", TYPESET)
def test_a_formula_of_a_docstring_is_typeset(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    typeset = importlib.import_module("typeset")
    assert typeset.is_formula(text)
    assert typeset.latex(text) == TYPESET[text]


def test_code_and_tables_of_docstrings_are_not_taken_for_formulas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    typeset = importlib.import_module("typeset")
    assert not typeset.is_formula("logits = net(x)  # (N, channels, H, W)")
    assert not typeset.is_formula("a = b\nparameters     2·C·(C/r) + 2·k²")


# --- pages ----------------------------------------------------------------------------------------------------------


def test_every_picture_of_a_page_has_a_text_in_its_place() -> None:
    for page in PAGES:
        for options in re.findall(r"^```\{image\} .*\n((?::.*\n)*)", text_of(page), flags=re.MULTILINE):
            assert re.search(r"^:alt: \S", options, flags=re.MULTILINE), page


def test_the_picture_on_the_home_page_is_small() -> None:
    for colours in ("light", "dark"):
        assert (ROOT / "docs" / "images" / f"tour_{colours}.png").stat().st_size <= 150_000


def test_the_page_on_installing_has_every_extra() -> None:
    extras = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]["optional-dependencies"]
    cells = re.findall(
        r"^\| (`.*?`) \|", text_of(ROOT / "docs" / "install.md").split("| extra |")[1], flags=re.MULTILINE
    )
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(cells))) == sorted(extras)


def test_the_commands_that_a_page_names_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text_of(ROOT / "Makefile"), flags=re.MULTILINE))
    for page in PAGES:
        assert set(re.findall(r"`make ([a-z-]+)`", text_of(page))) <= targets, page


CHAPTERS = [path.stem for path in sorted((ROOT / "notebooks").glob("[0-9A][0-9]_*.py"))]


def test_every_chapter_is_listed_in_order() -> None:
    assert re.findall(r"\]\(notebooks/([\dA]\d_\w+)\.ipynb\)", text_of(ROOT / "README.md")) == CHAPTERS


@pytest.mark.parametrize("name", CHAPTERS)
def test_every_chapter_says_how_long_it_takes_and_what_you_build(name: str) -> None:
    rows = says(name)
    assert re.search(r"\b\d\d minutes", rows["Time"])
    assert rows["You build"]


def says(chapter: str) -> dict[str, str]:
    """The table at the beginning of a chapter."""
    text = text_of(ROOT / "notebooks" / f"{chapter}.py")
    return dict(re.findall(r"^\| \*\*(.+?)\*\* \| (.+) \|$", text, re.MULTILINE))


def test_old_pages_lead_to_chapters_that_exist() -> None:
    lines = re.search(r"^MOVED = (\{.*?^\})", text_of(ROOT / "docs" / "conf.py"), flags=re.DOTALL | re.MULTILINE)
    assert lines is not None
    moved = ast.literal_eval(lines[1])
    chapters = {path.stem for path in (ROOT / "notebooks").glob("[0-9A][0-9]_*.py")}
    assert set(moved.values()) <= chapters
    assert not set(moved) & chapters


def test_the_first_pages_say_that_no_gpu_has_run_it_until_one_has() -> None:
    has_run = (ROOT / "docs" / "gpu-results.json").exists()
    for page in (ROOT / "README.md", ROOT / "docs" / "index.md"):
        assert ("no GPU has run it yet" in " ".join(text_of(page).split())) != has_run, page


def test_the_report_in_the_readme_is_the_one_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    code, report = re.findall(
        r"```python\n(def swish.*?)```.*?```text\n(.*?)```", text_of(ROOT / "README.md"), flags=re.DOTALL
    )[0]
    exec(code, {"np": np, "cb": cbam_np})
    assert capsys.readouterr().out == report


@pytest.mark.parametrize("name", ["proof", "suite", "speed"])
def test_figures_say_when_and_where_they_were_measured(name: str) -> None:
    found = json.loads(text_of(ROOT / "docs" / "_generated" / f"{name}.json"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", found["machine"]["date"])
    assert {"processor", "cores", "load", "python", "numpy", "torch"} < found["machine"].keys()


def test_what_is_said_of_modules_in_the_wild_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    modules = json.loads(text_of(ROOT / "docs" / "_generated" / "wild.json"))["modules"]
    names = [{x["name"] for x in module["found"]} for module in modules]
    both = sum(bool(found & {"no max branch", "no max branch (the average twice)"}) for found in names)
    told = measured.told_of_the_wild("no max branch or no max branch (the average twice)")
    assert told == f"{both} of the {len(modules)} modules"
    with pytest.raises(ValueError, match="names: expected what some module differs in, got no maximum"):
        measured.told_of_the_wild("concat order or no maximum")
    for page in ("document.md", "wild.md"):
        text = text_of(ROOT / "docs" / page)
        asked = re.findall(r"\{wild\}`([^`]+)`", text)
        assert all(measured.told_of_the_wild(name) for name in asked)
        assert asked
        assert not re.search(r"\d+ (of the )?(\d+ )?modules", text)  # none is typed
    elsewhere = {
        "random in training",
        "batch norm in evaluation, always",
        "one size only",
        "other formulas for other sizes",
    }
    assert not elsewhere & set().union(*names)  # wild.md says so
    assert not [line for module in modules for line in module["unsure"] if "training" in line]
    timm = next(found for found, m in zip(names, modules, strict=True) if m.get("package", "").startswith("timm"))
    assert any(name.startswith("ties shared") for name in timm)
    release = {"bias in the MLP", "concat order", "batch norm after the convolution"}
    assert release == next(f for f, m in zip(names, modules, strict=True) if m.get("repository", "")[:8] == "Jongchan")


def test_the_proof_shown_is_of_the_operations_and_mutants_there_are() -> None:
    from cbam_np.checking.mutants import MUTANTS
    from cbam_np.commands.check import limits
    from cbam_np.reference.operations import OPERATIONS

    shown = json.loads(text_of(ROOT / "docs" / "_generated" / "proof.json"))
    assert [(row["operation"], row["formula"]) for row in shown["gradients"]] == [row[:3:2] for row in OPERATIONS]
    assert [(m["file"], f"{m['check']}: {m['mistake']}") for m in shown["mutants"]] == [
        (m.file, m.name) for m in MUTANTS
    ]
    assert shown["tolerances"] == limits()


def test_the_changelog_says_where_modules_are_now() -> None:
    moves = re.findall(r"^ *\| `([\w.]+)` \| `([\w.]+)` \|$", text_of(ROOT / "CHANGELOG.md"), flags=re.MULTILINE)
    assert len(moves) > 20
    for was, now in moves:
        assert now == f"{was}.module" or not module_file(was), was
        assert module_file(now), now


def module_file(name: str) -> bool:
    path = ROOT / name.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


# --- the build ------------------------------------------------------------------------------------------------------


def build(source: Path, target: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sphinx", "-E", "-W", "--keep-going", "-n", "-q", "-c", str(ROOT / "docs")]
    command += [*options, "-d", str(target.with_name("doctrees")), str(source), str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def build_page(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A site of one page, with the settings of the real one."""
    source = folder / "source"
    source.mkdir()
    (source / "index.md").write_text(f"# Page\n\n$$a = b \\tag{{3}}$$\n\n{text}\n", encoding="utf-8")
    return build(source, folder / "site", "-D", "root_doc=index", "-D", "include_patterns=index.md")


@pytest.mark.docs
def test_a_page_without_fault_is_built(tmp_path: Path) -> None:
    text = r"Formula {formula}`3` and $\frac{1}{2}$, [code](code:cbam_np/ops/gating.py), [itself](index.md), (12)."
    done = build_page(text, tmp_path)
    assert done.returncode == 0, done.stderr


FAULTS = {
    "a broken link": ("[there](nowhere.md)", "nowhere"),
    "a broken link to an anchor": ("[there](#nowhere)", "nowhere"),
    "a link to a file that is not there": ("[code](../cbam_np/nowhere.py)", "nowhere"),
    "a link to code that is not there": ("[code](code:cbam_np/nowhere.py)", "nowhere"),
    "an unknown formula number": ("As {formula}`12` says.", "formula-12"),
    "an unknown number of a formula": (r"$$c = d \tag{12}$$", "there is no formula (12)"),
    "a number given twice": (r"$$c = d \tag{3}$$", "formula (3) is given here and in index"),
    "a LaTeX error in a formula": (r"$$\frac{1}$$", "KaTeX parse error"),
    "a LaTeX error in a line": (r"So $\nosuchcommand$ is.", "KaTeX parse error"),
    "a name that is not documented": ("{py:func}`cbam_np.nowhere`", "cbam_np.nowhere"),
    "a part that nothing generates": ("```{generated} nowhere\n```", "nowhere"),
}


@pytest.mark.docs
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_fails_the_build(fault: str, tmp_path: Path) -> None:
    text, complaint = FAULTS[fault]
    done = build_page(text, tmp_path)
    assert done.returncode != 0
    assert complaint in done.stderr


@pytest.mark.docs
def test_the_text_can_be_collected_for_translation(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "gettext", "-b", "gettext")
    assert done.returncode == 0, done.stderr
    catalogue = text_of(tmp_path / "gettext" / "notebooks" / "03_the_shared_mlp.pot")
    assert 'msgid "What you built"' in catalogue


@pytest.mark.docs
def test_one_page_is_translated_and_nothing_of_its_text_is_left_out(tmp_path: Path) -> None:
    options = "-D", "root_doc=docs/formulas", "-D", "include_patterns=docs/formulas.md", "-D", "language=zh_CN"
    command = [sys.executable, "-m", "sphinx", "-q", "-c", str(ROOT / "docs"), *options, str(ROOT), str(tmp_path)]
    subprocess.run(command, capture_output=True, check=True)  # without -W: the pages that it links to aren't there
    page = text_of(tmp_path / "docs" / "formulas.html")
    text = re.sub(r"<[^>]+>", " ", page[page.index("<article") : page.index("</article")])
    assert text.count("它的梯度:") == text.count("原文的写法:") == 11
    assert "一页看完所有公式" in text
    assert not re.findall(r"\b(?:the|it|gradient|document|chapter)\b", text)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "html"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.docs
@pytest.mark.parametrize("number", range(1, 12))
def test_the_annotated_page_of_a_formula_has_its_loops_its_code_and_its_mistakes(site: Path, number: int) -> None:
    from cbam_np.reference.formulas import FORMULAS

    text = re.sub(r"<[^>]+>", "", text_of(site / "docs" / "annotated" / f"formula_{number:02}.html"))
    formula = FORMULAS[number - 1]
    assert formula.name[1:] in text
    assert formula.chinese in text
    assert text.count("In loops:") == text.count("On whole arrays,") == 2
    assert all(f"def {name.rsplit('.', 1)[1]}(" in text for name in formula.functions)
    assert "def backward" in text
    assert f"{formula.test.split('::')[1]}" in text
    planted, noticed = map(int, re.findall(r"(\d+) mistakes were planted here, one at a time, and (\d+)", text)[0])
    assert planted >= noticed > 3


@pytest.mark.docs
def test_the_gallery_has_twenty_wrong_gradients_and_a_report_for_each(site: Path) -> None:
    text = html.unescape(re.sub(r"<[^>]+>", "", text_of(site / "docs" / "gallery.html")))
    assert text.count("The report says:") == text.count(": NOT OK\n") == 20
    named = "transposed", "sum where a mean is meant", "upstream gradient is ignored", "flipped", "a path is missing"
    assert all(mistake in text for mistake in named)


@pytest.mark.docs
def test_every_mistake_planted_in_the_formulas_is_on_a_page(site: Path) -> None:
    from cbam_np.checking.mutants import MUTANTS
    from cbam_np.reference.formulas import FORMULAS

    pages = [text_of(page) for page in (site / "docs" / "annotated").glob("formula_*.html")]
    text = html.unescape(re.sub(r"<[^>]+>", "", " ".join(pages)))
    files = {name.rpartition(".")[0].replace(".", "/") + ".py" for f in FORMULAS for name in f.functions}
    wanted = [m for m in MUTANTS if m.file in files]
    missing = [m.name for m in wanted if " ".join(m.original.split()) not in text]
    assert len(wanted) > 60
    assert not missing


@pytest.mark.docs
def test_the_site_has_what_programs_look_for(site: Path) -> None:
    pages = list((site / "docs").rglob("*.html"))
    assert all('<meta name="description"' in text_of(page) for page in pages)
    assert all('<meta property="og:title"' in text_of(page) for page in pages)
    listed = re.findall(r"\]\((.+?)\)$", text_of(site / "llms.txt"), flags=re.MULTILINE)
    assert {"docs/explore.html", "docs/gallery.html", "docs/faq.html"} < set(listed)
    assert all((site / path).is_file() for path in listed)
    assert (site / "404.html").is_file()


@pytest.mark.docs
def test_the_page_of_the_course_says_what_each_chapter_says_of_itself(site: Path) -> None:
    cards = text_of(site / "docs" / "course.html").split('class="sd-card-body')[1:]
    assert len(cards) == len(CHAPTERS)
    for card, name in zip(cards, CHAPTERS, strict=True):
        text = " ".join(html.unescape(re.sub(r"<[^>]+>", "", card)).split())
        assert f"Time{says(name)['Time']} You build" in text
        assert f'href="../notebooks/{name}.html"' in card
        pair = re.findall(r'<img[^>]*?only-(light|dark)[^>]*?src="(.+?)"', card)
        assert [colours for colours, _ in pair] == ["light", "dark"]
        assert all(2_000 < (site / "docs" / src).stat().st_size <= 20_000 for _, src in pair)


@pytest.mark.docs
def test_the_notebooks_can_be_downloaded_one_by_one_and_all_at_once(site: Path) -> None:
    page = text_of(site / "docs" / "course.html")
    found = {unquote(path) for path in re.findall(r'href="(\.\./_downloads/[^"]+)"', page)}
    empty, solved = (
        {path.stem: path.read_bytes() for path in folder.glob("*.ipynb")}
        for folder in (ROOT / "notebooks", ROOT / "notebooks" / "solutions")
    )
    files = [site / "docs" / path for path in found if path.endswith(".ipynb")]
    assert sorted((f.stem, f.read_bytes()) for f in files) == sorted([*empty.items(), *solved.items()])
    (archive,) = (site / "docs" / path for path in found if path.endswith(".zip"))
    with ZipFile(archive) as whole:
        inside = {name.removeprefix("cbam_np_course/"): whole.read(name) for name in whole.namelist()}
    expected = {f"{name}.ipynb": content for name, content in empty.items()}
    expected |= {f"solutions/{name}.ipynb": content for name, content in solved.items()}
    for name in ("my_cbam.py", "solutions/my_cbam.py"):
        expected[name] = (ROOT / "notebooks" / name).read_bytes()
    assert inside == expected


# --- in the browser -------------------------------------------------------------------------------------------------

QUIET = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
QUIET += " --disable-component-update --disable-sync"
NAMES = "chromium", "chromium-browser", "google-chrome"
PROSE = """[...document.querySelectorAll("article")].map(article => {
    const copy = article.cloneNode(true);
    copy.querySelectorAll("pre, code, .katex").forEach(node => node.remove());
    return copy.textContent; }).join(" ")"""
LATEX = re.compile(r"\$[^$\s][^$]*\$|\\(?:frac|sum|text|mathbf|sigma|otimes|tag)\b|\{(?:ref|eq|math|py:\w+)\}`")


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(site))) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    executable = next(filter(None, map(shutil.which, NAMES)), None)
    assert executable, f"this test needs Chromium: expected one of {', '.join(NAMES)} on the path, got none"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=executable, args=QUIET.split())
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_page(browser: Any, address: str) -> Iterator[Callable[..., Any]]:
    """Opens a page of the site in a window; `trouble` collects everything that must not happen."""
    windows: dict[tuple[int, str], Any] = {}
    current: dict[str, Any] = {}

    def window(width: int, colours: str) -> Any:
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=colours).new_page()

        def note(event: str, said: Any) -> None:
            current["trouble"].append(f"{current['path']}: {event}: {said}")

        page.on("console", lambda message: note("console", message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: note("error", error))
        page.on("response", lambda answer: None if answer.status < 400 else note(str(answer.status), answer.url))
        page.on("request", lambda r: None if r.url.startswith((address, "data:")) else note("external", r.url))
        return page

    def opened(path: str, trouble: list[str], width: int = 1280, colours: str = "light") -> Any:
        current.update(path=path, trouble=trouble)
        if (width, colours) not in windows:
            windows[width, colours] = window(width, colours)
        answer = windows[width, colours].goto(address + path, wait_until="load")
        if not answer.ok:
            trouble.append(f"{path}: {answer.status}")
        return windows[width, colours]

    yield opened
    for page in windows.values():
        page.context.close()


def all_pages(site: Path) -> list[str]:
    """Without those that only lead to another one."""
    paths = [path for path in sorted(site.rglob("*.html")) if 'http-equiv="refresh"' not in text_of(path)]
    return [path.relative_to(site).as_posix() for path in paths]


@pytest.mark.docs
def test_every_page_loads_by_itself_and_is_rendered(site: Path, open_page: Callable[..., Any]) -> None:
    trouble: list[str] = []
    for path in all_pages(site):
        page = open_page(path, trouble)
        trouble += [f"{path}: unrendered: {found[0]}" for found in LATEX.finditer(page.evaluate(PROSE))]
        trouble += [f"{path}: LaTeX error"] * page.locator(".katex-error").count()
        images = page.evaluate(
            "[...document.images].filter(i => !i.alt.trim() || (i.offsetParent && i.complete && !i.naturalWidth))"
            ".map(i => i.src)"
        )
        trouble += [f"{path}: picture without text, or not there: {image[:100]}" for image in images]
    assert not trouble, "\n".join(trouble)


@pytest.mark.docs
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_on_a_phone_no_page_is_wider_than_the_screen(site: Path, open_page: Callable[..., Any], colours: str) -> None:
    trouble: list[str] = []
    for path in all_pages(site):
        if path.startswith("code/") and colours == "dark":
            continue
        page = open_page(path, trouble, width=390, colours=colours)
        wide = page.evaluate("document.documentElement.scrollWidth")
        trouble += [f"{path}: {wide} pixels wide"] if wide > 390 else []
    assert not trouble, "\n".join(trouble)


READ_BY_AXE = ["notebooks/03_the_shared_mlp.html", "code/cbam_np/ops/gating.py.html", "search.html"]
READ_BY_AXE += ["docs/reference/operations.html", "docs/reference/commands.html"]


@pytest.mark.docs
@pytest.mark.parametrize(("width", "colours"), [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")])
def test_axe_finds_nothing_serious(site: Path, open_page: Callable[..., Any], width: int, colours: str) -> None:
    """On every page of docs/ that a person wrote or that has a layout of its own, and one of each other kind."""
    axe = importlib.resources.files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    pages = [path.relative_to(site).as_posix() for path in sorted((site / "docs").glob("*.html"))]
    if (width, colours) in ((1280, "dark"), (390, "light")):  # the same style sheets once more
        pages = ["docs/index.html", "docs/explore.html", "docs/gallery.html"]
    trouble: list[str] = []
    for path in (*pages, "docs/annotated/formula_10.html", "docs/reference/gradcheck.html", *READ_BY_AXE):
        page = open_page(path, trouble, width=width, colours=colours)
        page.evaluate(axe)
        for found in page.evaluate("axe.run({ resultTypes: ['violations'] })")["violations"]:
            if found["impact"] in ("serious", "critical"):
                trouble += [f"{path}: {found['id']}: {node['html'][:120]}" for node in found["nodes"][:3]]
    assert not trouble, "\n".join(trouble)


@pytest.mark.docs
def test_the_page_follows_the_colours_of_the_system(open_page: Callable[..., Any]) -> None:
    trouble: list[str] = []
    seen = {}
    for colours in ("light", "dark"):
        page = open_page("docs/index.html", trouble, colours=colours)
        seen[colours] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        shown = page.locator("article img:visible").evaluate_all("images => images.map(i => i.src)")
        assert [colours in src for src in shown] == [True]
    light, dark = (sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in seen.values())
    assert light > 700
    assert dark < 150
    assert not trouble


@pytest.mark.docs
@pytest.mark.parametrize("page", ["notebooks/00_start_here.html", "notebooks/solutions/10_training.html"])
def test_of_two_pictures_a_chapter_shows_the_one_for_its_page(open_page: Callable[..., Any], page: str) -> None:
    trouble: list[str] = []
    corner = """images => Promise.all(images.filter(i => getComputedStyle(i).display != "none").map(async image => {
        image.loading = "eager"; await image.decode();
        const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
        pen.drawImage(image, 0, 0, 1, 1, 0, 0, 1, 1);
        return pen.getImageData(0, 0, 1, 1).data[0]; }))"""
    light, dark = (
        open_page(page, trouble, colours=colours).locator(".cell_output img").evaluate_all(corner)
        for colours in ("light", "dark")
    )
    assert len(light) == len(dark) >= 4
    assert min(light) > 250
    assert max(dark) < 30
    assert not trouble


EDGES = """selectors => selectors.map(s => document.querySelector(s).getBoundingClientRect())
    .map(box => [box.left, box.right])"""


@pytest.mark.docs
@pytest.mark.parametrize(("width", "beside"), [(1280, True), (1216, True), (1100, False), (820, False)])
def test_the_table_of_contents_stands_beside_the_text(open_page: Callable[..., Any], width: int, beside: bool) -> None:
    page = open_page("notebooks/02_pooling.html", [], width=width)
    sidebar, text, contents = page.evaluate(EDGES, [".sidebar-drawer", "article", ".toc-drawer"])
    assert (contents[1] <= width) == beside
    assert max(sidebar[1], 0) <= text[0] < text[1] <= min(contents[0], width)
    assert text[1] - text[0] >= 650
    page.evaluate("window.scrollTo({ top: 3000, behavior: 'instant' })")
    assert page.locator(".toc-sticky").bounding_box()["y"] == 0


CUT = """[...document.querySelectorAll("article pre:not(.drawn)")]
    .filter(box => box.offsetParent && box.scrollWidth > box.clientWidth + 1)
    .map(box => box.textContent.slice(0, 60))"""


@pytest.mark.docs
@pytest.mark.parametrize("width", [1280, 820])
def test_no_line_of_code_is_cut(site: Path, open_page: Callable[..., Any], width: int) -> None:
    trouble: list[str] = []
    for path in all_pages(site):
        if path.startswith(("docs/", "notebooks/")) and "/solutions/" not in path:
            trouble += [f"{path}: {code}" for code in open_page(path, trouble, width=width).evaluate(CUT)]
    assert not trouble, "\n".join(trouble)


@pytest.mark.docs
@pytest.mark.parametrize("width", [390, 1280])
def test_home_has_its_three_doors_above_the_fold(open_page: Callable[..., Any], width: int) -> None:
    page = open_page("docs/index.html", [], width=width)
    doors = page.locator(".doors .sd-card")
    assert doors.count() == 3
    assert all(door.bounding_box()["y"] + door.bounding_box()["height"] <= 900 for door in doors.all())


@pytest.mark.docs
def test_home_loads_one_picture_and_shows_a_gradient_on_a_click(open_page: Callable[..., Any]) -> None:
    trouble: list[str] = []
    page = open_page("docs/index.html", trouble)
    page.locator("article img:visible").scroll_into_view_if_needed()
    page.wait_for_timeout(300)
    loaded = page.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert len([name for name in loaded if "tour_" in name]) == 1
    page.locator('[data-map="f2.3"]').click(position={"x": 3, "y": 3})
    assert page.locator(".explore-readout").inner_text().startswith("F″[3, 0, 0] = ")
    assert page.locator('[data-map^="f."] .marks path').count() > 0
    assert "a constant factor: the gradient is 20 times what it should be" in page.locator("article").inner_text()
    assert not trouble


@pytest.mark.docs
def test_the_address_of_the_site_leads_home(open_page: Callable[..., Any]) -> None:
    trouble: list[str] = []
    open_page("index.html", trouble).wait_for_url("**/docs/index.html")
    assert not trouble


FIRST_FOUND = {
    "convolution": "annotated/formula_10",
    "通道": "annotated/formula_07",
    "max pool": "annotated/formula_04",
    "(10)": "annotated/formula_10",
    "(1)": "annotated/formula_01",
    "exercise 3.1": "notebooks/03_",
    "build 12": "notebooks/05_",
    "install": "docs/install",
    "gradcheck": "reference/gradcheck",
}


@pytest.mark.docs
@pytest.mark.parametrize("folder", ["", "solutions/"])
def test_an_old_page_leads_to_where_its_matter_is(folder: str, open_page: Callable[..., Any]) -> None:
    trouble: list[str] = []
    page = open_page(f"notebooks/{folder}05_pooling_over_channels.html", trouble)
    page.wait_for_url(f"**/notebooks/{folder}02_pooling.html")
    assert not trouble


@pytest.mark.docs
@pytest.mark.parametrize("query", FIRST_FOUND)
def test_the_search_finds_the_right_page_first(open_page: Callable[..., Any], query: str) -> None:
    trouble: list[str] = []
    page = open_page(f"search.html?q={quote(query)}", trouble)
    page.locator("#search-results li a").first.wait_for()
    page.wait_for_function("document.querySelector('.search-summary')?.textContent.includes('finished')")
    links = page.locator("#search-results li > a").evaluate_all("links => links.map(link => link.href)")
    assert FIRST_FOUND[query] in links[0]
    assert not any("/solutions/" in link for link in links)
    assert not trouble


@pytest.mark.docs
def test_a_formula_is_in_the_search_results_once(open_page: Callable[..., Any]) -> None:
    page = open_page("search.html?q=reduction", [])
    page.locator("#search-results li .context").first.wait_for()
    page.wait_for_function("document.querySelector('.search-summary')?.textContent.includes('finished')")
    found = " ".join(page.locator("#search-results .context").all_inner_texts())
    assert "\\times" not in found
    assert not re.search(r"\b([A-Z])\1\1?\b", found), found


@pytest.mark.docs
def test_on_paper_there_is_only_the_page(open_page: Callable[..., Any]) -> None:
    page = open_page("docs/backward.html", [])
    assert page.locator(".sidebar-drawer").is_visible()
    page.emulate_media(media="print")
    assert not page.locator(".sidebar-drawer").is_visible()
    assert page.locator("article").is_visible()
    page.emulate_media(media="screen")


@pytest.mark.docs
@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("paper", ["A4", "Letter"])
def test_the_whole_backward_pass_is_printed_on_one_page(
    open_page: Callable[..., Any], paper: str, colours: str
) -> None:
    from pypdf import PdfReader

    page = open_page("docs/backward.html", [], colours=colours)
    page.emulate_media(media="print")
    printed = PdfReader(BytesIO(page.pdf(format=paper)))
    page.emulate_media(media="screen")
    assert len(printed.pages) == 1
    text = printed.pages[0].extract_text()
    assert "The whole backward pass" in text
    assert "all(np.allclose" in text  # one of its last lines


@pytest.mark.docs
def test_every_internal_link_is_alive(site: Path) -> None:
    ids, links = {}, {}
    for path in all_pages(site):
        source = text_of(site / path)
        ids[path] = set(re.findall(r'\bid="([^"]*)"', source))
        links[path] = {unquote(urljoin(path, link)) for link in re.findall(r'<a\b[^>]*?\bhref="([^"]*)"', source)}
    dead, alive = [], 0
    for path, targets in links.items():
        for target in targets:
            if re.match(r"[a-z]+:", target):
                continue
            file, anchor = urldefrag(target.removeprefix("/"))  # the page 404 has addresses from the root
            known = file in ids or (site / file).is_file()
            good = known and (not anchor or anchor in ids.get(file, ()))
            alive += good
            dead += [] if good else [f"{path} -> {target}"]
    assert not dead, "\n".join(dead)
    assert alive > 1000
