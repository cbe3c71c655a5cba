"""How docstrings and pages are read: Markdown's formulas and links; names of the library lead to the reference."""

from __future__ import annotations

import inspect
import re
import sys
from typing import Any, ClassVar

from docutils import nodes
from latex2mathml.converter import convert
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.inspect import stringify_signature

from docs import public

FORMULA = re.compile(r"^( *)(.*?)\$\$(.+?)\$\$(.*?)$", re.DOTALL | re.MULTILINE)
BARS = re.compile(r"(\\\||`+[^`]+`+|\$\$.+?\$\$|\$[^$]+\$)|\|", re.DOTALL)  # which mean something, but not within these
INLINE = (
    (re.compile(r"(?<!\$)\$(?!\$)([^$\n]+(?:\n[^$\n]+)?)\$(?!\$)"), r":math:`\1`"),
    (re.compile(r"\[([^\]\n]+)\]\((https?://[^)\s]+)\)"), r"`\1 <\2>`__"),
    (re.compile(r"^( *)Source: ", re.MULTILINE), r"\1**Source:** "),
)
NAMES: dict[str, public.Entry] = {}
HERE: set[tuple[str, str]] = set()  # pages of the reference, and the names that stand there
BESIDE = {"README": "index", "CONTRIBUTING": "contributing", "CHANGELOG": "changelog"}


def markdown(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Makes reStructuredText of a docstring; its sections are Napoleon's work, `code` is Sphinx' default role."""
    paragraphs = re.split(r"\n *\n", "\n".join(lines))
    text = "\n\n".join(paragraph if ">>>" in paragraph else converted(paragraph) for paragraph in paragraphs)
    lines[:] = text.split("\n")


def converted(text: str) -> str:
    """A paragraph without doctests."""
    text = BARS.sub(lambda found: found[1] or r"\|", text)
    text = FORMULA.sub(displayed, text)
    for pattern, replacement in INLINE:
        text = pattern.sub(replacement, text)
    return text


def displayed(found: re.Match[str]) -> str:
    """A formula on lines of its own."""
    indent, before, formula, after = found.groups()
    body = "".join(f"{indent}   {line.strip()}\n" for line in formula.strip().split("\n"))
    start = f"{indent}{before.rstrip()}\n" if before.strip() else ""
    return f"{start}\n{indent}.. math::\n\n{body}\n{indent}{after.lstrip('.').strip()}"


def as_written(app: Sphinx, what: str, name: str, obj: Any, *_: Any) -> tuple[str, str | None] | None:
    """A signature with its annotations as they are written: `Tensor`, which is another name of `Any`, says more."""
    try:
        signature = inspect.signature(obj)
    except (TypeError, ValueError):
        return None
    known = vars(sys.modules[inspect.unwrap(obj).__module__])
    parameters = [each.replace(annotation=linked(each.annotation, known)) for each in signature.parameters.values()]
    if what == "method" and parameters and parameters[0].name == "self":
        del parameters[0]
    signature = signature.replace(parameters=parameters, return_annotation=linked(signature.return_annotation, known))
    return stringify_signature(signature, show_return_annotation=what != "class"), None


def linked(annotation: Any, known: dict[str, Any]) -> Any:
    """An annotation with the full names of what is public, among the names that its module knows."""
    if not isinstance(annotation, str):
        return annotation
    public_names = {id(entry.object): entry.name for entry in NAMES.values()}
    full = {name: public_names[id(x)] for name, x in known.items() if id(x) in public_names}
    return re.sub(r"(?<![\w.])[A-Z]\w+", lambda word: f"~{full[word[0]]}" if word[0] in full else word[0], annotation)


def within(app: Sphinx, docname: str, source: list[str]) -> None:
    """Links to the files beside docs/ lead to the pages that include them."""
    source[0] = re.sub(
        r"\((?:\.\./)+(README|CONTRIBUTING|CHANGELOG)\.md", lambda file: f"(/{BESIDE[file[1]]}.md", source[0]
    )


def mathml(formula: str, display: str) -> str:
    """A formula as MathML, which browsers draw by themselves: no script, no network."""
    text = re.sub(r"\\text\{[^}]*\}", lambda words: words[0].replace(r"\_", "_"), formula)
    return convert(text, display=display)


def inline_formula(translator: Any, node: nodes.Element) -> None:
    """A formula in a sentence."""
    translator.body.append(mathml(node.astext(), "inline"))
    raise nodes.SkipNode


def displayed_formula(translator: Any, node: nodes.Element) -> None:
    """A formula on a line of its own."""
    translator.body.append(f'<div class="math">{mathml(node.astext(), "block")}</div>')
    raise nodes.SkipNode


class NamesLead(SphinxTransform):
    """Code that is the name of something public, or a call of it, leads to its place in the reference."""

    default_priority = 400
    stays: ClassVar = (nodes.reference, nodes.title, nodes.rubric, addnodes.desc_signature, addnodes.pending_xref)

    def apply(self, **kwargs: Any) -> None:
        """Puts the links in."""
        for code in list(self.document.findall(nodes.literal)):
            name = re.sub(r"\(.*\)$", "", code.astext())
            entry = NAMES.get(name)
            if entry is None or any(isinstance(above, self.stays) for above in ancestors(code)):
                continue
            if (self.env.docname, name.rpartition(".")[2]) in HERE:  # on its own page, or where it means another
                continue
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=entry.name, refexplicit=True, refdoc=self.env.docname
            )
            code.replace_self(link)
            link += code


def ancestors(node: nodes.Node) -> list[nodes.Node]:
    """What a node stands in."""
    found = []
    while node.parent is not None:
        node = node.parent
        found.append(node)
    return found


def names() -> dict[str, public.Entry]:
    """Public names as pages write them; layers win, and else what two things are called leads nowhere."""
    known: dict[str, public.Entry] = {}
    short: dict[str, list[public.Entry]] = {}
    for entry in public.entries():
        known |= {entry.shown: entry, entry.name: entry, entry.name.removeprefix("ncps."): entry}
        if inspect.isclass(entry.object):
            short.setdefault(entry.object.__name__, []).append(entry)
    return {name: found[0] for name, found in short.items() if len(found) == 1} | known


def setup(app: Sphinx) -> dict[str, Any]:
    """Connects these to Sphinx."""
    NAMES.update(names())
    HERE.update((f"reference/{entry.theme.page}", entry.name.rpartition(".")[2]) for entry in NAMES.values())
    app.connect("autodoc-process-docstring", markdown, priority=400)  # before Napoleon
    app.connect("autodoc-process-signature", as_written)
    app.connect("source-read", within)
    app.add_transform(NamesLead)
    app.add_html_math_renderer("mathml", (inline_formula, None), (displayed_formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
