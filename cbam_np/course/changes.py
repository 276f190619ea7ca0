"""Small changes of a function's source, simple ones first: what is tried where a mistake is looked for.

A change is made in the syntax tree. What is to stand in a place is written as Python with names for the parts that are
already there: `expression("a @ b.T", a=left, b=right)`.
"""

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, combinations, permutations, product
from typing import Any

from cbam_np.course.exercise import Function

OPERATORS: dict[type, tuple[type, ...]] = {
    ast.Add: (ast.Sub, ast.Mult),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.MatMult, ast.Div, ast.Add),
    ast.MatMult: (ast.Mult,),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div,),
    ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
}
FAMILIES = (  # functions that are taken for each other
    ("mean", "sum", "max"),
    ("max", "min", "amax"),
    ("argmax", "argmin"),
    ("maximum", "minimum"),
    ("zeros", "ones"),
    ("zeros_like", "ones_like"),
    ("tile", "repeat"),
)
REDUCING = ("sum", "mean", "max", "min", "argmax", "argmin", "amax", "any", "all")
AXES = ("0", "1", "2", "3", "(2, 3)", "(0, 1)", "(1, 2)", "(0, 2, 3)", "(1, 2, 3)", "(0, 2)", "(0, 3)")
ORDERS = tuple(order for n in (2, 3, 4) for order in list(permutations(range(n)))[1:])


@dataclass(frozen=True)
class Slot:
    """A place in the tree: a field of a node, or one entry of a field that is a list."""

    parent: Any
    field: str
    index: int | None = None

    @property
    def node(self) -> Any:
        """What stands there."""
        value = getattr(self.parent, self.field)
        return value if self.index is None else value[self.index]

    def put(self, node: Any) -> None:
        """Write it there."""
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


@dataclass(frozen=True)
class Change:
    """Of which kind, and what is to stand where. about: the part of the code that the question is about."""

    kind: str
    about: Any
    parts: tuple[tuple[Slot, Any], ...]


def _change(kind: str, about: Any, slot: Slot, node: Any) -> Change:
    return Change(kind, about, ((slot, node),))


def syntax_tree(function: Function) -> ast.Module | None:
    """Of the function's source, which begins in line 1; None if there is none."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):
        return None


def expression(text: str, **parts: Any) -> Any:
    """The syntax tree of `text`, with these parts in place of their names."""

    class Put(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> Any:
            return parts.get(node.id, node)

    return Put().visit(ast.parse(text, mode="eval").body)


def all_changes(tree: ast.AST, operations: Collection[str] = ()) -> Iterator[Change]:
    """What can be changed in `tree`, simple things first. operations: functions that may stand in place of others."""
    slots = list(_slots(tree))
    kinds = (_statements(slots), _taken_away(slots), _exchanged(slots), _other_names(slots, operations), _added(slots))
    return _with_twins(chain(*kinds), slots)


def _slots(tree: ast.AST) -> Iterator[Slot]:
    """All places in the tree, outer ones first."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "defaults", "ctx"):
                continue
            if isinstance(value, list):
                yield from (Slot(parent, field, i) for i in range(len(value)))
            elif isinstance(value, ast.AST):
                yield Slot(parent, field)


def _with_twins(changes: Iterable[Change], slots: list[Slot]) -> Iterator[Change]:
    """Each change, then the same change at all places that look like this one, and at this one and another."""
    alike: dict[str, list[Slot]] = {}
    for slot in slots:
        alike.setdefault(ast.dump(slot.node), []).append(slot)
    for change in changes:
        yield change
        (slot, new), *more = change.parts
        twins = [] if more or not isinstance(slot.node, ast.AST) else alike.get(ast.dump(slot.node), [])
        if len(twins) > 1:
            yield replace(change, parts=tuple((twin, new) for twin in twins))
        others = twins[twins.index(slot) + 1 :] if slot in twins and 2 < len(twins) < 7 else []
        yield from (replace(change, parts=((slot, new), (other, new))) for other in others)


