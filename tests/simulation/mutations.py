# Copyright (c) 2026 the leaderelection.s3 authors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Mutants of the core made by machine: its files with one small change each, always the same in the same order."""

from __future__ import annotations

import ast
import collections
import copy
import pathlib
import re
import typing as t

CORE = pathlib.Path(__file__).resolve().parents[2] / "plugins" / "module_utils" / "_lease"
FILES = ("protocol", "slots", "driver", "store", "store_time", "clock", "host/heartbeat")
SURVIVORS = pathlib.Path(__file__).parent / "survivors.txt"

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}
TAKEN_FOR_EACH_OTHER = {"min": "max", "max": "min", "asked": "at", "at": "asked"}
"""Functions, and attributes of an answer."""
ORDERLESS = ("min", "max", "isinstance", "getattr", "cast")
"""Calls whose arguments are not exchanged: that changes nothing, or fails at once."""


class Mutant(t.NamedTuple):
    name: str
    """File, function, and the line before and after: it stays as long as that line does."""
    line: int
    source: str
    """The whole file."""


def survivors() -> dict[str, str]:
    """Return the mutants that nothing can kill, with the reason: the last line before them that is not indented."""
    reasons: dict[str, str] = {}
    reason = ""
    for line in SURVIVORS.read_text(encoding="utf-8").splitlines():
        if line.startswith("    "):
            reasons[line.strip()] = reason
        else:
            reason = line.strip() if not line.startswith("#") else ""
    return reasons


def mutants() -> list[Mutant]:
    return [mutant for file in FILES for mutant in mutants_of(file, (CORE / f"{file}.py").read_text(encoding="ascii"))]


def mutants_of(file: str, source: str) -> list[Mutant]:
    """Return the mutants of a file, whose text is ASCII and ends with a newline."""
    finder = _Finder(source)
    finder.visit(ast.parse(source))
    made: dict[str, Mutant] = {}
    """By their source, since some changes come to the same."""
    names: collections.Counter[str] = collections.Counter()
    for scope, start, end, broken in sorted(finder.found, key=lambda change: change[1:3]):
        mutated = source[:start] + broken + source[end:]
        if mutated in made:
            continue
        first, last = source.rindex("\n", 0, start) + 1, source.find("\n", end)
        rest = last - len(source)
        name = f"{file}.py {scope}: {_line(source[first:last])} => {_line(mutated[first:rest])}"
        names[name] += 1
        if names[name] > 1:
            name += f" #{names[name]}"
        made[mutated] = Mutant(name, source.count("\n", 0, start) + 1, mutated)
    return list(made.values())


def _line(text: str) -> str:
    lines = text.strip().split("\n")
    return re.sub("  # .*", "", lines[0]) + (" ..." if len(lines) > 1 else "")


