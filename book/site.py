"The Sphinx extension that makes the site: what happens when."
from book import explorer, figures, pages, slim


def setup(app):
    app.connect("builder-inited", figures.write_script)
    app.connect("builder-inited", explorer.write_tables)
    app.connect("source-read", pages.read_page)
    app.connect("html-page-context", pages.add_scripts)
    app.connect("build-finished", slim.slim)
