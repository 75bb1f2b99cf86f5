"The Sphinx extension that makes the site: what happens when."
from book import explorer, figures, pages, slim


def setup(app):
    app.connect("builder-inited", figures.write_script)
    app.connect("builder-inited", explorer.write_tables)
    app.connect("source-read", pages.read_page)
    app.add_config_value("description", "", "html")
    app.connect("html-page-context", pages.add_scripts)
    app.connect("html-page-context", pages.preview)
    app.connect("build-finished", slim.slim)
