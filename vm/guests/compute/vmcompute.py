"""Arrays of a Linux guest, on which its host computes: `import vmcompute as np`, as far as that goes.

    import vmcompute as vc
    a = vc.random.uniform(size=(1024, 1024), seed=1)
    b = vc.array([[1, 2], [3, 4]], dtype="float64")
    print((a @ a.T).sum(), vc.sort(a.reshape(-1))[:3].tolist())
    c = vc.call("my function", a, b, shape=(3,), dtype="float64")       # which the host has registered

Needs root, libvmcompute.so beside this file or where the loader looks, and nothing else: no NumPy. Memory of arrays is
of huge pages, and is given back when the program ends. Errors of the device are `vmcompute.Error`, with its status as
`status`. Names, broadcasting and types are NumPy's; what is not here is left to loops over `tolist()`.
"""

import builtins
import ctypes
import math
import os
import struct

MAXIMUM_RANK = 8
ALL_AXES = (1 << 64) - 1

STATUS = {1: "unsupported", 2: "malformed", 3: "type", 4: "shape", 5: "layout", 6: "address", 7: "limit", 8: "value",
          9: "cancelled", 10: "not found", 11: "failed", 12: "backend", -1: "there is no compute device",
          -2: "the device is of another version", -3: "no huge pages, or /dev/mem cannot be opened (are you root?)",
          -4: "too many pieces of memory", -5: "too many requests at once", -6: "memory is not the device's",
          -7: "the device needs a reset"}

TYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
         "float64", "complex64", "complex128")
FORMATS = ("?", "b", "h", "i", "q", "B", "H", "I", "Q", "e", "f", "d", "2f", "2d")
SIZES = tuple(struct.calcsize("<" + code) for code in FORMATS)

UNARY = {name: number for first, names in (
    (0x10, "negative absolute sign square reciprocal conjugate invert logical_not floor ceil trunc rint isnan isinf "
           "isfinite"),
    (0x20, "sqrt cbrt exp exp2 expm1 log log2 log10 log1p sin cos tan arcsin arccos arctan sinh cosh tanh arcsinh "
           "arccosh arctanh")) for number, name in enumerate(names.split(), first)}
BINARY = {name: number for first, names in (
    (0x40, "add subtract multiply divide floor_divide remainder minimum maximum fmin fmax copysign bitwise_and "
           "bitwise_or bitwise_xor left_shift right_shift equal not_equal less less_equal greater greater_equal "
           "logical_and logical_or logical_xor"),
    (0x60, "power arctan2 hypot")) for number, name in enumerate(names.split(), first)}
REDUCTIONS = {name: 0x70 + number for number, name in enumerate(
    "sum prod min max any all mean var std argmin argmax".split())}
ALONG = {"cumsum": 0x80, "cumprod": 0x81, "sort": 0x88, "argsort": 0x89}
TRANSFORMS = {"fft": 0x98, "ifft": 0x99, "rfft": 0x9A, "irfft": 0x9B}
COPY, WHERE, MATMUL, CONVOLVE, TAKE, CALL = 0x01, 0x68, 0x90, 0xA0, 0xA8, 0xF0
UNIFORM, NORMAL, INTEGERS = 0xB0, 0xB1, 0xB2
MODES = {"full": 0, "same": 1, "valid": 2}
TO_FLOAT = {"divide", "arctan2", "hypot", "copysign", "reciprocal", "mean", "var", "std"} | {
    name for name, number in UNARY.items() if number >= 0x20}
TO_BOOL = {"logical_not", "isnan", "isinf", "isfinite", "equal", "not_equal", "less", "less_equal", "greater",
           "greater_equal", "logical_and", "logical_or", "logical_xor", "any", "all"}


class Error(Exception):
    """A request that the device did not do. Attributes: status, a number, and array, which one was at fault or None."""

    def __init__(self, status, array=None, what=""):
        which = "" if array is None else f" (array {array})"
        super().__init__(f"{what}{': ' if what else ''}{STATUS.get(status, status)}{which}")
        self.status, self.array = status, array


