"""`vm compile`, and `vm run --aot`: the same guest with code that was compiled before, and whose code is not run."""

import os

import pytest

from tests.cli.conftest import assert_fails_with_one_line

PRINTS = b"> "


@pytest.fixture
def image(vm, guest, tmp_path):
    """Of the guest that prints and echoes."""
    path = tmp_path / "echo.vmcode"
    process = vm("compile", guest("echo"), "-o", path, "--training", "20000")
    assert (process.returncode, process.stderr) == (0, b"")
    assert process.stdout.decode().startswith(f"{path}: ")
    assert path.stat().st_size > 4096
    return path


def test_the_guest_does_the_same(vm, guest, image):
    process = vm("run", guest("echo"), "--aot", image, input=b"abcq")
    assert (process.returncode, process.stdout, process.stderr) == (0, PRINTS + b"abcq", b"")


@pytest.mark.parametrize("engine", ["interpreter", "jit"])
def test_any_engine_takes_it(vm, guest, image, engine):
    process = vm("run", guest("echo"), "--aot", image, "--engine", engine, input=b"q")
    assert (process.returncode, process.stdout) == (0, PRINTS + b"q")


def test_no_image(vm, guest, tmp_path):
    assert "No such file" in assert_fails_with_one_line(vm("run", guest("echo"), "--aot", tmp_path / "none"))
    assert str(tmp_path) in assert_fails_with_one_line(vm("run", guest("echo"), "--aot", tmp_path), code=2)


def test_another_program(vm, guest, image):
    message = assert_fails_with_one_line(vm("run", guest("power-off"), "--aot", image))
    assert str(image) in message and "another guest" in message


def test_another_isa(vm, guest, image):
    message = assert_fails_with_one_line(vm("run", guest("echo"), "--aot", image, "--isa", "rv64gc"))
    assert "another guest" in message


def test_a_damaged_image(vm, guest, image):
    content = bytearray(image.read_bytes())
    content[len(content) // 2] ^= 1
    image.write_bytes(content)
    assert "damaged" in assert_fails_with_one_line(vm("run", guest("echo"), "--aot", image))
    image.write_bytes(content[:20])
    assert "cut off" in assert_fails_with_one_line(vm("run", guest("echo"), "--aot", image))


def test_an_image_that_others_may_write(vm, guest, image):
    os.chmod(image, 0o666)
    assert "others may write" in assert_fails_with_one_line(vm("run", guest("echo"), "--aot", image))


def test_no_place_for_the_image(vm, guest, tmp_path):
    message = assert_fails_with_one_line(vm("compile", guest("echo"), "-o", tmp_path / "none" / "image"))
    assert "No such file" in message


def test_no_program(vm, tmp_path):
    assert "no-such-file" in assert_fails_with_one_line(vm("compile", "no-such-file", "-o", tmp_path / "image"))
    assert not (tmp_path / "image").exists()
