"The API reference: names, docstrings and the comments beside the parameters, read from the source, not imported."
import ast
import io
import tokenize
from pathlib import Path

from book.contents import exported_module, notebooks, read_cells

ROOT = Path(__file__).parent.parent
LIBRARY = "best_vision_models"


def comments(source: str) -> dict[int, str]: # line → what the comment at its end says
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}


def directive(kind: str, signature: str, node, fields: list[str]) -> str:
    opening = f"```{{py:{kind}}} {' '.join(signature.split())}"
    return "\n".join([opening, "", ast.get_docstring(node) or "", "", *fields, "```", ""])


def document_function(node: ast.FunctionDef, said: dict[int, str], owner: str = "") -> str:
    arguments = [part for part in ast.walk(node.args) if isinstance(part, ast.arg) and part.lineno > node.lineno]
    fields = [f":param {part.arg}: {said[part.end_lineno]}" for part in arguments if part.end_lineno in said]
    if node.returns and node.returns.end_lineno in said: fields.append(f":returns: {said[node.returns.end_lineno]}")
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    signature = f"{owner}{node.name}({ast.unparse(node.args)}){returns}"
    return directive("method" if owner else "function", signature, node, fields)


def document_class(node: ast.ClassDef, said: dict[int, str]) -> str:
    fields = []
    for item in node.body:
        if isinstance(item, ast.AnnAssign):
            options = {keyword.arg: keyword.value for keyword in getattr(item.value, "keywords", [])}
            about = options["description"].value if "description" in options else said.get(item.end_lineno, "")
            fields.append(f":param {item.target.id}: {about}")
    methods = [document_function(item, said, f"{node.name}.") for item in node.body
               if isinstance(item, ast.FunctionDef) and not item.name.startswith("_") and ast.get_docstring(item)]
    return directive("class", node.name, node, fields) + "\n" + "\n".join(methods)


def document_module(name: str, page: str) -> str:
    "One section of the reference: everything a module exports that has a docstring."
    source = (ROOT / LIBRARY / f"{name}.py").read_text()
    tree, said = ast.parse(source), comments(source)
    first = next(node for node in tree.body if isinstance(node, ast.Assign))
    exported = ast.literal_eval(first.value)  # __all__
    parts = [f"## {name}", f"{ast.get_docstring(tree)}. Notebook: [](./{page}.ipynb).",
             f"```{{py:module}} {LIBRARY}.{name}\n```"]
    documented = [node for node in tree.body if getattr(node, "name", None) in exported and ast.get_docstring(node)]
    describe = {ast.ClassDef: document_class, ast.FunctionDef: document_function}
    return "\n\n".join(parts + [describe[type(node)](node, said) for node in documented])


def api_reference(text: str, folder: Path) -> str:
    "Every module, in the order of the notebooks that export them."
    modules = [(exported_module(read_cells(notebook)), notebook.stem) for notebook in notebooks(folder)]
    return "\n\n".join([text, *(document_module(name, page) for name, page in modules if name)])