class _Array(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("type", ctypes.c_uint8), ("rank", ctypes.c_uint8),
                ("shape", ctypes.c_uint64 * MAXIMUM_RANK), ("strides", ctypes.c_int64 * MAXIMUM_RANK)]


class _Config(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint32) for name in ("version", "queues")] + [
        ("max_bytes", ctypes.c_uint64), ("max_work", ctypes.c_uint64)] + [
        (name, ctypes.c_uint32) for name in ("max_rank", "max_arrays", "max_segments", "max_request", "types",
                                             "backend")] + [("operations", ctypes.c_uint8 * 32)]


class _Device(ctypes.Structure):
    _fields_ = [("registers", ctypes.c_void_p), ("memory", ctypes.c_void_p), ("slot", ctypes.c_uint),
                ("queues", ctypes.c_uint), ("tag", ctypes.c_uint64), ("config", _Config), ("array", ctypes.c_uint32),
                ("written", ctypes.c_uint64)]


class _Memory:
    """A piece of what the device reaches. Pieces that nobody has any more are given to the next who want that size."""

    free: dict = {}

    def __init__(self, size):
        self.size = 1 << builtins.max(size - 1, 63).bit_length()
        pieces = self.free.get(self.size)
        self.address = pieces.pop() if pieces else _library().vmc_alloc(ctypes.byref(_device()), self.size)
        if not self.address:
            raise MemoryError(f"the guest has no huge pages for {size} bytes")

    def __del__(self):
        if getattr(self, "address", None):
            self.free.setdefault(self.size, []).append(self.address)


_loaded = _opened = None


def _library():
    global _loaded
    if _loaded is None:
        beside = os.path.join(os.path.dirname(os.path.abspath(__file__)), "libvmcompute.so")
        _loaded = ctypes.CDLL(beside if os.path.exists(beside) else "libvmcompute.so")
        _loaded.vmc_alloc.restype = ctypes.c_void_p
        _loaded.vmc_alloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    return _loaded


def _device():
    global _opened
    if _opened is None:
        device = _Device()
        status = _library().vmc_open(ctypes.byref(device), 0)
        if status:
            raise Error(status)
        _opened = device
    return _opened


def _type(name):
    name = {"float": "float64", "int": "int64", "complex": "complex128"}.get(getattr(name, "__name__", name),
                                                                            getattr(name, "__name__", name))
    if name not in TYPES:
        raise TypeError(f"dtype={name!r}: there is {', '.join(TYPES)}")
    return TYPES.index(name)


def _do(operation, inputs, output, parameters=(), what="", name=None):
    """One request; `output` is the last array, or None."""
    device = _device()
    arrays = [one._described() for one in (*inputs, *(() if output is None else (output,)))]
    words = (ctypes.c_uint64 * 4)(*(word & ALL_AXES for word in parameters))
    count, described = len(arrays), (_Array * builtins.max(len(arrays), 1))(*arrays)
    if name is None:
        status = _library().vmc_do(ctypes.byref(device), operation, words, count, described)
    else:
        status = _library().vmc_call(ctypes.byref(device), name.encode(), output is not None, count, described)
    if status:
        at_fault = device.array if status > 0 and device.array != 0xFFFFFFFF else None
        raise Error(status, at_fault, what)
    return output


