"""The compute device from Debian, with its kernel as it is: the C example, and the Python module beside NumPy."""

import json

import numpy as np
import pytest

import vm
from vm.devices import ComputeDevice, Entropy, SharedFolder
from vm.guests.compute import FOLDER
from vm.images import debian

pytestmark = pytest.mark.network

# In the guest `np` is vmcompute, here it is NumPy: both have a, an array of integers, b and c, of floats, and z.
EXPRESSIONS = [
    "a + 1", "a + 1.5", "1 / a", "a // 2", "-a", "abs(b)", "~a", "a @ a.T", "b @ b[0]", "b[0] @ b[0]", "b > 0",
    "(b > 0) & (b < 1)", "2 ** a", "a % 3", "a << 2", "a == a.T", "np.sqrt(abs(b))", "np.exp(b)", "np.sin(a)",
    "np.hypot(b, 2.0)", "np.maximum(b, c)", "np.where(b > 0, b, 0.0)", "a.sum()", "a.sum(axis=0)", "b.mean(axis=1)",
    "b.std()", "np.var(b, axis=0)", "a.argmax()", "b.argmin(axis=1)", "np.any(b > 9)", "np.all(b < 9, axis=0)",
    "np.prod(a, axis=1)", "np.cumsum(a, axis=1)", "np.sort(b, axis=0)", "np.argsort(b)", "np.fft.fft(b)",
    "np.fft.ifft(z)", "np.fft.rfft(b)", "np.fft.irfft(z)", "np.fft.irfft(z, n=5)", "np.take(b, [2, 0], axis=1)",
    "b[::-1, 1:]", "b[1, 2]", "b[-1]", "b.T.reshape(-1)", "b.reshape(-1, 1)", "b.astype('float32')", "b.astype('int8')",
    "z * z", "abs(z)", "z + 1", "z + 1j", "np.conjugate(z)", "a.astype('uint8') + a.astype('int8')",
    "a.astype('uint32') + a.astype('int32')", "a.astype('uint64') + a", "a.astype('int16') + c",
    "a.astype('int64') * c", "c * 2", "c * 2.5", "c + b", "np.sqrt(a.astype('int8'))", "np.sqrt(a.astype('int16'))",
    "a.astype('uint8').sum()", "c.sum(axis=0)", "(a > 2).sum()", "(a > 2) + 1", "np.sign(b)", "np.floor(b)",
    "np.isnan(b)", "np.logical_not(a)", "c.mean()", "a.astype('uint8').mean(axis=1)", "np.zeros((2, 0)).sum()",
    "np.full((2, 2), 7, 'int16')", "np.arange(3, 9, 2)", "np.array([[True, False]])", "np.array([1, 2.5])",
    "np.broadcast_to(a[0], (2, 3))", "np.square(c)", "np.power(b, 2)", "np.arctan2(b, c)",
    "np.absolute(z.astype('complex64'))", "z.var()", "np.copysign(a, b)", "np.reciprocal(b)",
]
SET_UP = """
a = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 10]])
b = np.array([[0.5, -1.5, 2.25], [1.0, 0.0, -3.0], [8.5, 0.125, 0.75]])
c = b.astype('float32')
z = np.array([[1 + 2j, -0.5j, 3.0], [0.0, 1.0, 2j]])
"""
PROGRAM = """
import json, sys
sys.path.insert(0, "/mnt/share")
import vmcompute as np
def plain(value):
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    return [plain(one) for one in value] if isinstance(value, list) else value
"""


@pytest.fixture(scope="module")
def shell():
    with vm.Machine(memory="512M", seed=1) as machine:
        device = ComputeDevice()
        device.register("twice", lambda array: 2 * array)
        machine.attach(Entropy())
        machine.attach(device)
        machine.attach(SharedFolder(FOLDER, read_only=True))
        machine.boot(*debian(packages=["python3-minimal", "libpython3-stdlib"]))
        yield machine.shell()


def complex_of(value):
    if isinstance(value, dict):
        return complex(*value["complex"])
    return [complex_of(one) for one in value] if isinstance(value, list) else value


def python(shell, program):
    """What it prints; it goes in by the console."""
    shell.run("cat > /tmp/program.py <<'END'\n" + program + "\nEND")
    return shell.run("python3 /tmp/program.py")


def test_c_example_computes(shell):
    result = shell.run("/mnt/share/example-linux")
    assert result.status == 0 and result.output.endswith("compute: 0 wrong\n")
    assert result.output.count(" ok\n") == 8


def test_python_in_the_guest_computes_as_numpy_does(shell):
    show = """
def show(one):
    values = one.tolist() if isinstance(one, np.Array) else one
    print(json.dumps([plain(values), getattr(one, "dtype", None), list(getattr(one, "shape", ()))]))

"""
    lines = [f"show({expression})" for expression in EXPRESSIONS]
    result = python(shell, PROGRAM + SET_UP + show + "\n".join(lines))
    assert result.status == 0, result.output
    names = {"np": np}
    exec(SET_UP, names)
    for expression, line in zip(EXPRESSIONS, result.output.splitlines(), strict=True):
        with np.errstate(all="ignore"):
            expected = eval(expression, names)
        values, dtype, shape = json.loads(line)
        got = np.array(complex_of(values)).reshape(np.shape(expected))
        np.testing.assert_allclose(got, expected, err_msg=expression)
        assert shape == list(np.shape(expected)), expression
        assert dtype in (None, np.asarray(expected).dtype.name), (expression, dtype)


def test_python_in_the_guest_calls_the_host(shell):
    result = python(shell, PROGRAM + "print(np.call('twice', np.array([1.5, 2.5]), shape=(2,)).tolist())\n"
                    "try:\n    np.call('thrice')\nexcept np.Error as error:\n    print(error.status, error)")
    assert result.output.splitlines() == ["[3.0, 5.0]", "10 thrice: not found"]


def test_large_arrays_lie_in_huge_pages(shell):
    """A product of 1024 x 1024, in pieces of memory of 2 MiB."""
    result = python(shell, PROGRAM + "a = np.random.uniform(size=(1024, 1024), seed=3)\n"
                    "print((a @ a)[5, 6], a[5, 0], a[1023, 1023])")
    got = [float(word) for word in result.output.split()]
    words = np.random.Philox(key=3).random_raw(1 << 20)
    a = ((words >> np.uint64(11)) * 2.0 ** -53).reshape(1024, 1024)
    np.testing.assert_allclose(got, [(a @ a)[5, 6], a[5, 0], a[1023, 1023]])


def test_errors_of_the_device_are_python_s(shell):
    result = python(shell, PROGRAM + "try:\n    np.add(np.array([1.0]), 1, out=np.empty((2,)))\n"
                    "except np.Error as error:\n    print(error.status, error.array)")
    assert result.output == "4 2\n"