def _statements(slots: list[Slot]) -> Iterator[Change]:
    """A line left out; = for +=, and the other way round; the last line of a loop put after it."""
    for slot in slots:
        node = slot.node
        if isinstance(node, (ast.Assign, ast.AugAssign, ast.If)):
            yield _change("line", node, slot, ast.Pass())
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Subscript, ast.Name)):
            yield _change("assignment", node, slot, ast.AugAssign(node.targets[0], ast.Add(), node.value))
        if isinstance(node, ast.AugAssign):
            yield _change("assignment", node, slot, ast.Assign([node.target], node.value))
            yield from (_change("assignment", node, Slot(node, "op"), op()) for op in OPERATORS.get(type(node.op), ()))
        if isinstance(node, ast.For) and len(node.body) > 1 and slot.index is not None:
            last = node.body[-1]
            shorter = ast.For(node.target, node.iter, node.body[:-1], node.orelse)
            block = getattr(slot.parent, slot.field)
            block = [*block[: slot.index], shorter, last, *block[slot.index + 1 :]]
            yield _change("place", last, Slot(slot.parent, slot.field), block)


def _taken_away(slots: list[Slot]) -> Iterator[Change]:
    """A factor, a term, a sign, an index, a call or a keyword less."""
    for slot in slots:
        node = slot.node
        if isinstance(node, ast.BinOp):
            yield from (_change("too much", node, slot, side) for side in (node.left, node.right))
        elif isinstance(node, ast.UnaryOp):
            yield _change("sign", node, slot, node.operand)
        elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            yield _change("index", node, slot, node.value)
        elif isinstance(node, ast.Attribute) and node.attr == "T":
            yield _change("transpose", node, slot, node.value)
        elif isinstance(node, ast.Call):
            for keyword in node.keywords:
                kind = keyword.arg if keyword.arg in ("axis", "keepdims") else "keyword"
                others = [k for k in node.keywords if k is not keyword]
                about = keyword if kind == "keyword" else node
                yield _change(kind, about, slot, ast.Call(node.func, node.args, others))
            yield from (_change("too much", node, slot, argument) for argument in node.args)
            if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") != "np":
                yield _change("too much", node, slot, node.func.value)


def _exchanged(slots: list[Slot]) -> Iterator[Change]:
    """Another operator, number, keyword, function or slice; two things in the other order; other brackets."""
    names = _names(slots)
    for slot in slots:
        node, parent = slot.node, slot.parent
        if isinstance(node, (ast.operator, ast.cmpop)) and isinstance(parent, (ast.BinOp, ast.Compare)):
            kind = "operator" if isinstance(node, ast.operator) else "comparison"
            yield from (_change(kind, parent, slot, op()) for op in OPERATORS.get(type(node), ()))
        elif isinstance(node, ast.BinOp):
            yield from _other_products(slot, node)
        elif isinstance(node, ast.Constant):
            about = parent if isinstance(parent, (ast.expr, ast.keyword)) else node
            yield from (_change("number", about, slot, ast.Constant(value)) for value in _other_values(node.value))
        elif isinstance(node, ast.Call):
            yield from _other_calls(slot, node)
        elif isinstance(node, (ast.Tuple, ast.List)) and not _in_order(node):
            for elements in _other_orders(node.elts):
                yield _change("order", node, slot, type(node)(elements, node.ctx))
        elif isinstance(node, ast.Subscript):
            yield from _other_slices(node, names)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Subscript):
            picked = ast.Subscript(node.value, node.targets[0].slice, ast.Load())
            yield _change("index", node, Slot(node, "value"), picked)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            parts = expression(f"np.split(x, {len(node.targets[0].elts)}, axis=1)", x=node.value)
            yield _change("taken apart", node, Slot(node, "value"), parts)
    yield from _other_functions(slots)


