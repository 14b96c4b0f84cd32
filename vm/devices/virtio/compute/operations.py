"""What the compute device can be asked for: a table, with the rules of each family of operations.

An operation has inputs and one output, and is named as in NumPy, whose rules of shapes and types hold but for this: the
output has exactly the result's shape, and its type takes the result's by `same_kind`. All is checked before any memory
of the guest is looked at, and what it costs is known then: `work`, in elements that a simple loop handles, and
`scratch`, bytes that the host holds meanwhile. So a limit on time is the same on every host.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from vm.devices.virtio.compute import random_numbers
from vm.devices.virtio.compute.layout import Layout, Refused, Status, apart

Array = Any                             # of NumPy or of what stands in for it
Numbers = tuple[int, ...]               # parameters

ALL_AXES = (1 << 64) - 1                # a parameter
FULL, SAME, VALID = 0, 1, 2             # of a convolution
LARGEST_RANK_OF_CONVOLUTION = 3
BLAS, HALF = "fdFD", "e"                # types whose products are made by a library, and one that is slow
HEAVY = 8                               # what a transcendental function costs beside an addition
TRANSFORM_COST = 5                      # of an element in each of log2(n) stages
UNUSUAL_LENGTH = 4                      # and how much more, where a length is no product of small primes


class Cost(NamedTuple):
    work: int
    scratch: int = 0


class Operation(NamedTuple):
    """A row of the table.

    - check: of the operation, the inputs, the output and the parameters: what it costs. Raises Refused.
    - result: of a module like NumPy, the inputs, the parameters and the output's shape: an array.
    - into: the same, into the output, where that saves a copy. Also of what changes its output.
    """

    name: str
    inputs: int
    check: Callable[[Operation, Sequence[Layout], Layout, Numbers], Cost]
    result: Callable[[Operation, Any, Sequence[Array], Numbers, tuple[int, ...]], Array] | None
    into: Callable[[Operation, Any, Sequence[Array], Array, Numbers], object] | None = None
    weight: int = 1
    reads_output: bool = False

    def compute(self, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
        """Do it, with the functions of `xp`. Inputs and output may lie over each other."""
        if self.into is not None:
            self.into(self, xp, inputs, output, parameters)
        else:
            assert self.result is not None
            output[...] = self.result(self, xp, inputs, parameters, output.shape)


# --- What families share ---------------------------------------------------------------------------------------------

def refuse_shape(wrong: object, array: int) -> None:
    if wrong:
        raise Refused(Status.SHAPE, array)


def axis_of(shape: tuple[int, ...], parameter: int) -> int:
    """Raises Refused for an axis that there is not."""
    if parameter >= len(shape):
        raise Refused(Status.MALFORMED)
    return parameter


def refuse_types(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers,
                 shape: tuple[int, ...] = ()) -> None:
    """Raise Refused unless NumPy does it with one element of each of these types, and the output takes the result."""
    assert operation.result is not None
    ones = [np.ones((1,) * len(layout.shape), layout.dtype) for layout in inputs]
    try:
        with np.errstate(all="ignore"):
            made = np.asarray(operation.result(operation, np, ones, parameters, shape)).dtype
    except TypeError:
        raise Refused(Status.TYPE) from None
    if not np.can_cast(made, output.dtype, "same_kind"):
        raise Refused(Status.TYPE, len(inputs))


def logarithm(length: int) -> int:
    return max(length.bit_length(), 1)


# --- Element by element ----------------------------------------------------------------------------------------------

def check_elements(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    try:
        shape = np.broadcast_shapes(*[layout.shape for layout in inputs])
    except ValueError:
        raise Refused(Status.SHAPE) from None
    refuse_shape(shape != output.shape, len(inputs))
    refuse_types(operation, inputs, output, parameters)
    return Cost(output.size * operation.weight, output.size * max(layout.dtype.itemsize for layout in inputs))


def elements(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
             shape: tuple[int, ...]) -> Array:
    return getattr(xp, operation.name)(*inputs)


def elements_into(operation: Operation, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    getattr(xp, operation.name)(*inputs, out=output)


def check_copy(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    """Any type into any other, but that of a complex number only a part would be left."""
    source, = inputs
    refuse_shape(source.shape != output.shape, 1)
    if source.dtype.kind == "c" and output.dtype.kind not in "cb":
        raise Refused(Status.TYPE, 1)
    return Cost(output.size, output.nbytes)


def copy_into(operation: Operation, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    output[...] = inputs[0]


# --- Along an axis ---------------------------------------------------------------------------------------------------

def check_reduction(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    """Over one axis, or all. What has no value for nothing is refused there."""
    shape = inputs[0].shape
    left: tuple[int, ...] = ()
    over = inputs[0].size
    if parameters[0] != ALL_AXES:
        axis = axis_of(shape, parameters[0])
        left, over = shape[:axis] + shape[axis + 1:], shape[axis]
    refuse_shape(over == 0 and operation.name not in ("sum", "prod", "any", "all"), 0)
    refuse_shape(left != output.shape, 1)
    refuse_types(operation, inputs, output, parameters)
    wide = 32 if inputs[0].dtype.kind == "c" else 8
    return Cost((inputs[0].size + output.size) * operation.weight, inputs[0].size * wide)


def reduction(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
              shape: tuple[int, ...]) -> Array:
    axis = None if parameters[0] == ALL_AXES else parameters[0]
    return getattr(xp, operation.name)(inputs[0], axis=axis)


def check_along(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    """Each row along an axis becomes another of the same length."""
    shape = inputs[0].shape
    axis = axis_of(shape, parameters[0])
    refuse_shape(shape != output.shape, 1)
    refuse_types(operation, inputs, output, parameters)
    stages = logarithm(shape[axis]) if operation.name in ("sort", "argsort") else 1
    return Cost(inputs[0].size * stages * operation.weight, inputs[0].size * 32)


def along(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
          shape: tuple[int, ...]) -> Array:
    return getattr(xp, operation.name)(inputs[0], axis=parameters[0])


def ordered(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
            shape: tuple[int, ...]) -> Array:
    return getattr(xp, operation.name)(inputs[0], axis=parameters[0], kind="stable")


# --- Products, transforms, convolutions ------------------------------------------------------------------------------

def check_product(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    """Matrices in the last two axes; those before are broadcast."""
    left, right = (layout.shape for layout in inputs)
    for number, shape in enumerate((left, right)):
        refuse_shape(len(shape) < 2, number)
    refuse_shape(left[-1] != right[-2], 1)
    try:
        batch = np.broadcast_shapes(left[:-2], right[:-2])
    except ValueError:
        raise Refused(Status.SHAPE, 1) from None
    refuse_shape(output.shape != (*batch, left[-2], right[-1]), 2)
    refuse_types(operation, inputs, output, parameters, (1,) * len(output.shape))
    steps = math.prod(batch) * left[-2] * left[-1] * right[-1]
    quick = all([fits_library(layout) for layout in (*inputs, output)])
    slow = any([layout.dtype.char == HALF for layout in inputs])
    return Cost(output.size + (steps // 8 if quick else HEAVY * steps if slow else 2 * steps),
                16 * (inputs[0].size + inputs[1].size + output.size))


def fits_library(layout: Layout) -> bool:
    """Whether the products of such matrices are made by a library: rows or columns lie in one piece, one behind the
    other."""
    (rows, columns), (down, right) = layout.shape[-2:], layout.strides[-2:]
    size = layout.dtype.itemsize
    by_rows = (right == size or columns < 2) and (down >= size * columns or rows < 2)
    by_columns = (down == size or rows < 2) and (right >= size * rows or columns < 2)
    return layout.dtype.char in BLAS and (by_rows or by_columns)


def product_into(operation: Operation, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    xp.matmul(*inputs, out=output)


def check_transform(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    shape = inputs[0].shape
    axis = axis_of(shape, parameters[0])
    refuse_shape(len(output.shape) != len(shape), 1)
    length = output.shape[axis] if operation.name == "irfft" else shape[axis]
    refuse_shape(length == 0, 0)
    half = length // 2 + 1
    there, back = {"rfft": (length, half), "irfft": (half, length)}.get(operation.name, (length, length))
    refuse_shape(shape[axis] != there, 0)
    refuse_shape(output.shape != (*shape[:axis], back, *shape[axis + 1:]), 1)
    refuse_types(operation, inputs, output, parameters, (1,) * len(shape))
    size = max(inputs[0].size, output.size)
    per_element = TRANSFORM_COST * logarithm(length) * (1 if smooth(length) else UNUSUAL_LENGTH)
    return Cost(size * per_element, 64 * size)


def smooth(length: int) -> bool:
    """Whether it is a product of primes up to 11, for which a transform is short."""
    for prime in (2, 3, 5, 7, 11):
        while length % prime == 0:
            length //= prime
    return length == 1


def transform(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
              shape: tuple[int, ...]) -> Array:
    axis = parameters[0]
    length = shape[axis] if operation.name == "irfft" else None
    return getattr(xp.fft, operation.name)(inputs[0], n=length, axis=axis)


def check_convolution(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    signal, kernel = (layout.shape for layout in inputs)
    refuse_shape(len(signal) != len(kernel) or not 0 < len(signal) <= LARGEST_RANK_OF_CONVOLUTION, 1)
    refuse_shape(0 in signal, 0)
    refuse_shape(0 in kernel, 1)
    if parameters[0] not in (FULL, SAME, VALID):
        raise Refused(Status.MALFORMED)
    refuse_shape(parameters[0] == VALID and any(n < k for n, k in zip(signal, kernel, strict=True)), 1)
    refuse_shape(output.shape != convolved_shape(signal, kernel, parameters[0]), 2)
    refuse_types(operation, inputs, output, parameters, (1,) * len(output.shape))
    padded = math.prod([n + 2 * k for n, k in zip(signal, kernel, strict=True)])
    return Cost(4 * output.size * inputs[1].size + padded + output.size, 32 * (padded + 2 * output.size))


def convolved_shape(signal: tuple[int, ...], kernel: tuple[int, ...], mode: int) -> tuple[int, ...]:
    change = {FULL: 1, SAME: 0, VALID: -1}[mode]
    return tuple([n + change * (k - 1) for n, k in zip(signal, kernel, strict=True)])


def convolution(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
                shape: tuple[int, ...]) -> Array:
    """By the sum that defines it: an addition of arrays for each element of the kernel, or of the output, if those are
    fewer."""
    signal, kernel = inputs
    made = np.result_type(np.dtype(str(signal.dtype)), np.dtype(str(kernel.dtype)))
    befores: dict[int, Callable[[int], int]] = {FULL: lambda k: k - 1, SAME: lambda k: k // 2, VALID: lambda k: 0}
    before = befores[parameters[0]]
    padded = xp.zeros([n + k - 1 for n, k in zip(shape, kernel.shape, strict=True)], made)
    padded[tuple([slice(before(k), before(k) + n) for n, k in zip(signal.shape, kernel.shape, strict=True)])] = signal
    kernel = kernel[(slice(None, None, -1),) * kernel.ndim].astype(made)
    total = xp.zeros(shape, made)
    few, many = (kernel, total) if kernel.size <= total.size else (total, kernel)
    for place in product(*map(range, few.shape)):
        window = padded[tuple([slice(at, at + n) for at, n in zip(place, many.shape, strict=True)])]
        if few is kernel:
            total += kernel[place] * window
        else:
            total[place] = (kernel * window).sum(dtype=made)
    return total


# --- Gather, scatter, random -----------------------------------------------------------------------------------------

def refuse_indices(layout: Layout, array: int) -> None:
    if layout.dtype.kind not in "iu":
        raise Refused(Status.TYPE, array)


def check_gather(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    source, indices = inputs
    axis = axis_of(source.shape, parameters[0])
    refuse_indices(indices, 1)
    refuse_shape(output.shape != source.shape[:axis] + indices.shape + source.shape[axis + 1:], 2)
    if not np.can_cast(source.dtype, output.dtype, "same_kind"):
        raise Refused(Status.TYPE, 2)
    return Cost(output.size + indices.size,
                output.size * source.dtype.itemsize + source.nbytes + 16 * indices.size)


def gather(operation: Operation, xp: Any, inputs: Sequence[Array], parameters: Numbers,
           shape: tuple[int, ...]) -> Array:
    source, indices = inputs
    return xp.take(source, indices.astype(np.int64), axis=parameters[0])


def check_scatter(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    values, indices = inputs
    axis = axis_of(output.shape, parameters[0])
    refuse_indices(indices, 1)
    refuse_shape(len(indices.shape) != 1, 1)
    refuse_shape(values.shape != output.shape[:axis] + indices.shape + output.shape[axis + 1:], 0)
    if not np.can_cast(values.dtype, output.dtype, "same_kind"):
        raise Refused(Status.TYPE, 2)
    return Cost(operation.weight * values.size + indices.size, 2 * values.nbytes + 16 * indices.size)


def scatter_into(operation: Operation, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    values, indices = inputs
    place = (slice(None),) * parameters[0] + (indices.astype(np.int64),)
    if operation.name == "scatter":
        output[place] = values.copy()       # of which the output may be a part
    else:
        xp.add.at(output, place, values.astype(output.dtype))


def check_random(operation: Operation, inputs: Sequence[Layout], output: Layout, parameters: Numbers) -> Cost:
    if output.dtype.kind not in ("iu" if operation.name == "random_integers" else "f"):
        raise Refused(Status.TYPE, 0)
    return Cost(HEAVY * output.size, 64 * min(output.size, random_numbers.AT_ONCE))


def random_into(operation: Operation, xp: Any, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    """On the host whatever the backend is, so that a seed gives the same everywhere."""
    make = getattr(random_numbers, operation.name.removeprefix("random_"))
    numbers = np.empty(output.shape, np.dtype(str(output.dtype)))
    random_numbers.fill(numbers, make, *parameters[:3])
    output[...] = numbers if xp is np else xp.asarray(numbers)


# --- The table -------------------------------------------------------------------------------------------------------

def table() -> dict[int, Operation]:
    """The operations by their numbers in a request."""
    rows: dict[int, Operation] = {}

    def family(first: int, inputs: int, names: str, check: Any, result: Any, into: Any = None, weight: int = 1,
               reads_output: bool = False) -> None:
        for number, name in enumerate(names.split(), first):
            assert number not in rows
            rows[number] = Operation(name, inputs, check, result, into, weight, reads_output)

    family(0x01, 1, "copy", check_copy, None, copy_into)
    family(0x10, 1, "negative absolute sign square reciprocal conjugate invert logical_not floor ceil trunc rint isnan "
                    "isinf isfinite", check_elements, elements, elements_into)
    family(0x20, 1, "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh "
                    "arcsinh arccosh arctanh", check_elements, elements, elements_into, HEAVY)
    family(0x40, 2, "add subtract multiply divide floor_divide remainder minimum maximum fmin fmax copysign "
                    "bitwise_and bitwise_or bitwise_xor left_shift right_shift equal not_equal less less_equal greater "
                    "greater_equal logical_and logical_or logical_xor", check_elements, elements, elements_into)
    family(0x60, 2, "power arctan2 hypot", check_elements, elements, elements_into, HEAVY)
    family(0x68, 3, "where", check_elements, elements)
    family(0x70, 1, "sum prod min max any all mean var std argmin argmax", check_reduction, reduction)
    family(0x80, 1, "cumsum cumprod", check_along, along)
    family(0x88, 1, "sort argsort", check_along, ordered)
    family(0x90, 2, "matmul", check_product, elements, product_into)
    family(0x98, 1, "fft ifft rfft irfft", check_transform, transform)
    family(0xA0, 2, "convolve", check_convolution, convolution)
    family(0xA8, 2, "take", check_gather, gather)
    family(0xA9, 2, "scatter", check_scatter, None, scatter_into, 1, True)
    family(0xAA, 2, "scatter_add", check_scatter, None, scatter_into, HEAVY, True)
    family(0xB0, 0, "random_uniform random_normal random_integers", check_random, None, random_into)
    return rows


OPERATIONS = table()
INDEXED = {"take": 0, "scatter": -1, "scatter_add": -1}     # of which array the indices are; -1: the output


def planned(operation: Operation, arrays: Sequence[Layout], parameters: Numbers) -> Cost:
    """What an operation costs. Raises Refused for what cannot be done with these arrays."""
    if len(arrays) != operation.inputs + 1:
        raise Refused(Status.MALFORMED)
    *inputs, output = arrays
    if not apart(output):
        raise Refused(Status.LAYOUT, len(inputs))
    return operation.check(operation, inputs, output, parameters)


def refuse_indices_outside(operation: Operation, inputs: Sequence[Array], output: Array, parameters: Numbers) -> None:
    """Raise Refused where the guest's indices, which are looked at here for the first time, name no element."""
    if operation.name in INDEXED:
        indices = inputs[1]
        length = (output if INDEXED[operation.name] < 0 else inputs[0]).shape[parameters[0]]
        if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < length:
            raise Refused(Status.VALUE, 1)
