"""The filter language of `BatchPolicy.where`: comparisons of index columns, without `eval`.

    motion > 1 and audio_rms_dbfs > -50
    -40 < audio_rms_dbfs <= -10 and not movie_id in ('trailer', 'making-of')

    labels.mood == 'sad' or 'sad' in labels.mood or 'good bye' in text.subtitles

A condition compares columns, numbers and strings with < <= > >= == !=, tests `in` and `not in` a
list of values, or names a boolean column; `and`, `or`, `not` and parentheses combine conditions.
A text `in` a column asks whether it is part of the column's text, in upper or lower case, or one of
the labels of a clip. Columns of labels have a dot in their names, see `shards_spec.dataset.labels`.
The text is parsed with Python's own parser; every kind of syntax node that is not listed here is
refused. A missing value satisfies no condition.
"""

from __future__ import annotations

import ast
import difflib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from shards_spec.dataset.labels.columns import all_labels_column, is_label_column
from shards_spec.errors import InputError

#: The name of a column, possibly with a dot.
_Column = ast.Name | ast.Attribute

#: Longer filters are refused: Python's parser recurses.
MAX_CHARACTERS = 10_000

_COMPARE: dict[type[ast.cmpop], Callable[..., Any]] = {
    ast.Lt: pc.less,
    ast.LtE: pc.less_equal,
    ast.Gt: pc.greater,
    ast.GtE: pc.greater_equal,
    ast.Eq: pc.equal,
    ast.NotEq: pc.not_equal,
}


def check_where(text: str) -> None:
    """Raise `InputError` unless `text` is empty or a well-formed filter; columns are not checked.

    The message gives the position of the error.
    """
    if text.strip():
        _check(_parse(text), text)


def columns_of(text: str) -> list[str]:
    """Names of the columns that a filter reads, sorted."""
    if not text.strip():
        return []
    return sorted({_name(node) for node in _columns(_parse(text))})


def check_columns(text: str, names: Sequence[str]) -> None:
    """Raise `InputError` for the first column of a filter that is not among `names`."""
    if not text.strip():
        return
    for node in _columns(_parse(text)):
        _check_column(node, names, text)


