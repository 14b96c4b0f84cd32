"""Every operation of the compute device beside NumPy, on random shapes, strides and types.

The numbers of operations are the specification's (docs/devices/compute.md), and so is what each is called in NumPy.
"""

import re
from pathlib import Path
from random import Random

import numpy as np
import pytest

from tests.devices.compute_driver import ALL_AXES, ARRAYS, OK, TYPE, TYPES, Computer, type_of
from vm.devices import ComputeDevice

SPECIFICATION = Path(__file__).parents[2] / "docs/devices/compute.md"
NUMBERS = {name: int(number, 16) for number, name in re.findall(r"^\| `(0x\w\w)` \| `(\w+)`",
                                                                SPECIFICATION.read_text(), re.MULTILINE)}
UNARY = """
negative absolute sign square reciprocal conjugate invert logical_not floor ceil trunc rint isnan isinf
isfinite sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh arccosh
arctanh""".split()
BINARY = """add subtract multiply divide floor_divide remainder minimum maximum fmin fmax copysign bitwise_and
bitwise_or bitwise_xor left_shift right_shift equal not_equal less less_equal greater greater_equal logical_and
logical_or logical_xor power arctan2 hypot""".split()
REDUCTIONS = "sum prod min max any all mean var std argmin argmax".split()
ROUNDS = 8


@pytest.fixture(scope="module")
def computer():
    computer = Computer(ComputeDevice())
    yield computer
    computer.close()


@pytest.fixture
def random(request, computer):
    computer.free = ARRAYS
    return Random(request.node.nodeid)


def shape_of(random, least=0, most=3):
    return tuple(random.choice((1, 2, 3, 5, 8)) for _ in range(random.randint(least, most)))


def values(random, shape, dtype):
    """Random numbers, among them some that are special, with strides of all kinds."""
    dtype = np.dtype(dtype)
    factors = [random.choice((1, 1, 2, 3)) for _ in shape]
    wide = [length * factor for length, factor in zip(shape, factors, strict=True)]
    order = random.sample(range(len(shape)), len(shape))
    source = np.random.default_rng(random.randrange(1 << 32))
    base = source.normal(size=[wide[axis] for axis in order]) * random.choice((1, 10))
    if dtype.kind == "c":
        base = base + 1j * source.normal(size=base.shape)
    elif dtype.kind == "f":
        base.flat[:: random.randint(3, 50)] = random.choice((0.0, -0.0, np.inf, np.nan, 1.0))
    elif dtype.kind == "u":
        base = abs(base)
    base = base.astype(dtype)
    array = base.transpose(np.argsort(order)) if shape else base
    step = [slice(None, None, factors[axis] * random.choice((1, -1))) for axis in range(len(shape))]
    return array[tuple(step)]


def scattered(computer, random, array):
    """The same array, now and then in several pieces of memory."""
    description = computer.place(array)
    if random.random() < 0.6 or not array.size:
        return description
    (address, length), = description.segments
    cut = random.randrange(length + 1)
    middle = computer.free
    computer.free += (length + 63) // 64 * 64
    computer.memory.write(middle, computer.memory.read(address + cut, length - cut))
    first = ((address, cut), (middle, length - cut)) if cut else ((middle, length),)
    return description._replace(segments=first)


# NumPy has several loops for these, by how numbers lie in memory, and on some hosts their last bits differ.
APPROXIMATE = {"sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh",
               "arctanh", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "cbrt", "power", "arctan2"}


def compare(computer, random, name, inputs, expected, parameters=(), output_type=None, exact=True):
    """The operation on these inputs gives what NumPy gave."""
    expected = np.asarray(expected)
    if output_type is not None:
        expected = expected.astype(output_type)
    output = scattered(computer, random, values(random, expected.shape, expected.dtype))
    places = [scattered(computer, random, array) for array in inputs]
    reply = computer.do(NUMBERS[name], places, output, parameters)
    assert reply == (OK, 0xFFFF_FFFF, expected.nbytes), (name, [(a.dtype, a.shape) for a in inputs], expected.dtype)
    if not exact:
        np.testing.assert_allclose(computer.value(output), expected)
    elif name in APPROXIMATE and expected.dtype.kind in "fc":
        np.testing.assert_allclose(computer.value(output), expected, rtol=8 * np.finfo(expected.dtype).eps, atol=0)
    else:
        np.testing.assert_array_equal(computer.value(output), expected)


def refused_for_its_type(computer, name, inputs, parameters=()):
    """NumPy has no such types, and the device says so."""
    output = computer.room(np.broadcast_shapes(*[one.shape for one in inputs]), "complex128")
    return computer.do(NUMBERS[name], [computer.place(one) for one in inputs], output, parameters).status == TYPE


def test_specification_names_every_operation():
    from vm.devices.virtio.compute.operations import OPERATIONS

    listed = {number: name for name, number in NUMBERS.items() if name not in ("empty", "call", "cancel")}
    assert listed == {number: operation.name for number, operation in OPERATIONS.items()}