def _other_functions(slots: list[Slot]) -> Iterator[Change]:
    """One function for another one, at all places."""
    for family in FAMILIES:
        for name in family:
            calls = [slot.node for slot in slots if getattr(getattr(slot.node, "func", None), "attr", "") == name]
            for other in (n for n in family if n != name and len(calls) > 1):
                yield Change("function", calls[0], tuple((Slot(call.func, "attr"), other) for call in calls))


def _other_products(slot: Slot, node: ast.BinOp) -> Iterator[Change]:
    """The sides exchanged, other brackets, a factor transposed; for a sum: tuples put together, or added one by one."""
    yield _change("order", node, slot, ast.BinOp(node.right, node.op, node.left))
    if isinstance(a := node.left, ast.BinOp):  # (a ∘ b) • c as a ∘ (b • c)
        yield _change("brackets", node, slot, ast.BinOp(a.left, a.op, ast.BinOp(a.right, node.op, node.right)))
    if isinstance(b := node.right, ast.BinOp):
        yield _change("brackets", node, slot, ast.BinOp(ast.BinOp(node.left, node.op, b.left), b.op, b.right))
    if isinstance(node.op, (ast.Mult, ast.MatMult)):
        products = list(_products(node.left, node.right))  # the first is that of the two as they are
        yield from (_change("product", node, slot, product) for product in products[isinstance(node.op, ast.Mult) :])
    if isinstance(node.op, ast.Add):
        for text in ("(*left, right)", "(left, *right)", "tuple(a + b for a, b in zip(left, right))"):
            yield _change("several", node, slot, expression(text, left=node.left, right=node.right))


def _products(a: ast.expr, b: ast.expr) -> Iterator[ast.expr]:
    """The matrix products of two factors, with each as it is or transposed, in both orders."""
    for first, second in ((a, b), (b, a)):
        for turn_first, turn_second in product((False, True), repeat=2):
            yield expression("a @ b", a=_turned(first, turn_first), b=_turned(second, turn_second))


def _turned(factor: ast.expr, turn: bool) -> ast.expr:
    if isinstance(factor, ast.Attribute) and factor.attr == "T":
        return factor.value if turn else factor
    return expression("x.T", x=factor) if turn else factor


