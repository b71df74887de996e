"""Convolutions as fairseq writes them, `[(512, 10, 5)] + [(512, 3, 2)] * 4`, read without running code."""

import ast
from collections.abc import Sequence
from typing import Any

from s3prl.utility.errors import UserError

ConvLayer = tuple[int, int, int]  # channels, kernel, stride
MOST_LAYERS = 1000  # the text comes from a checkpoint: `* 10 ** 9` may not fill the memory


def parse_conv_layers(text: str | Sequence[Sequence[int | None]]) -> list[tuple[int | None, ...]]:
    """The (channels, kernel, stride) of every layer, of fairseq's text or of a list.

    A text may use lists, tuples, whole numbers, None, `+` of lists and `*` of a list and a number.

    Raises:
        UserError: it is something else.
    """
    try:
        layers = _value(ast.parse(text.strip(), mode="eval").body) if isinstance(text, str) else text
        return [_layer(layer) for layer in _sequence(layers)]
    except (ValueError, SyntaxError, RecursionError) as error:
        raise UserError(
            f"{str(text)[:200]!r} is not a list of convolutions like '[(512, 10, 5)] + [(512, 3, 2)] * 4' "
            f"(channels, kernel, stride): {error}."
        ) from error


def frames_after(samples: int, layers: Sequence[Sequence[int]], paddings: Sequence[int] | None = None) -> int:
    """Exact frames that a stack of (channels, kernel, stride) makes of `samples`; 0 when they are too few.

    Args:
        paddings: zeros that each layer adds at both ends; none by default.
    """
    frames = samples
    for (_, kernel, stride), padding in zip(layers, paddings or [0] * len(layers), strict=True):
        frames = max((frames + 2 * padding - kernel) // stride + 1, 0)
    return frames


def samples_of(frames: int, layers: Sequence[Sequence[int]]) -> int:
    """The fewest samples of which a stack of layers (..., kernel, stride) makes `frames`, at least one."""
    for *_, kernel, stride in reversed(layers):
        frames = (frames - 1) * stride + kernel
    return frames


def _value(node: ast.AST) -> Any:
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Constant) and (node.value is None or type(node.value) is int):
        return node.value
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _bounded(_sequence(_value(node.left)), 1) + _bounded(_sequence(_value(node.right)), 1)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        return _repeated(_value(node.left), _value(node.right))
    raise ValueError(f"'{ast.unparse(node)}' is not allowed in it")


def _repeated(one: Any, other: Any) -> list:
    layers, times = (other, one) if isinstance(other, list) else (one, other)
    if type(times) is not int:
        raise ValueError(f"a list is repeated a number of times, not {times!r}")
    return _bounded(_sequence(layers), times) * times


def _bounded(layers: list, times: int) -> list:
    if len(layers) * times > MOST_LAYERS:
        raise ValueError(f"it has more than {MOST_LAYERS} layers")
    return layers


def _sequence(value: Any) -> list:
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise ValueError(f"{value!r} is not a list")
    return list(value)


def _layer(value: Any) -> tuple[int | None, ...]:
    layer = tuple(_sequence(value))
    if len(layer) != 3 or not all(item is None or (type(item) is int and item > 0) for item in layer):
        raise ValueError(f"{layer} is not three positive whole numbers")
    return layer
