"""How the site is built, see `make docs`. The source folder is the root of the repository: links to notebooks work."""

import os
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "_ext")]

from cbam_np import __version__  # noqa: E402

project = "cbam_np"
author = "The cbam_np founders"
copyright = "The cbam_np founders, MIT licence"  # noqa: A001
release = __version__
language = "en"
locale_dirs = ["docs/locales"]  # from the root, which is the source folder
gettext_compact = False
gettext_additional_targets = ["image"]

root_doc = "docs/index"
include_patterns = ["docs/*.md", "docs/reference/*.md", "docs/annotated/*.md", "CHANGELOG.md"]
include_patterns += ["notebooks/[0-9A][0-9]_*.ipynb", "notebooks/solutions/[0-9A][0-9]_*.ipynb"]
exclude_patterns = ["**/_*", "**/.*", "build"]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.linkcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_reredirects",
    "myst_nb",
    "access",
    "annotated",
    "chapters",
    "dark_figures",
    "docstrings",
    "finding",
    "formula_numbers",
    "generated",
    "in_the_wild",
    "katex",
    "machines",
    "notfound.extension",
    "numpydoc",
    "sphinxext.opengraph",
    "solved",
    "source_pages",
    "sphinxarg.ext",
]
from source_pages import linkcode_resolve  # noqa: E402, F401  a setting that is a function

MOVED = {  # chapters of the first edition, and where their matter is now
    "02_pooling_over_space": "02_pooling",
    "05_pooling_over_channels": "02_pooling",
    "06_the_convolution": "05_the_convolution",
    "07_its_gradient": "06_its_gradient",
    "08_the_whole_backward": "07_the_whole_backward",
    "09_checking_a_gradient": "08_checking_a_gradient",
    "10_bug_hunt": "09_bug_hunt",
    "11_numpy_to_cupy": "A1_numpy_to_cupy",
}
redirects = {f"notebooks/{folder}{old}": f"{new}.html" for old, new in MOVED.items() for folder in ("", "solutions/")}

smartquotes = False
nitpicky = True
suppress_warnings = ["config.cache"]
autodoc_typehints = "none"  # the docstrings give shapes and dtypes, which no annotation can
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
autodoc_mock_imports = ["torch"]
python_display_short_literal_types = True
toc_object_entries_show_parents = "hide"

nb_execution_mode = "off"  # the outputs are those in the files; notebooks/build.py checks them
nb_merge_streams = True
nb_render_markdown_format = "myst"  # tables with links and formulas, put out by cells
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "fieldlist"]
myst_url_schemes = {"http": None, "https": None, "mailto": None, "code": None}
myst_heading_anchors = 3

# Where the site will be, as in `DOCS_URL=https://example.org/cbam/ make docs`: a sitemap and the tags need to know.
html_baseurl = os.environ.get("DOCS_URL", "")
extensions += ["sphinx_sitemap"] if html_baseurl else []
sitemap_url_scheme = "{link}"
sitemap_excludes = ["404.html", "search.html", "genindex.html"]
notfound_urls_prefix = urlsplit(html_baseurl).path or "/"
ogp_site_url = html_baseurl
ogp_social_cards = {"enable": False}

html_theme = "furo"
html_title = "cbam_np"
html_math_renderer = "katex"
html_static_path = ["_static", "_vendor/katex"]
html_css_files = ["katex.min.css", "site.css", "reference.css"]
html_js_files = [("scroll.js", {"defer": "defer"})]
html_favicon = "_static/favicon.svg"
html_extra_path = ["_extra"]
html_copy_source = False
html_show_sourcelink = False
html_permalinks_icon = "#"
copybutton_exclude = ".linenos, .gp, .go"
