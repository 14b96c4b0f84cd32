"""Who computes for the compute device: what is missing is said, and a GPU gives what NumPy gives.

Where there are CuPy and a GPU the last tests here are about those. Before them a stand-in for the module `cupy`, which
counts with NumPy, shows that the backend moves arrays as CuPy's documentation says; of a GPU it shows nothing.
"""

import sys
import tracemalloc
from contextlib import contextmanager
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import vm
from tests.devices.compute_driver import ADD, BACKEND, OK, Computer
from vm.devices import ComputeDevice
from vm.devices.virtio.compute.backends import NumpyBackend, backend_named, facts
from vm.devices.virtio.compute.cupy_backend import CupyBackend, loaded
from vm.devices.virtio.compute.layout import Layout, Refused
from vm.devices.virtio.compute.operations import OPERATIONS, planned

# Of the largest element, by the bytes of a real number: what docs/how-to/compute.md promises of a GPU
TOLERANCES = {2: 1e-2, 4: 1e-5, 8: 1e-12}
BY_NAME = {operation.name: operation for operation in OPERATIONS.values()}
INTEGERS = {"invert", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "random_integers"}
ZEROS = (0, 0, 0, 0)                # parameters


def without_gpu():
    """Why there is none, or None."""
    try:
        loaded()
    except vm.ConfigurationError as error:
        return str(error)
    return None


# --- A stand-in for CuPy ---------------------------------------------------------------------------------------------

class DeviceArray(np.ndarray):
    """As an array on a GPU: it comes and goes by `set` and `get`."""

    def get(self, stream, out):
        assert stream.entered and out.flags.c_contiguous and not isinstance(out, DeviceArray)
        out[...] = self

    def set(self, array, stream):
        assert stream.entered and not isinstance(array, DeviceArray)
        self[...] = array


class Stream:
    made = 0

    def __init__(self, non_blocking):
        type(self).made += 1
        self.entered = False

    def __enter__(self):
        self.entered = True

    def __exit__(self, *exception):
        self.entered = False

    def synchronize(self):
        assert self.entered


class GpuError(RuntimeError):
    pass


def stand_in(devices=1, failure=None):
    cupy = ModuleType("cupy")
    cupy.__getattr__ = lambda name: getattr(np, name)
    cupy.__version__ = "0"

    def empty(shape, dtype):
        if failure is not None:
            raise failure
        return np.empty(shape, dtype).view(DeviceArray)

    def count():
        if isinstance(devices, Exception):
            raise devices
        return devices

    cupy.empty = empty
    cupy.asarray = lambda array: np.asarray(array).view(DeviceArray)
    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=GpuError, is_hip=False,
                              runtimeGetVersion=lambda: 12000,
                              getDeviceProperties=lambda number: {"name": b"Stand-in", "totalGlobalMem": 1 << 30})
    cupy.cuda = SimpleNamespace(runtime=runtime, Stream=Stream, alloc_pinned_memory=bytearray)
    return cupy


@contextmanager
def installed(monkeypatch, cupy):
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "cupy", cupy)
        yield


def arrays_for(operation, dtype):
    """Inputs, the output and the parameters of an operation, as NumPy wants them."""
    source = np.random.default_rng(5)
    if operation.name in INTEGERS:
        dtype = "int32"
    shape = (6, 6)
    inputs = [(source.random(shape) + 0.5).astype(dtype) if dtype != "int32" else source.integers(0, 9, shape, dtype)
              for _ in range(operation.inputs)]
    parameters = ZEROS
    if operation.name == "where":
        inputs[0] = inputs[0] > 1
    elif operation.name == "take":
        inputs[1] = np.array([5, 0, 3])
    elif operation.name.startswith("scatter"):
        inputs = [inputs[0][:3], np.array([4, 0, 2])]
    elif operation.name.startswith("random"):
        parameters = (7, 0x3FE0_0000_0000_0000, 0x3FF0_0000_0000_0000, 0)       # 0.5 and 1.0
    if operation.name in ("arcsin", "arccos", "arctanh"):
        inputs[0] -= 0.6
    elif operation.name == "arccosh":
        inputs[0] += 1
    if operation.result is None:
        return inputs, np.ones(shape, dtype), parameters
    length = (5, 6) if operation.name == "irfft" else shape
    if operation.name == "irfft":
        inputs[0] = inputs[0][:3]
    if operation.name == "convolve":
        length = (11, 11)
    made = operation.result(operation, np, inputs, parameters, length)
    return inputs, np.empty(made.shape, made.dtype), parameters


def compare(backend, operation, dtype):
    inputs, output, parameters = arrays_for(operation, dtype)
    other = output.copy()
    NumpyBackend().compute(operation, inputs, output, parameters, 0)
    backend.compute(operation, inputs, other, parameters, 0)
    if output.dtype.kind in "fc":
        size = output.dtype.itemsize // (2 if output.dtype.kind == "c" else 1)
        assert np.abs(other - output).max() <= TOLERANCES[size] * np.abs(output).max()
    else:
        assert np.array_equal(other, output)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_backend_moves_arrays(monkeypatch, name):
    with installed(monkeypatch, stand_in()):
        compare(CupyBackend(), BY_NAME[name], "float64")