class _Finder(ast.NodeVisitor):
    """Collects changes: the function, the beginning and end in the source, and what stands there instead."""

    def __init__(self, source: str) -> None:
        self.found: list[tuple[str, int, int, str]] = []
        self._source = source
        self._line_starts = [0, *(match.end() for match in re.finditer("\n", source))]
        self._scope: list[str] = []
        self._in_function = False

    def _change(self, node: t.Any, broken: str, last: t.Any = None) -> None:
        last = last or node
        start = self._line_starts[node.lineno - 1] + node.col_offset
        end = self._line_starts[last.end_lineno - 1] + last.end_col_offset
        if broken not in (self._source[start:end], ast.unparse(node)):
            self.found.append((".".join(self._scope) or "module", start, end, broken))

    def _with(self, node: ast.expr, **fields: t.Any) -> str:
        """Return the node's text with other fields, in parentheses where operators around it might take it apart."""
        changed = copy.copy(node)
        for name, value in fields.items():
            setattr(changed, name, value)
        text = ast.unparse(changed)
        return f"({text})" if isinstance(node, (ast.BinOp, ast.BoolOp)) else text

    # -- where no mutants are made: annotations, protocols, docstrings

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if not any(isinstance(base, ast.Name) and base.id == "Protocol" for base in node.bases):
            self._visit_scope(node, self._in_function)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for decorator in node.decorator_list:
            self._scope.append(node.name)
            self._change(decorator, "(lambda function: function)")
            self._scope.pop()
        self._visit_scope(node, in_function=True)

    def _visit_scope(self, node: ast.ClassDef | ast.FunctionDef, in_function: bool) -> None:
        around, self._in_function = self._in_function, in_function
        self._scope.append(node.name)
        defaults = [*node.args.defaults, *filter(None, node.args.kw_defaults)] if hasattr(node, "args") else []
        for child in [*defaults, *node.body]:
            self.visit(child)
        self._scope.pop()
        self._in_function = around

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value:
            self._drop(node)
            self.visit(node.value)

    # -- statements

    def _drop(self, node: ast.stmt) -> None:
        if self._in_function:
            self._change(node, "pass")

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self._drop(node)
            self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._drop(node)
        if not (isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "TypeVar"):
            self.visit(node.value)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self._drop(node)
        other = ARITHMETIC.get(type(node.op))
        if other:
            self._change(node, ast.unparse(ast.AugAssign(node.target, other(), node.value)))
        self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None:
        self._drop(node)
        self.generic_visit(node)

    def visit_Continue(self, node: ast.Continue) -> None:
        self._drop(node)

    def visit_Break(self, node: ast.Break) -> None:
        self._drop(node)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is None:
            self._drop(node)
        else:
            nothing = isinstance(node.value, ast.Constant) and node.value.value is None
            self._change(node.value, "0" if nothing else "None")
            self.visit(node.value)

    def visit_If(self, node: ast.If) -> None:
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self._decide(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._decide(node)

    def visit_While(self, node: ast.While) -> None:
        self._decide(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for condition in node.ifs:
            self._change(condition, "True")
        self.generic_visit(node)

    def _decide(self, node: ast.If | ast.IfExp | ast.While) -> None:
        if not isinstance(node.test, ast.Constant):
            self._change(node.test, "True")
            self._change(node.test, "False")
        self.generic_visit(node)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._change(node.body[0], "raise", node.body[-1])
        if isinstance(node.type, ast.Tuple):
            self._drop_elements(node.type)
        for child in node.body:
            self.visit(child)

    # -- expressions

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self._change(node, str(not value))
        elif isinstance(value, (int, float)):
            self._change(node, str(value + 1))
            self._change(node, str(value - 1))
        elif isinstance(value, (str, bytes)) and not (isinstance(value, str) and " " in value):  # not prose
            self._change(node, repr(type(value)()) if value else repr("mutant"))

    def visit_Compare(self, node: ast.Compare) -> None:
        for number, operator in enumerate(node.ops):
            for other in COMPARISONS[type(operator)]:
                self._change(node, self._with(node, ops=[*node.ops[:number], other(), *node.ops[number + 1 :]]))
            if isinstance(operator, (ast.In, ast.NotIn)) and isinstance(node.comparators[number], ast.Tuple):
                self._drop_elements(node.comparators[number])
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._change(node, self._with(node, op=ast.And() if isinstance(node.op, ast.Or) else ast.Or()))
        for number in range(len(node.values)):
            self._change(node, self._with(node, values=node.values[:number] + node.values[number + 1 :]))
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, (ast.Not, ast.USub)):
            self._change(node, f"({ast.unparse(node.operand)})")
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        other = ARITHMETIC.get(type(node.op))
        if other:
            self._change(node, self._with(node, op=other()))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        args = node.args
        if name in TAKEN_FOR_EACH_OTHER:
            self._change(node.func, TAKEN_FOR_EACH_OTHER[name])
        if name == "isinstance" and isinstance(args[1], ast.Tuple):
            self._drop_elements(args[1])
        if name not in ORDERLESS and not any(isinstance(arg, ast.Starred) for arg in args):
            for number in range(len(args) - 1):
                exchanged = [*args[:number], args[number + 1], args[number], *args[number + 2 :]]
                self._change(node, self._with(node, args=exchanged))
            if len(args) > 1:
                self._change(node, self._with(node, args=args[:-1]))
        for number in range(len(node.keywords)):
            self._change(node, self._with(node, keywords=node.keywords[:number] + node.keywords[number + 1 :]))
        self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if node.attr in TAKEN_FOR_EACH_OTHER:
            self._change(node, self._with(node, attr=TAKEN_FOR_EACH_OTHER[node.attr]))
        self.generic_visit(node)

    def _drop_elements(self, node: t.Any) -> None:
        for number in range(len(node.elts)):
            self._change(node, self._with(node, elts=node.elts[:number] + node.elts[number + 1 :]))