class Array:
    """An array in memory that the device reaches. Attributes as in NumPy: shape, strides, dtype, ndim, size, T."""

    def __init__(self, shape, dtype="float64", memory=None, address=None, strides=None):
        self.shape = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
        self._type = dtype if isinstance(dtype, int) else _type(dtype)
        self.itemsize = SIZES[self._type]
        if strides is None:
            strides, step = [], self.itemsize
            for length in reversed(self.shape):
                strides.insert(0, step)
                step *= length
        self.strides = tuple(strides)
        self._memory = memory or _Memory(builtins.max(self.size * self.itemsize, 1))
        self._address = self._memory.address if address is None else address

    dtype = property(lambda self: TYPES[self._type])
    ndim = property(lambda self: len(self.shape))
    size = property(lambda self: math.prod(self.shape))
    nbytes = property(lambda self: self.size * self.itemsize)
    T = property(lambda self: self._view(self.shape[::-1], self.strides[::-1]))

    def _view(self, shape, strides, address=None):
        return Array(shape, self._type, self._memory, self._address if address is None else address, strides)

    def _described(self):
        rank = self.ndim
        described = _Array(self._address, self._type, rank)
        described.shape[:rank], described.strides[:rank] = self.shape, self.strides
        return described

    def _place(self, key):
        """The view that an index or slices give."""
        key = key if isinstance(key, tuple) else (key,)
        if len(key) > self.ndim:
            raise IndexError(f"{len(key)} indices of an array of {self.ndim} axes")
        shape, strides, address = [], [], self._address
        for axis, (length, stride) in enumerate(zip(self.shape, self.strides, strict=True)):
            part = key[axis] if axis < len(key) else slice(None)
            if isinstance(part, slice):
                chosen = range(*part.indices(length))
                shape.append(len(chosen))
                strides.append(stride * chosen.step)
                address += stride * chosen.start if chosen else 0
            else:
                address += stride * range(length)[part]
        return self._view(shape, strides, address)

    def __getitem__(self, key):
        found = self._place(key)
        return found if found.ndim else found.tolist()

    def __setitem__(self, key, value):
        place = self._place(key)
        source = asarray(value, None if isinstance(value, Array) else self.dtype)
        _do(COPY, [broadcast_to(source, place.shape)], place, what="copy")

    def __len__(self):
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self):
        return (self[number] for number in range(len(self)))

    def copy(self):
        return self.astype(self.dtype)

    def astype(self, dtype):
        return _do(COPY, [self], Array(self.shape, dtype), what="copy")

    def reshape(self, *shape):
        shape = list(shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape)
        if -1 in shape:
            others = math.prod(length for length in shape if length != -1)
            shape[shape.index(-1)] = self.size // others if others else 0
        if math.prod(shape) != self.size:
            raise ValueError(f"an array of {self.size} elements cannot have the shape {tuple(shape)}")
        dense = self if self._is_dense() else self.copy()
        return Array(shape, dense._type, dense._memory, dense._address)

    def _is_dense(self):
        return self.strides == Array(self.shape, self._type, self._memory).strides

    def transpose(self, *axes):
        axes = axes or range(self.ndim)[::-1]
        return self._view([self.shape[axis] for axis in axes], [self.strides[axis] for axis in axes])

    def tolist(self):
        """Python's numbers, in nested lists."""
        if not self.size:
            return _nested([], self.shape) if self.shape else 0
        dense = self if self._is_dense() else self.copy()
        data = ctypes.string_at(dense._address, dense.nbytes)
        code = FORMATS[self._type]
        if code.startswith("2"):
            parts = struct.unpack(f"<{2 * self.size}{code[1]}", data)
            values = [complex(*pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
        else:
            values = list(struct.unpack(f"<{self.size}{code}", data))
        return _nested(values, self.shape) if self.shape else values[0]

    def item(self):
        if self.size != 1:
            raise ValueError(f"item() of an array of {self.size} elements")
        return self.reshape(()).tolist()

    def __repr__(self):
        shown = self.tolist() if self.size <= 100 else "..."
        return f"array({shown}, shape={self.shape}, dtype={self.dtype})"

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __bool__(self):
        return bool(self.item())

    def __matmul__(self, other):
        return matmul(self, other)

    def __neg__(self):
        return _do(UNARY["negative"], [self], Array(self.shape, self._type), what="negative")

    def __abs__(self):
        return _do(UNARY["absolute"], [self], Array(self.shape, _result("absolute", [self])), what="absolute")

    def __invert__(self):
        return _do(UNARY["invert"], [self], Array(self.shape, self._type), what="invert")


def _nested(values, shape):
    for length in reversed(shape[1:]):
        values = [values[at:at + length] for at in range(0, len(values), length or 1)]
    return values


# --- Making arrays ---------------------------------------------------------------------------------------------------

def empty(shape, dtype="float64"):
    return Array(shape, dtype)


def zeros(shape, dtype="float64"):
    return full(shape, 0, dtype)


def ones(shape, dtype="float64"):
    return full(shape, 1, dtype)


def full(shape, value, dtype="float64"):
    made = Array(shape, dtype)
    return _do(COPY, [broadcast_to(array(value, dtype), made.shape)], made, what="copy")


def arange(start, stop=None, step=1, dtype=None):
    start, stop = (0, start) if stop is None else (start, stop)
    count = builtins.max(math.ceil((stop - start) / step), 0)
    return array([start + number * step for number in range(count)], dtype)


def array(values, dtype=None):
    """Of a number, or of nested lists; float64, int64, bool or complex128 as they are, where no type is said."""
    if isinstance(values, Array):
        return values.copy() if dtype is None else values.astype(dtype)
    shape, flat = [], [values]
    while flat and isinstance(flat[0], (list, tuple, range)):
        shape.append(len(flat[0]))
        if builtins.any(len(one) != shape[-1] for one in flat):
            raise ValueError("lists of different lengths are no array")
        flat = [value for one in flat for value in one]
    if dtype is None:
        kinds = {type(value) for value in flat}
        dtype = ("complex128" if complex in kinds else "float64" if float in kinds or not kinds else
                 "bool" if kinds == {bool} else "int64")
    made = Array(shape, dtype)
    code = FORMATS[made._type]
    if code.startswith("2"):
        data = struct.pack(f"<{2 * len(flat)}{code[1]}", *(part for value in map(complex, flat)
                                                           for part in (value.real, value.imag)))
    else:
        data = struct.pack(f"<{len(flat)}{code}", *(float(value) if code in "efd" else value for value in flat))
    ctypes.memmove(made._address, data, len(data))
    return made


def asarray(values, dtype=None):
    return values if isinstance(values, Array) and dtype in (None, values.dtype) else array(values, dtype)


def frombytes(data, shape, dtype):
    """An array of these bytes, in the order of C."""
    made = Array(shape, dtype)
    if len(data) != made.nbytes:
        raise ValueError(f"{len(data)} bytes are no array of {made.nbytes}")
    ctypes.memmove(made._address, bytes(data), len(data))
    return made


def broadcast_to(one, shape):
    strides = [0] * (len(shape) - one.ndim) + [0 if length == 1 else stride
                                               for length, stride in zip(one.shape, one.strides, strict=True)]
    if _broadcast(one.shape, shape) != tuple(shape):
        raise ValueError(f"an array of the shape {one.shape} cannot be broadcast to {tuple(shape)}")
    return one._view(shape, strides)


def _broadcast(*shapes):
    rank = builtins.max(map(len, shapes), default=0)
    made = []
    for lengths in zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True):
        others = set(lengths) - {1}
        if len(others) > 1:
            raise ValueError(f"shapes {', '.join(map(str, shapes))} cannot be broadcast to one")
        made.append(others.pop() if others else 1)
    return tuple(made)


# --- Types of results ------------------------------------------------------------------------------------------------

def result_type(*dtypes):
    """The smallest type that holds all of these, as in NumPy."""
    numbers = {_type(name) for name in dtypes}
    kind = builtins.max(0 if one == 0 else 1 if one <= 8 else 2 if one <= 11 else 3 for one in numbers)
    if kind == 0:
        return "bool"
    floats = [_bits(one) for one in numbers]
    if kind >= 2:
        widest = builtins.max(floats)
        return {(2, 16): "float16", (2, 32): "float32", (2, 64): "float64", (3, 16): "complex64",
                (3, 32): "complex64", (3, 64): "complex128"}[kind, widest]
    signed = [8 << one - 1 for one in numbers if 1 <= one <= 4]
    unsigned = [8 << one - 5 for one in numbers if one >= 5]
    if not signed:
        return f"uint{builtins.max(unsigned)}"
    wide = builtins.max([*signed, *(2 * bits for bits in unsigned)])
    return f"int{wide}" if wide <= 64 else "float64"


def _bits(number):
    """Of the float that holds a type."""
    return {0: 16, 1: 16, 5: 16, 2: 32, 6: 32, 9: 16, 10: 32, 12: 32}.get(number, 64)


def _result(name, inputs):
    if name in TO_BOOL:
        return "bool"
    made = result_type(*(one.dtype for one in inputs))
    number = _type(made)
    if name in ("argmin", "argmax", "argsort"):
        return "int64"
    if name == "absolute" and number >= 12:
        return "float32" if number == 12 else "float64"
    if name in TO_FLOAT and number < 9:
        bits = 64 if name in ("divide", "mean", "var", "std") else _bits(number)
        made = f"float{bits}"
    if name in ("var", "std") and number >= 12:
        return "float32" if number == 12 else "float64"
    if name in ("sum", "prod", "cumsum", "cumprod") and number < 9:
        return "uint64" if 5 <= number <= 8 else "int64"
    return {"sign": made, "square": "int8" if made == "bool" else made}.get(name, made)


# --- Operations ------------------------------------------------------------------------------------------------------

def _elements(name, number, count):
    def function(*values, out=None):
        if len(values) != count:
            raise TypeError(f"{name} takes {count} arrays")
        known = [one for one in values if isinstance(one, Array)]
        inputs = [one if isinstance(one, Array) else array(one, _type_beside(one, known)) for one in values]
        target = out if out is not None else Array(_broadcast(*(one.shape for one in inputs)), _result(name, inputs))
        return _do(number, inputs, target, what=name)
    function.__name__ = name
    return function


def _type_beside(value, arrays):
    """A plain number takes the type of the arrays beside it, if that is of its kind or above (NEP 50 of NumPy)."""
    if not arrays or isinstance(value, (list, tuple, range)):
        return None
    other = result_type(*(one.dtype for one in arrays))
    number = _type(other)
    if isinstance(value, complex):
        return other if number >= 12 else "complex64" if _bits(number) < 64 else "complex128"
    if isinstance(value, float):
        return other if number >= 9 else "float64"
    return "int64" if number == 0 and not isinstance(value, bool) else other


def _reflected(function):
    return lambda self, other: function(other, self)


def _reduction(name, number):
    def function(values, axis=None):
        one = asarray(values)
        if axis is None:
            shape, parameter = (), ALL_AXES
        else:
            parameter = range(one.ndim)[axis]
            shape = one.shape[:parameter] + one.shape[parameter + 1:]
        made = _do(number, [one], Array(shape, _result(name, [one])), (parameter,), name)
        return made if shape else made.tolist()
    function.__name__ = name
    return function


def _along(name, number):
    def function(values, axis=-1):
        one = asarray(values)
        return _do(number, [one], Array(one.shape, _result(name, [one])), (range(one.ndim)[axis],), name)
    function.__name__ = name
    return function


def _transform(name, number):
    def function(values, n=None, axis=-1):
        one = asarray(values)
        axis = range(one.ndim)[axis]
        shape = list(one.shape)
        if name == "rfft":
            shape[axis] = shape[axis] // 2 + 1
        elif name == "irfft":
            shape[axis] = 2 * (shape[axis] - 1) if n is None else n
        single = one.dtype in ("float16", "float32", "complex64")
        kind = "float" if name == "irfft" else "complex"
        dtype = f"{kind}{(32 if single else 64) * (1 if kind == 'float' else 2)}"
        return _do(number, [one], Array(shape, dtype), (axis,), name)
    function.__name__ = name
    return function


for _name, _number in UNARY.items():
    globals()[_name] = _elements(_name, _number, 1)
for _name, _number in BINARY.items():
    globals()[_name] = _elements(_name, _number, 2)
for _name, _number in REDUCTIONS.items():
    globals()[_name] = _reduction(_name, _number)
    setattr(Array, _name, globals()[_name])
for _name, _number in ALONG.items():
    globals()[_name] = _along(_name, _number)
for _sign, _name in {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power",
                     "floordiv": "floor_divide", "mod": "remainder", "and": "bitwise_and", "or": "bitwise_or",
                     "xor": "bitwise_xor", "lshift": "left_shift", "rshift": "right_shift"}.items():
    setattr(Array, f"__{_sign}__", globals()[_name])
    setattr(Array, f"__r{_sign}__", _reflected(globals()[_name]))
for _sign, _name in {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
                     "ge": "greater_equal"}.items():
    setattr(Array, f"__{_sign}__", globals()[_name])


class fft:
    """fft, ifft, rfft, irfft."""


for _name, _number in TRANSFORMS.items():
    setattr(fft, _name, staticmethod(_transform(_name, _number)))


def where(condition, first, second):
    known = [one for one in (first, second) if isinstance(one, Array)]
    condition = asarray(condition)
    others = [one if isinstance(one, Array) else array(one, _type_beside(one, known)) for one in (first, second)]
    shape = _broadcast(condition.shape, *(one.shape for one in others))
    return _do(WHERE, [condition, *others], Array(shape, _result("where", others)), what="where")


def matmul(left, right):
    left, right = asarray(left), asarray(right)
    rows, columns = left.ndim == 1, right.ndim == 1
    a = left._view((1, *left.shape), (0, *left.strides)) if rows else left
    b = right._view((*right.shape, 1), (*right.strides, 0)) if columns else right
    shape = (*_broadcast(a.shape[:-2], b.shape[:-2]), a.shape[-2], b.shape[-1])
    made = _do(MATMUL, [a, b], Array(shape, _result("matmul", [a, b])), what="matmul")
    if rows:
        made = made._view(made.shape[:-2] + made.shape[-1:], made.strides[:-2] + made.strides[-1:])
    if columns:
        made = made._view(made.shape[:-1], made.strides[:-1])
    return made if made.shape else made.tolist()


def convolve(signal, kernel, mode="full"):
    """Of one, two or three axes."""
    signal, kernel = asarray(signal), asarray(kernel)
    change = {"full": 1, "same": 0, "valid": -1}[mode]
    shape = [n + change * (k - 1) for n, k in zip(signal.shape, kernel.shape, strict=True)]
    return _do(CONVOLVE, [signal, kernel], Array(shape, _result("convolve", [signal, kernel])), (MODES[mode],),
               "convolve")


def take(source, indices, axis=0):
    source, indices = asarray(source), asarray(indices)
    axis = range(source.ndim)[axis]
    shape = source.shape[:axis] + indices.shape + source.shape[axis + 1:]
    return _do(TAKE, [source, indices], Array(shape, source.dtype), (axis,), "take")


class random:
    """Numbers that follow from the seed, on every host."""

    @staticmethod
    def uniform(low=0.0, high=1.0, size=(), seed=0, dtype="float64"):
        return _random(UNIFORM, seed, _word(low), _word(high), size, dtype)

    @staticmethod
    def normal(mean=0.0, deviation=1.0, size=(), seed=0, dtype="float64"):
        return _random(NORMAL, seed, _word(mean), _word(deviation), size, dtype)

    @staticmethod
    def integers(low, high, size=(), seed=0, dtype="int64"):
        return _random(INTEGERS, seed, low, high - low, size, dtype)


def _random(operation, seed, first, second, size, dtype):
    return _do(operation, [], Array(size, dtype), (seed, first, second), "random")


def _word(value):
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def call(name, *arrays, shape=None, dtype="float64"):
    """The host's function of that name; its result is of that shape and type, or there is none if no shape is said."""
    output = None if shape is None else Array(shape, dtype)
    return _do(CALL, [asarray(one) for one in arrays], output, what=name, name=name)
