"""An expression of Python, written as LaTeX."""

from __future__ import annotations

import ast

RANK: dict[type[ast.AST], int] = {
    ast.Add: 1, ast.Sub: 1, ast.Mult: 2, ast.FloorDiv: 3, ast.Mod: 2,
}  # fmt: skip
SIGNS: dict[type[ast.AST], str] = {
    ast.Eq: "=", ast.Gt: ">", ast.GtE: r"\ge", ast.Lt: "<", ast.LtE: r"\le",
}  # fmt: skip


def latex(expression: str) -> str:
    """(i + 2*p - k) // s + 1 as the floor of a fraction, plus one."""
    return _write(ast.parse(expression, mode="eval").body)


def _write(node: ast.expr) -> str:
    match node:
        case ast.Constant(value):
            return str(value)
        case ast.Name(letter):
            return letter if len(letter) == 1 else rf"\mathit{{{letter}}}"
        case ast.UnaryOp(
            ast.USub(), ast.BinOp(ast.UnaryOp(ast.USub(), a), ast.FloorDiv(), b)
        ):
            return rf"\left\lceil \frac{{{_write(a)}}}{{{_write(b)}}} \right\rceil"
        case ast.UnaryOp(ast.USub(), a):
            return f"-{_inside(a, 2)}"
        case ast.BinOp(a, ast.FloorDiv(), b):
            return rf"\left\lfloor \frac{{{_write(a)}}}{{{_write(b)}}} \right\rfloor"
        case ast.BinOp(a, ast.Mult(), b):
            return f"{_inside(a, 2)} {_inside(b, 2)}"
        case ast.BinOp(a, ast.Mod(), b):
            return rf"{_inside(a, 2)} \bmod {_inside(b, 3)}"
        case ast.BinOp(a, ast.Add(), b):
            return f"{_write(a)} + {_write(b)}"
        case ast.BinOp(a, ast.Sub(), b):
            return f"{_write(a)} - {_inside(b, 2)}"
        case ast.Compare(a, [sign], [b]):
            return f"{_write(a)} {SIGNS[type(sign)]} {_write(b)}"
        case ast.Call(ast.Name("max"), [a, b]):
            return rf"\max({_write(a)},\; {_write(b)})"
    raise ValueError(
        f"{ast.unparse(node)}: nothing that a formula here is written with"
    )


def _inside(node: ast.expr, rank: int) -> str:
    """In brackets if it binds less than what stands around it."""
    text = _write(node)
    loose = isinstance(node, ast.BinOp) and RANK[type(node.op)] < rank
    return f"({text})" if loose else text