@pytest.mark.parametrize("name", UNARY)
def test_element_by_element(computer, random, name):
    done = 0
    for dtype in TYPES:
        array = values(random, shape_of(random), dtype)
        with np.errstate(all="ignore"):
            try:
                expected = getattr(np, name)(array)
            except TypeError:
                assert refused_for_its_type(computer, name, [array])
                continue
        compare(computer, random, name, [array], expected)
        done += 1
    assert done


@pytest.mark.parametrize("name", BINARY)
def test_two_by_two_with_broadcasting(computer, random, name):
    done = 0
    for left in TYPES:
        shape = shape_of(random)
        other = tuple(random.choice((1, length)) for length in shape[random.randint(0, len(shape)):])
        right = random.choice((left, random.choice(TYPES)))
        arrays = [values(random, shape, left), values(random, other, right)]
        with np.errstate(all="ignore"):
            try:
                expected = getattr(np, name)(*arrays)
            except TypeError:
                assert refused_for_its_type(computer, name, arrays)
                continue
            except ValueError:              # an integer to the power of a negative one
                continue
        compare(computer, random, name, arrays, expected)
        done += 1
    assert done


@pytest.mark.parametrize("number", range(ROUNDS))
def test_choice_between_two(computer, random, number):
    shape = shape_of(random)
    arrays = [values(random, shape, "bool"), values(random, shape, random.choice(TYPES)),
              values(random, shape[1:], random.choice(TYPES))]
    compare(computer, random, "where", arrays, np.where(*arrays))


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reductions_over_an_axis_and_over_all(computer, random, name):
    for dtype in TYPES:
        for axis in (None, random.randrange(3)):
            array = values(random, shape_of(random, 3, 3), dtype)
            with np.errstate(all="ignore"):
                expected = getattr(np, name)(array, axis=axis)
            compare(computer, random, name, [array], expected, (ALL_AXES if axis is None else axis,))


@pytest.mark.parametrize("name", ["cumsum", "cumprod", "sort", "argsort"])
def test_along_an_axis(computer, random, name):
    for dtype in TYPES:
        array = values(random, shape_of(random, 2, 3), dtype)
        axis = random.randrange(array.ndim)
        options = {"kind": "stable"} if "sort" in name else {}
        with np.errstate(all="ignore"):
            compare(computer, random, name, [array], getattr(np, name)(array, axis=axis, **options), (axis,))


@pytest.mark.parametrize("number", range(4 * ROUNDS))
def test_products_of_matrices_in_batches(computer, random, number):
    rows, inner, columns = (random.choice((0, 1, 3, 8, 17)) for _ in range(3))
    batch = shape_of(random, 0, 2)
    dtypes = random.choice(TYPES), random.choice(TYPES)
    left, right = values(random, (*batch, rows, inner), dtypes[0]), values(random, (inner, columns), dtypes[1])
    with np.errstate(all="ignore"):
        expected = np.matmul(left, right)
    compare(computer, random, "matmul", [left, right], expected, exact=False)


@pytest.mark.parametrize("name", ["fft", "ifft", "rfft", "irfft"])
def test_transforms(computer, random, name):
    for dtype in [one for one in TYPES if name != "rfft" or "complex" not in one]:
        array = values(random, (*shape_of(random, 0, 1), random.choice((5, 8, 13)), *shape_of(random, 0, 1)), dtype)
        axis = random.randrange(array.ndim)
        odd = {"n": max(2 * (array.shape[axis] - 1) + random.randrange(2), 1)} if name == "irfft" else {}
        with np.errstate(all="ignore"):
            expected = getattr(np.fft, name)(array, axis=axis, **odd)
        compare(computer, random, name, [array], expected, (axis,), exact=False)


def convolved(signal, kernel):
    """By definition, one element after the other."""
    made = np.zeros([n + k - 1 for n, k in zip(signal.shape, kernel.shape, strict=True)],
                    np.result_type(signal, kernel))
    for place in np.ndindex(*signal.shape):
        for other in np.ndindex(*kernel.shape):
            made[tuple(np.add(place, other))] += signal[place] * kernel[other]
    return made