def matching_rows(table: pa.Table, text: str) -> NDArray[np.bool_]:
    """(table.num_rows,) bool: the rows that satisfy the filter; all rows when it is empty.

    Raises `InputError`, with the position, for an unknown column or incompatible types.
    """
    if not text.strip():
        return np.ones(table.num_rows, dtype=bool)
    root = _parse(text)
    _check(root, text)
    mask = pc.fill_null(_evaluate(root, table, text), False)
    if isinstance(mask, pa.Scalar):
        return np.full(table.num_rows, mask.as_py())
    return np.asarray(mask.to_numpy(zero_copy_only=False) if isinstance(mask, pa.Array) else mask)


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_CHARACTERS:
        raise InputError(f"where has {len(text)} characters; at most {MAX_CHARACTERS} are allowed")
    try:
        # Brackets allow line breaks and leading spaces; a text that closes them has several items.
        root = ast.parse(f"[{text}\n]", mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, offset = getattr(error, "lineno", 1) or 1, getattr(error, "offset", 1) or 1
        position = _position(text, line, offset - 1)
        raise _refusal(text, position, "is not a condition") from error
    if not isinstance(root, ast.List) or len(root.elts) != 1:
        raise _refusal(text, 0, "is not one condition")
    return root.elts[0]


def _columns(root: ast.AST) -> Iterator[_Column]:
    """All columns that an expression names."""
    if isinstance(root, ast.Name) or _is_column(root):
        yield cast(_Column, root)
        return
    for child in ast.iter_child_nodes(root):
        yield from _columns(child)


def _is_column(node: ast.AST) -> bool:
    """Whether a node is the name of a column: `motion`, `labels.mood`."""
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and is_label_column(ast.unparse(node))
    return isinstance(node, ast.Name)


def _name(node: _Column) -> str:
    return ast.unparse(node)


def _check(node: ast.expr, text: str) -> None:
    """Refuse every condition that is not in the language."""
    match node:
        case ast.BoolOp(values=values):
            for value in values:
                _check(value, text)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            _check(operand, text)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            _check_value(left, text)
            for op, right in zip(ops, comparators, strict=True):
                _check_right(left, op, right, text)
                left = right
        case ast.Constant(value=bool()):
            pass
        case _ if _is_column(node):
            pass
        case _:
            raise _refusal(text, node, "is not a condition")


def _check_right(left: ast.expr, op: ast.cmpop, right: ast.expr, text: str) -> None:
    if isinstance(op, ast.In | ast.NotIn):
        if _is_text(left) and _is_column(right):
            return
        if not isinstance(right, ast.List | ast.Tuple | ast.Set) or not right.elts:
            raise _refusal(text, right, "must be a list of values, such as ('a', 'b')")
        for value in right.elts:
            _constant(value, text)
    elif type(op) in _COMPARE:
        _check_value(right, text)
    else:
        raise _refusal(text, right, "is compared with an operator other than < <= > >= == != in")


def _check_value(node: ast.expr, text: str) -> None:
    if not _is_column(node):
        _constant(node, text)


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _constant(node: ast.expr, text: str) -> float | int | str | bool:
    """A number (possibly negative), a string or a boolean."""
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.Constant(value=int() | float() | str() as value):
            return value
        case _:
            raise _refusal(text, node, "is not a column, a number or a string")


def _evaluate(node: ast.expr, table: pa.Table, text: str) -> Any:
    """A boolean column or scalar."""
    match node:
        case ast.BoolOp(op=junction, values=values):
            combine = pc.and_kleene if isinstance(junction, ast.And) else pc.or_kleene
            result = _evaluate(values[0], table, text)
            for value in values[1:]:
                result = combine(result, _evaluate(value, table, text))
            return result
        case ast.UnaryOp(operand=operand):
            return pc.invert(_evaluate(operand, table, text))
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            result = pa.scalar(True)
            for op, right in zip(ops, comparators, strict=True):
                result = pc.and_kleene(result, _compare(left, op, right, table, text))
                left = right
            return result
        case _:
            column = _value(node, table, text)
            if column.type != pa.bool_():
                problem = f"is of type {column.type}, not boolean: compare it with a value"
                raise _refusal(text, node, problem)
            return column


def _compare(left: ast.expr, op: ast.cmpop, right: ast.expr, table: pa.Table, text: str) -> Any:
    first = _value(left, table, text)
    try:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.List | ast.Tuple | ast.Set):
                is_in = _contains(str(_constant(left, text)), right, table, text)
                return pc.invert(is_in) if isinstance(op, ast.NotIn) else is_in
            values = pa.array([_constant(item, text) for item in right.elts])
            is_in = pc.is_in(first, value_set=values.cast(first.type))
            return pc.invert(is_in) if isinstance(op, ast.NotIn) else is_in
        return _COMPARE[type(op)](first, _value(right, table, text))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError) as error:
        problem = f"cannot be compared with {ast.unparse(right)}"
        raise _refusal(text, left, f"is of type {first.type} and {problem}") from error


def _contains(wanted: str, node: ast.expr, table: pa.Table, text: str) -> Any:
    """Whether a text is one of the labels of each clip, or part of the text of a column."""
    column = _value(node, table, text)
    lists = all_labels_column(_name(cast(_Column, node)))
    if lists not in table.schema.names:
        return pc.match_substring(column, wanted, ignore_case=True)
    labels = table[lists].combine_chunks()
    is_in = np.zeros(len(labels), dtype=bool)
    equal = pc.equal(labels.flatten(), wanted).to_numpy(zero_copy_only=False)
    is_in[pc.list_parent_indices(labels).to_numpy()[equal]] = True
    return pa.array(is_in)


def _value(node: ast.expr, table: pa.Table, text: str) -> Any:
    if not _is_column(node):
        return pa.scalar(_constant(node, text))
    column = cast(_Column, node)
    _check_column(column, table.schema.names, text)
    return table[_name(column)]


def _check_column(node: _Column, names: Sequence[str], text: str) -> None:
    if _name(node) not in names:
        near = difflib.get_close_matches(_name(node), names, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        known = ", ".join(names)
        raise _refusal(text, node, f"is not a column of the index, which has: {known}{hint}")


def _position(text: str, line: int, column: int) -> int:
    """Index in `text` of a parser position; the parser saw one more character in line 1."""
    lines = text.split("\n")
    before = sum(len(item) + 1 for item in lines[: line - 1])
    return min(max(0, before + column - (line == 1)), len(text))


def _refusal(text: str, node: ast.expr | int, problem: str) -> InputError:
    if isinstance(node, int):
        position, what = node, text[node : node + 20].strip() or "the end"
    else:
        # The parser's columns count UTF-8 bytes.
        line = f"[{text}\n]".split("\n")[node.lineno - 1]
        column = len(line.encode()[: node.col_offset].decode(errors="replace"))
        position, what = _position(text, node.lineno, column), ast.unparse(node)
    return InputError(
        f"where: at character {position + 1} of {text!r}: {what!r} {problem}; "
        "write conditions such as: motion > 1 and movie_id != 'x'"
    )
