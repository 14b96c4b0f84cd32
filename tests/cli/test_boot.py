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
])
def test_options_that_do_not_fit_are_refused(vm, arguments, message):
    assert message in assert_fails_with_one_line(vm("boot", *arguments), code=2)
