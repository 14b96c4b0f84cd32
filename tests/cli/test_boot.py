"""`vm boot`: what of its command line does not fit together."""

import pytest

from tests.cli.conftest import assert_fails_with_one_line


@pytest.mark.parametrize("arguments, message", [
    ([], "say either debian, a disk image, or --kernel FILE"),
    (["debian", "--kernel", "Image"], "say either debian, a disk image, or --kernel FILE"),
    (["--kernel", "Image", "--shell"], "go with debian"),
    (["--kernel", "Image", "--package", "bash"], "go with debian"),
    (["debian", "--package", "bash"], "--package goes with --shell or --run"),
    (["debian", "--initrd", "initrd.gz"], "debian brings its own initrd"),
    (["debian", "--timeout", "0"], "--timeout"),
    (["debian", "--screenshot", "screen.png"], "--screenshot goes with --screen"),
    (["debian", "--screen", "--screenshot", "/nowhere/screen.png"], "is a folder, or in none that can be written"),
    (["--kernel", "Image", "--screen", "--snapshot-at", "login", "x", "--screenshot", "a.png"], "--screenshot"),
    (["--from", "a.vmsnap", "--screen"], "has its own --screen"),
])
def test_options_that_do_not_fit_are_refused(vm, arguments, message):
    assert message in assert_fails_with_one_line(vm("boot", *arguments), code=2)


@pytest.mark.parametrize("size, message", [
    ("debian", "--screen debian: write a size as 1280x800, or none where another option follows"),
    ("10x10", "width=10: a screen has 64 to 4095 pixels"), ("640x480x2", "write a size as"),
])
def test_sizes_that_no_screen_has_are_refused(vm, size, message):
    assert message in assert_fails_with_one_line(vm("boot", "--kernel", "Image", "--screen", size), code=2)