def _other_values(value: Any) -> Iterator[Any]:
    """Numbers near this one, and the other truth value."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield from (n for n in dict.fromkeys((value - 1, value + 1, -value, 0, 1, 2, 3)) if n != value)
    elif isinstance(value, float):
        yield from (x for x in (1.0, 0.0, 0.5, 2.0, 1e-5, -value) if x != value)


def _other_calls(slot: Slot, node: ast.Call) -> Iterator[Change]:
    """Another function, another axis, arguments in another order, axes moved before a reshape."""
    of_numpy = getattr(getattr(node.func, "value", None), "id", "") == "np"
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    if isinstance(node.func, ast.Attribute):
        for family in FAMILIES:
            if name in family:
                yield from (_change("function", node, Slot(node.func, "attr"), n) for n in family if n != name)
        if name in ("dot", "outer", "matmul", "multiply", "inner") and len(node.args) == 2:
            yield from (_change("function", node, slot, other) for other in _products(*node.args))
            yield _change("function", node, slot, expression("a * b", a=node.args[0], b=node.args[1]))
    if name in REDUCING and (node.args or not of_numpy):
        values = node.args[:1] if of_numpy or isinstance(node.func, ast.Name) else []
        reduced = expression(f"np.{name}") if values and not of_numpy else node.func
        others = [keyword for keyword in node.keywords if keyword.arg not in ("axis", "keepdims")]
        given = [keyword for keyword in node.keywords if keyword.arg == "axis"]
        given += [ast.keyword("axis", node.args[len(values)])] if len(node.args) > len(values) else []
        kept = ast.keyword("keepdims", ast.Constant(True))
        yield _change("keepdims", node, slot, ast.Call(reduced, values, [*others, *given, kept]))
        for axes, keep in product(AXES, (False, True)):
            keywords = [*others, ast.keyword("axis", expression(axes)), *([kept] if keep else [])]
            yield _change("axis", node, slot, ast.Call(reduced, values, keywords))
    if name == "range" and len(node.args) == 2:
        first, last = node.args
        yield _change("slice", node, slot, expression("range(a - 1, b - 1)", a=first, b=last))
    if name == "pad" and len(node.args) > 1 and not isinstance(p := node.args[1], (ast.Tuple, ast.List)):
        yield _change("pad", node, Slot(node, "args", 1), expression("((0, 0), (0, 0), (p, p), (p, p))", p=p))
    if name == "reshape" and isinstance(node.func, ast.Attribute) and node.args:
        x, *shape = node.args if of_numpy else [node.func.value, *node.args]
        yield from _other_reshapes(slot, node, x, shape)
    for arguments in _other_orders(node.args):
        yield _change("order", node, slot, ast.Call(node.func, arguments, node.keywords))


def _other_reshapes(slot: Slot, node: ast.Call, x: ast.expr, shape: list[ast.expr]) -> Iterator[Change]:
    """The axes of x moved, in place of the reshape, before it, or after one to a shape with its axes in that order."""
    sizes = shape[0] if len(shape) == 1 else ast.Tuple(shape, ast.Load())
    shape = shape[0].elts if len(shape) == 1 and isinstance(shape[0], ast.Tuple) else shape
    for order in ORDERS:
        yield _change("reshape", node, slot, expression(f"x.transpose{order}", x=x))
        yield _change("reshape", node, slot, expression(f"x.transpose{order}.reshape(sizes)", x=x, sizes=sizes))
        if len(shape) == len(order):
            before = ast.Tuple([shape[order.index(axis)] for axis in range(len(order))], ast.Load())
            yield _change("reshape", node, slot, expression(f"x.reshape(sizes).transpose{order}", x=x, sizes=before))


def _other_orders(nodes: list[ast.expr]) -> Iterator[list[ast.expr]]:
    """Two of them exchanged, or all moved by one place."""
    for i, j in combinations(range(len(nodes)), 2):
        two = list(nodes)
        two[i], two[j] = two[j], two[i]
        yield two
    if len(nodes) > 2:
        yield nodes[1:] + nodes[:1]
        yield nodes[-1:] + nodes[:-1]


def _in_order(node: ast.Tuple | ast.List) -> bool:
    """Whether these are names for the axes of an array, as n, c, h, w, in their order."""
    if not isinstance(node.ctx, ast.Store):
        return False
    places = ["nchw".find(getattr(name, "id", "?")[0].lower()) for name in node.elts]
    return places == sorted(places)


def _other_slices(node: ast.Subscript, names: list[str]) -> Iterator[Change]:
    """One end of a slice, or of all slices of an index, left out or elsewhere."""
    slices = [part for part in ast.walk(node.slice) if isinstance(part, ast.Slice) and (part.lower or part.upper)]
    steps = ["1", *(name for name in names if len(name) < 4)]
    for chosen in [slices, *([part] for part in slices)] if len(slices) > 1 else [slices]:
        for field in ("lower", "upper", "step"):
            ends = [Slot(part, field) for part in chosen if getattr(part, field) is not None]
            if ends:
                yield Change("slice", node, tuple((end, None) for end in ends))
                yield from (Change("slice", node, moved) for moved in _moved(ends, steps))
        if not chosen:
            break
        both = [Slot(part, end) for part in chosen for end in ("lower", "upper") if getattr(part, end) is not None]
        yield from (Change("slice", node, moved) for moved in _moved(both, steps))


def _moved(ends: list[Slot], steps: list[str]) -> Iterator[tuple[tuple[Slot, ast.expr], ...]]:
    """All of them by the same step, up or down."""
    for step, sign in product(steps, "+-"):
        yield tuple((end, expression(f"end {sign} step", end=end.node, step=expression(step))) for end in ends)


def _other_names(slots: list[Slot], operations: Collection[str]) -> Iterator[Change]:
    """A variable for another one of its sort, a function for another one."""
    called = {slot.node.id for slot in slots if _is_called(slot)} | set(operations)
    sizes = _sizes(slots)
    variables = [name for name in _names(slots) if name not in called]
    for slot in slots:
        node = slot.node
        of_a_shape = getattr(slot.parent, "attr", "") == "shape"
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id != "np" and not of_a_shape:
            for name in sorted(called) if _is_called(slot) else variables:
                if name != node.id and (name in sizes) == (node.id in sizes):
                    yield _change("name", node, slot, expression(name))


def _is_called(slot: Slot) -> bool:
    return slot.field == "func" and isinstance(slot.node, ast.Name)


def _sizes(slots: list[Slot]) -> set[str]:
    """The variables that stand for whole numbers: parts of a shape, counters of loops, and what is made of these."""
    found = {"k"}
    for slot in slots:
        node = slot.node
        if isinstance(node, ast.For):
            found |= {part.id for part in ast.walk(node.target) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.Assign):
            parts = [part for part in ast.walk(node.value) if isinstance(part, (ast.Name, ast.Attribute, ast.Call))]
            whole = all(isinstance(part, ast.Name) and part.id in found for part in parts)
            if whole or any(isinstance(part, ast.Attribute) and part.attr == "shape" for part in parts[:1]):
                found |= {part.id for part in ast.walk(node.targets[0]) if isinstance(part, ast.Name)}
    return found


def _names(slots: list[Slot]) -> list[str]:
    """Of all variables."""
    nodes = (slot.node for slot in slots)
    found = (getattr(node, "id", getattr(node, "arg", "")) for node in nodes if isinstance(node, (ast.Name, ast.arg)))
    return [name for name in dict.fromkeys(found) if name != "np"]


def _added(slots: list[Slot]) -> Iterator[Change]:
    """An index, a transpose, a sign, a sum, a round of a loop more; then a factor or a term."""
    values = [slot for slot in slots if isinstance(slot.node, ast.expr) and _is_value(slot)]
    for slot in values:
        node = slot.node
        if isinstance(slot.parent, ast.BinOp) and isinstance(slot.parent.op, ast.MatMult):
            yield _change("transpose", node, slot, expression("np.swapaxes(x, -1, -2)", x=node))
        if isinstance(node, (ast.Name, ast.Call)):
            yield from (_change("several", node, slot, expression(text, x=node)) for text in ("x[0]", "x[1]"))
            for text in ("x[:, :, None, None]", "x[:, None]", "x[:, :, None]", "x[:, :, 0, 0]"):
                yield _change("ones", node, slot, expression(text, x=node))
        yield _change("sign", node, slot, expression("-x", x=node))
        if isinstance(slot.parent, ast.Call) and getattr(slot.parent.func, "id", "") == "range":
            yield from (_change("number", slot.parent, slot, expression(text, x=node)) for text in ("x + 1", "x - 1"))
    names = _names(slots)
    whole = [slot for slot in values if isinstance(slot.parent, (ast.Assign, ast.AugAssign, ast.Return, ast.Tuple))]
    for slot in whole:
        for axes, keep in product(AXES, (False, True)):
            summed = expression(f"np.sum(x, axis={axes}, keepdims={keep})", x=slot.node)
            yield _change("sum", slot.node, slot, summed)
    for slot in whole:
        if any(isinstance(part, (ast.List, ast.ListComp)) for part in ast.walk(slot.node)):
            continue  # a list times an array is an array, which would hide what is wrong with the list
        for name, sign in product(names, "*+/"):
            yield _change(
                "missing", slot.node, slot, expression(f"x {sign} other", x=slot.node, other=expression(name))
            )


def _is_value(slot: Slot) -> bool:
    """Whether an expression stands where an array or a number is used, not where something gets its name."""
    node = slot.node
    if isinstance(node, (ast.Constant, ast.Lambda)) or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return False
    return slot.field in ("value", "left", "right", "args", "elts", "operand", "comparators", "body")
