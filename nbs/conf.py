"Sphinx's settings for `make site`; book/ turns the notebooks, as stored, into pages."
import os
import sys
from configparser import ConfigParser
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
SETTINGS = ConfigParser(delimiters=["="])
SETTINGS.read(ROOT / "settings.ini", encoding="utf-8")

project = SETTINGS["DEFAULT"]["lib_name"]
author = SETTINGS["DEFAULT"]["author"]
extensions = ["myst_nb", "book.site"]
exclude_patterns = ["_build", ".ipynb_checkpoints", "images"]
root_doc = "index"
html_theme = "sphinx_book_theme"
html_title = "best-vision-models"
description = SETTINGS["DEFAULT"]["description"]
html_favicon = "../book/static/favicon.svg"
# Previews elsewhere need whole addresses; the code host's machines know where their pages will be.
owner, _, repository = os.environ.get("GITHUB_REPOSITORY", "").partition("/")
html_baseurl = f"https://{owner}.github.io/{repository}/" if repository else ""
html_context = {"default_mode": "auto"}
html_theme_options = {"show_toc_level": 2, "footer_content_items": [], "navbar_persistent": []}
html_sidebars = {"**": ["navbar-logo.html", "search-button-field.html", "sbt-sidebar-nav.html"]}
html_static_path = ["../book/static"]
html_css_files = ["book.css", "tables.css"]
html_js_files = [("book.js", {"defer": "defer", "priority": 800})]
html_sourcelink_suffix = ""
html_show_search_summary = False  # it is fetched, which a browser refuses to do from a folder
html_use_index = False
myst_enable_extensions = ["colon_fence", "fieldlist"]
myst_heading_anchors = 3
nb_execution_mode = "off"
nb_output_stderr = "remove"
nb_render_markdown_format = "myst"
nb_code_prompt_show = "code"
nb_code_prompt_hide = "hide code"
add_module_names = False
suppress_warnings = ["mystnb.unknown_mime_type"]
