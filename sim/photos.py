# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Pictures from files, as samples: colours, shape and levels as the model file says (docs/model-file.md, 7)."""

import warnings
from pathlib import Path

import numpy as np

from ds2ta.errors import ImageError
from ds2ta.extras import require
from ds2ta.model import IntegerModel

__all__ = ["PICTURES", "read_photo"]

#: Endings of files that are taken for pictures.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")


def read_photo(path: Path, model: IntegerModel) -> np.ndarray:
    """One sample uint8 `[channels, height, width]` of a picture: the first of an animated one, upright by what the
    camera noted, black where it is transparent. Raises `ImageError` naming the file and what is wrong."""
    require("PIL")
    pixels, spec = model.about.pixels, model.network.input
    if spec.kind != "image":
        raise ImageError(f"{path}: a picture, and {model.network.name} takes recordings of events")
    if pixels is None:
        raise ImageError(
            f"{path}: a picture, and the file of {model.network.name} does not say how one becomes a sample; "
            "`ds2ta convert` adds what is known of its data set"
        )
    if not path.is_file():
        raise ImageError(f"{path}: no such file")
    brightness = _brightness(path, pixels.colours)
    values = _scaled(_shaped(brightness, spec.height / spec.width, pixels.fit), spec.height, spec.width)
    levels = pixels.black + (pixels.white - pixels.black) * values / 255
    return np.floor(levels + 0.5).astype(np.uint8).transpose(2, 0, 1)


def _brightness(path: Path, colours: str) -> np.ndarray:
    """uint8 `[h, w, channels]`, 0 is black."""
    from PIL import Image, ImageOps

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as file:
            file.seek(0)
            picture = ImageOps.exif_transpose(file)
            if picture.mode.startswith("I"):  # 16 bits
                wide = np.asarray(picture).astype(np.int64).clip(0, 0xFFFF)
                picture = Image.fromarray((wide // 257).astype(np.uint8))
            shown = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", shown.size, "black"), shown)
            found = np.asarray(picture.convert("L" if colours == "grey" else "RGB"))
    # what a damaged file can raise, by Pillow's readers; too many pixels among it
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        IndexError,
        TypeError,
        Image.DecompressionBombError,
    ) as error:
        raise ImageError(f"{path}: cannot be read as a picture ({str(error).splitlines()[0][:100]})") from None
    return found.reshape(*found.shape[:2], -1)


def _shaped(picture: np.ndarray, wanted: float, fit: str) -> np.ndarray:
    """A picture whose height is about `wanted` times its width."""
    height, width, _ = picture.shape
    if fit == "crop":
        tall, wide = min(height, max(1, round(width * wanted))), min(width, max(1, round(height / wanted)))
        top, left = (height - tall) // 2, (width - wide) // 2
        return picture[top : top + tall, left : left + wide]
    if fit == "pad":
        tall, wide = max(height, round(width * wanted)), max(width, round(height / wanted))
        top, left = (tall - height) // 2, (wide - width) // 2
        return np.pad(picture, ((top, tall - height - top), (left, wide - width - left), (0, 0)))
    return picture


def _scaled(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each pixel the mean of what it covers, float64."""
    return np.einsum("yh,hwc,xw->yxc", _covers(picture.shape[0], height), picture, _covers(picture.shape[1], width))


def _covers(old: int, new: int) -> np.ndarray:
    """[new, old]: which share of a new pixel each old one takes."""
    edges = np.arange(new + 1) * old / new
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return overlap.clip(0) * new / old