def test_a_device_on_the_stand_in(monkeypatch):
    """It is replayed from its log, says that it is another one, and has a stream for each queue."""
    with installed(monkeypatch, stand_in()):
        before = Stream.made
        computer = Computer(ComputeDevice(backend="cupy", queues=2))
        assert computer.device.replay == "log" and computer.driver.get(0x100 + 44) == 2
        place = computer.place(np.arange(4.0))
        for index in (0, 1, 0):
            assert computer.do(ADD, [place, place], place, index=index).status == OK
        assert computer.value(place).tolist() == [0, 8, 16, 24] and Stream.made - before == 2
        computer.close()


@pytest.mark.parametrize("failure", [GpuError("out of memory"), MemoryError()])
def test_what_the_gpu_cannot_is_told_to_the_guest(monkeypatch, failure):
    with installed(monkeypatch, stand_in(failure=failure)):
        computer = Computer(ComputeDevice(backend="cupy"))
        place = computer.place(np.arange(4.0))
        assert computer.do(ADD, [place, place], place).status == BACKEND
        computer.close()


@pytest.mark.parametrize("devices, message", [
    (GpuError("no CUDA-capable device"), "reaches no GPU.*no CUDA-capable device.*nvidia-smi"), (0, "has no GPU")])
def test_a_host_without_a_gpu_is_refused(monkeypatch, devices, message):
    with installed(monkeypatch, stand_in(devices)):
        with pytest.raises(vm.ConfigurationError, match=message):
            ComputeDevice(backend="cupy")


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is installed here")
def test_a_host_without_cupy_is_refused():
    with pytest.raises(vm.ConfigurationError, match="CuPy cannot be loaded.*pip install.*or say backend='numpy'"):
        ComputeDevice(backend="cupy")
    assert facts()[1] == ("cupy", "not here: CuPy is not installed")


def test_what_is_here_is_said(monkeypatch):
    assert facts()[0] == ("numpy", facts()[0][1]) and np.__version__ in facts()[0][1]
    cupy = stand_in()
    cupy.__spec__ = SimpleNamespace()
    with installed(monkeypatch, cupy):
        assert facts()[1] == ("cupy", "CuPy 0 on Stand-in, 1024 MiB, CUDA runtime 12000")


def test_backends_have_names():
    assert isinstance(backend_named("numpy"), NumpyBackend)
    with pytest.raises(vm.ConfigurationError, match="backend='blas'"):
        backend_named("blas")


# --- CuPy and a GPU, where they are ----------------------------------------------------------------------------------

@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gpu_gives_what_numpy_gives(dtype):
    if missing := without_gpu():
        pytest.skip(missing)
    backend = CupyBackend()
    wrong = {}
    for name, operation in BY_NAME.items():
        try:
            compare(backend, operation, dtype)
        except (AssertionError, Refused) as error:
            wrong[name] = error
    assert wrong == {}


# --- Limits ----------------------------------------------------------------------------------------------------------

def layouts_of(arrays):
    return [Layout(array.dtype, array.shape, array.strides, ((0, array.nbytes),)) for array in arrays]


def large_arrays(operation, dtype):
    """Inputs, of odd strides, and an output that lies over one of them where it can."""
    shape = (256, 256)
    source = np.random.default_rng(3)
    inputs = [np.ones(shape, dtype).T + source.integers(0, 2, shape).astype(dtype) for _ in range(operation.inputs)]
    made = shape
    if operation.name == "take" or operation.name.startswith("scatter"):
        inputs[1] = source.integers(0, 256, 256)
    elif operation.name == "convolve":
        inputs[1] = inputs[1][:3, :3]
        made = (258, 258)
    elif operation.name in ("rfft", "irfft"):
        made = (256 // 2 + 1, 256) if operation.name == "rfft" else (510, 256)
    elif operation.check is BY_NAME["sum"].check:
        made = (256,)
    kind = inputs[0].dtype if inputs else np.dtype(dtype)
    if operation.result is not None:
        few = [one[:2, :2] if one.ndim == 2 else one[:2] % 2 for one in inputs]
        with np.errstate(all="ignore"):
            kind = np.asarray(operation.result(operation, np, few, ZEROS, (2, 2))).dtype
    output = np.zeros(made, kind)
    if inputs and (output.shape, output.dtype) == (inputs[-1].shape, inputs[-1].dtype):
        output = inputs[-1].T
    return inputs, output


@pytest.mark.parametrize("name", BY_NAME)
def test_no_operation_takes_more_memory_than_it_counts(name):
    """As NumPy allocates it."""
    operation = BY_NAME[name]
    done = 0
    for dtype in ("int8", "int32", "float16", "float64", "complex64", "complex128"):
        try:
            inputs, output = large_arrays(operation, dtype)
            cost = planned(operation, layouts_of([*inputs, output]), ZEROS)
        except (Refused, TypeError):        # NumPy has no such types
            continue
        done += 1
        tracemalloc.start()
        try:
            NumpyBackend().compute(operation, inputs, output, ZEROS, 0)
        except Refused:
            pass                            # a value without a result
        finally:
            most = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert most <= cost.scratch + (1 << 18), dtype      # NumPy's buffers, of 8,192 elements for each array
    assert done
