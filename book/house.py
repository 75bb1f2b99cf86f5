"""The figures of the house, printed: `python -m book.house`. How long rooms are, what they import, what is shown.

Only lines of code count: no blank lines, comments or docstrings.
"""
import ast
import re
import statistics
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent
LIBRARY = "best_vision_models"
# Lines; exported lines in a row; lines shown or tested an exported line.
MAX_MODULE, MAX_UNSHOWN, MIN_SHOWN = 400, 40, 0.7


def code_lines(source: str) -> int:
    "Lines of code in a source text; docstrings, comments and blank lines don't count."
    tree = ast.parse(re.sub(r"(?m)^\s*[%!].*$", "", source))
    documented = ast.Module | ast.FunctionDef | ast.ClassDef
    texts = {line for node in ast.walk(tree) if isinstance(node, documented) and ast.get_docstring(node)
             for line in range(node.body[0].lineno, node.body[0].end_lineno + 1)}
    lines = enumerate(source.splitlines(), 1)
    return sum(1 for number, line in lines if number not in texts and line.strip() and not line.strip().startswith("#"))


def exporting() -> dict[str, list]: # module → the code cells of its notebook
    "Every notebook that exports, by its module, in the book's order."
    found = {}
    for path in sorted((ROOT / "nbs").glob("[0-9]*.ipynb")):
        cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        name = next((match[1] for cell in cells if (match := re.match(r"#\| ?default_exp (\w+)", cell))), None)
        if name: found[name] = [cell for cell in cells if not cell.startswith("#| default_exp")]
    return found


def is_exported(cell: str) -> bool: return bool(re.match(r"#\| ?export", cell))


def is_imports(cell: str) -> bool:
    "Whether a cell does no more than import; a call beside the imports may set something up."
    statements = ast.parse(re.sub(r"(?m)^[%!].*$", "", cell)).body
    imports = [isinstance(node, ast.Import | ast.ImportFrom) for node in statements]
    return any(imports) and all(found or isinstance(node, ast.Expr)
                                for found, node in zip(imports, statements, strict=True))


def shown_and_exported(cells: list[str]) -> dict:
    "Of one notebook: exported lines, lines of showing and testing, the longest stretch that shows nothing."
    exported = shown = stretch = longest = 0
    for cell in cells:
        if is_imports(cell): continue
        lines = code_lines(cell)
        if is_exported(cell): exported, stretch = exported + lines, stretch + lines
        else: shown, stretch = shown + lines, 0
        longest = max(longest, stretch)
    return {"exported": exported, "shown": shown, "unshown": longest}


def imports(name: str) -> set[str]:
    "The modules of the library that a module imports, anywhere in it."
    tree = ast.parse((ROOT / LIBRARY / f"{name}.py").read_text())
    found = [(node.level, node.module or "") for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {module.removeprefix(f"{LIBRARY}.") for level, module in found if level or module.startswith(LIBRARY)}


def upward_imports() -> list[str]:
    "Imports of a module that stands later in the book: there should be none."
    order = list(exporting())
    return [f"{name} imports {other}" for place, name in enumerate(order)
            for other in imports(name) if other in order[place:]]


def functions() -> dict[str, int]: # `module.function` → its lines, docstring and all
    "Every function and method of the library."
    trees = {name: ast.parse((ROOT / LIBRARY / f"{name}.py").read_text()) for name in exporting()}
    return {f"{name}.{node.name}": node.end_lineno - node.lineno + 1
            for name, tree in trees.items() for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def public_names() -> int:
    "How many names the modules export."
    trees = [ast.parse((ROOT / LIBRARY / f"{name}.py").read_text()) for name in exporting()]
    lists = [node.value for tree in trees for node in tree.body
             if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"]
    return sum(len(ast.literal_eval(names)) for names in lists)


def measure() -> dict:
    "All figures of the house."
    notebooks = exporting()
    per_module = {name: shown_and_exported(cells) for name, cells in notebooks.items()}
    lines = {name: len((ROOT / LIBRARY / f"{name}.py").read_text().splitlines()) for name in notebooks}
    code = {name: code_lines((ROOT / LIBRARY / f"{name}.py").read_text()) for name in notebooks}
    cells = [code_lines(cell) for found in notebooks.values()
             for cell in found if is_exported(cell) and not is_imports(cell)]
    exported, shown = (sum(figures[kind] for figures in per_module.values()) for kind in ("exported", "shown"))
    named = functions()
    longest = max(named, key=named.get)
    return {
        "modules": len(notebooks), "lines": sum(lines.values()), "lines of code": sum(code.values()),
        "functions": len(named), "public names": public_names(),
        "longest function": f"{longest} ({named[longest]} lines)",
        "longest module": f"{max(lines, key=lines.get)} ({max(lines.values())} lines)",
        "median module": statistics.median(lines.values()), "median exporting cell": statistics.median(cells),
        "shown per exported line": round(shown / exported, 2),
        "less than 0.7 shown": [n for n, f in per_module.items() if f["shown"] < MIN_SHOWN * f["exported"]],
        "longest stretch unshown": {n: f["unshown"] for n, f in per_module.items() if f["unshown"] > MAX_UNSHOWN},
        "upward imports": upward_imports(),
    }


if __name__ == "__main__":
    for name, value in measure().items(): print(f"{name:24} {value}")
