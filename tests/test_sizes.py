"""Memory sizes as people write them."""

import pytest

from vm.errors import ConfigurationError
from vm.sizes import parse_size


@pytest.mark.parametrize("size, bytes_", [
    ("512M", 512 << 20), ("1G", 1 << 30), ("65536K", 64 << 20), ("8192", 8192), (4096, 4096), (" 1g ", 1 << 30),
    ("1T", 1 << 40), ("64MiB", 64 << 20), ("4kib", 4096), ("1.5G", 3 << 29), ("0.5GiB", 1 << 29), ("8192B", 8192),
    ("0.00390625M", 4096),
])
def test_units_are_binary(size, bytes_):
    assert parse_size(size) == bytes_


@pytest.mark.parametrize("size, why", [
    ("0", "nothing at"), (0, "nothing at"), ("0M", "nothing at"), ("-1", "not a size"), (-4096, "not a size"),
    ("4095", "multiple of 4096"), ("5K", "multiple of 4096"), ("1025G", "too large"), ("9" * 20, "too large"),
    ("", "not a size"), ("M", "not a size"), ("64MB", "write MiB for 2"), ("64Mi", "not a size"),
    ("1.5", "multiple of 4096"), ("0.3G", "multiple of 4096"), ("0.0G", "nothing at all"), ("1.1T", "too large"),
    (64, "multiple of 4096"), ("64iB", "not a size"), ("1.G", "not a size"), ("1 G", "not a size"),
    ("12X", "not a size"),
    ("٣M", "not a size"), (None, "not a size"),
])
def test_error_names_the_value_and_what_is_accepted(size, why):
    with pytest.raises(ConfigurationError, match=why) as error:
        parse_size(size)
    assert repr(size) in str(error.value) and "512M" in str(error.value)
