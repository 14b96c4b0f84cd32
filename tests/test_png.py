"""PNG files, read by Pillow."""

import io

import numpy as np
import pytest
from PIL import Image

from vm.png import png


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (123, 45)])
def test_what_is_written_is_read(size):
    pixels = np.random.default_rng(7).integers(0, 256, (*size, 3), np.uint8)
    image = Image.open(io.BytesIO(png(pixels)))
    image.verify()                                  # the checksums
    image = Image.open(io.BytesIO(png(pixels)))
    assert (image.format, image.mode, image.size) == ("PNG", "RGB", size[::-1])
    assert np.array_equal(np.asarray(image), pixels)


def test_a_part_of_an_array_is_one(tmp_path):
    pixels = np.arange(4 * 6 * 4, dtype=np.uint8).reshape(4, 6, 4)[::2, 1:, :3]
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