@pytest.mark.parametrize("number", range(4 * ROUNDS))
def test_convolutions(computer, random, number):
    rank, mode = random.randint(1, 3), random.randrange(3)
    kernel = values(random, shape_of(random, rank, rank), random.choice(TYPES))
    signal = values(random, tuple(k + random.randrange(4) for k in kernel.shape), random.choice(TYPES))
    with np.errstate(all="ignore"):
        full = convolved(signal, kernel)
    cuts = {0: [slice(None)] * rank,
            1: [slice((k - 1) // 2, (k - 1) // 2 + n) for n, k in zip(signal.shape, kernel.shape, strict=True)],
            2: [slice(k - 1, n) for n, k in zip(signal.shape, kernel.shape, strict=True)]}
    expected = full[tuple(cuts[mode])]
    if np.isfinite(full).all() and full.dtype != np.float16:
        compare(computer, random, "convolve", [signal, kernel], expected, (mode,), exact=False)


@pytest.mark.parametrize("number", range(ROUNDS))
def test_gather_and_scatter(computer, random, number):
    array = values(random, shape_of(random, 2, 3), random.choice(TYPES))
    axis = random.randrange(array.ndim)
    kind = random.choice([one for one in TYPES if "int" in one])
    indices = np.array([random.randrange(array.shape[axis]) for _ in range(4)], kind)
    indices = indices.reshape(random.choice(((4,), (2, 2))))
    compare(computer, random, "take", [array, indices], np.take(array, indices, axis=axis), (axis,))

    indices = indices.reshape(-1)
    parts = values(random, array.shape[:axis] + (4,) + array.shape[axis + 1:], array.dtype)
    for name in ("scatter", "scatter_add"):
        output = scattered(computer, random, array)
        expected = array.copy()
        place = (slice(None),) * axis + (indices,)
        if name == "scatter":
            for number, index in enumerate(indices):
                expected[(slice(None),) * axis + (index,)] = parts[(slice(None),) * axis + (number,)]
        else:
            with np.errstate(all="ignore"):
                np.add.at(expected, place, parts)
        reply = computer.do(NUMBERS[name], [computer.place(parts), computer.place(indices)], output, (axis,))
        assert reply.status == OK
        np.testing.assert_array_equal(computer.value(output), expected)


@pytest.mark.parametrize("source", TYPES)
def test_copies_convert(computer, random, source):
    for target in TYPES:
        array = np.nan_to_num(values(random, shape_of(random), source), posinf=1, neginf=1).clip(0, 100) \
            if "complex" not in source else values(random, shape_of(random), source)
        if "complex" in source and "complex" not in target and target != "bool":
            output = computer.room(array.shape, target)
            assert computer.do(NUMBERS["copy"], [computer.place(array)], output).status == TYPE
        else:
            compare(computer, random, "copy", [array], array.astype(target))


def test_output_takes_the_result_by_the_same_kind(computer, random):
    array = values(random, (4, 4), "float64")
    with np.errstate(all="ignore"):
        compare(computer, random, "add", [array, array], array + array, output_type="float16")
        compare(computer, random, "sum", [array], array.sum(), (ALL_AXES,), output_type="complex64")
    place = computer.place(array)
    assert computer.do(NUMBERS["add"], [place, place], computer.room((4, 4), "int64"))[:2] == (TYPE, 2)


def philox(seed, count):
    """Philox4x64-10 of the paper, in plain numbers: four words for each value of the counter, which begins at 1."""
    mask = (1 << 64) - 1
    words = []
    for block in range(1, -(-count // 4) + 1):
        counter, key = [block, 0, 0, 0], [seed, 0]
        for _ in range(10):
            first, second = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
            counter = [second >> 64 ^ counter[1] ^ key[0], second & mask,
                       first >> 64 ^ counter[3] ^ key[1], first & mask]
            key = [key[0] + 0x9E3779B97F4A7C15 & mask, key[1] + 0xBB67AE8584CAA73B & mask]
        words += counter
    return words[:count]


def double(value):
    return int(np.float64(value).view(np.uint64))


def test_random_numbers_are_philoxs(computer, random):
    words = philox(5, 6)
    uniform = [2 + 3 * ((word >> 11) / 2 ** 53) for word in words]
    compare(computer, random, "random_uniform", [], np.reshape(uniform, (2, 3)), (5, double(2.0), double(5.0)),
            exact=False)
    integers = [-7 + word % 10 for word in words]
    compare(computer, random, "random_integers", [], np.array(integers, "int32"), (5, -7, 10))
    normal = []
    for first, second in zip(words[::2], words[1::2], strict=True):
        radius = np.sqrt(-2 * np.log(1 - (first >> 11) / 2 ** 53))
        angle = 2 * np.pi * ((second >> 11) / 2 ** 53)
        normal += [1 + 2 * radius * np.cos(angle), 1 + 2 * radius * np.sin(angle)]
    compare(computer, random, "random_normal", [], np.array(normal), (5, double(1.0), double(2.0)), exact=False)


def test_random_numbers_of_a_seed_go_on_beyond_what_is_made_at_once(computer, random):
    place = computer.room((70_001,), "float64")
    assert computer.do(NUMBERS["random_uniform"], [], place, (9, double(0.0), double(1.0))).status == OK
    drawn = computer.value(place)
    assert abs(drawn.mean() - 0.5) < 6 * np.sqrt(1 / 12 / 70_001)         # six standard deviations
    assert len(np.unique(drawn)) == 70_001


def test_types_have_their_numbers():
    assert [type_of(name) for name in TYPES] == list(range(14))
