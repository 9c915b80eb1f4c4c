# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""Pictures as samples: shapes, scales and levels by hand, files of many kinds, files that are none."""

import json
from dataclasses import replace
from fractions import Fraction
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from ds2ta.about import About, Pixels
from ds2ta.commands import main as cli
from ds2ta.errors import ImageError
from ds2ta.files import model_path
from ds2ta.golden import slow
from ds2ta.modelfile import load_model, save_model
from ds2ta.network import InputSpec
from ds2ta.sim.backends import best_classes, load_images, sample_names
from ds2ta.sim.photos import read_photo


@pytest.fixture(scope="module")
def tiny():
    return load_model(model_path("digits-tiny"))


def model_of(tiny, channels=1, height=8, width=8, bits=8, **pixels):
    """A model's input and what its file says of pictures; the rest is as it may."""
    spec = InputSpec(channels=channels, height=height, width=width, bits=bits)
    colours = "grey" if channels == 1 else "rgb"
    about = About(pixels=Pixels(**{"colours": colours, "black": 0, "white": 255, "fit": "stretch", **pixels}))
    return replace(tiny, network=tiny.network.model_copy(update={"input": spec}), about=about)


def saved(path, array, mode=None, **options):
    Image.fromarray(array, mode=mode).save(path, **options) if mode else Image.fromarray(array).save(
        path, **options
    )
    return path


def naive(picture: np.ndarray, height: int, width: int) -> list[list[Fraction]]:
    """Means of what each pixel covers, by going through every old pixel."""
    tall, wide = picture.shape
    rows = []
    for y in range(height):
        row = []
        for x in range(width):
            total = Fraction(0)
            for v in range(tall):
                for u in range(wide):
                    down = min(Fraction((y + 1) * tall, height), v + 1) - max(Fraction(y * tall, height), v)
                    along = min(Fraction((x + 1) * wide, width), u + 1) - max(Fraction(x * wide, width), u)
                    total += max(down, Fraction(0)) * max(along, Fraction(0)) * int(picture[v, u])
            row.append(total * height * width / (tall * wide))
        rows.append(row)
    return rows


@pytest.mark.parametrize("shape", [(8, 8), (16, 24), (3, 5), (11, 7), (1, 1)])
def test_scaled_by_what_a_pixel_covers(tiny, shape, tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    path = saved(tmp_path / "a.png", picture)
    found = read_photo(path, model_of(tiny))
    wanted = [[int(value + Fraction(1, 2)) for value in row] for row in naive(picture, 8, 8)]
    exact = [[value + Fraction(1, 2) for value in row] for row in naive(picture, 8, 8)]
    for at in np.ndindex(8, 8):  # a half lies between two numbers, and floats may see it on either side
        if exact[at[0]][at[1]].denominator != 1:
            assert found[0][at] == wanted[at[0]][at[1]], at
        else:
            assert abs(int(found[0][at]) - wanted[at[0]][at[1]]) <= 1, at


def test_cropped_to_the_middle(tiny, tmp_path):
    picture = np.zeros((10, 20), np.uint8)
    picture[:, 5:15] = 200
    path = saved(tmp_path / "a.png", picture)
    assert (read_photo(path, model_of(tiny, fit="crop")) == 200).all()
    assert (read_photo(saved(tmp_path / "b.png", picture.T.copy()), model_of(tiny, fit="crop")) == 200).all()


def test_padded_with_black(tiny, tmp_path):
    path = saved(tmp_path / "a.png", np.full((4, 8), 255, np.uint8))
    found = read_photo(path, model_of(tiny, fit="pad", black=3, white=9, bits=4))
    assert found[0].tolist() == [[3] * 8] * 2 + [[9] * 8] * 4 + [[3] * 8] * 2


def test_levels_are_rounded_half_up_and_may_run_backwards(tiny, tmp_path):
    shades = np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8)
    path = saved(tmp_path / "a.png", shades)
    for black, white in ((0, 16), (16, 0), (2, 13)):
        found = read_photo(path, model_of(tiny, black=black, white=white, bits=5))
        wanted = [int(black + Fraction(white - black) * int(v) / 255 + Fraction(1, 2)) for v in shades.flat]
        assert found.flatten().tolist() == wanted


def test_colours(tiny, tmp_path):
    picture = np.random.default_rng(1).integers(0, 256, (8, 8, 3), np.uint8)
    path = saved(tmp_path / "a.png", picture)
    assert np.array_equal(read_photo(path, model_of(tiny, channels=3)), picture.transpose(2, 0, 1))
    grey = read_photo(path, model_of(tiny))[0].astype(int)
    weighed = picture @ [0.299, 0.587, 0.114]
    assert np.abs(grey - weighed).max() <= 1
    path = saved(tmp_path / "b.png", picture[..., 0].copy())
    assert np.array_equal(read_photo(path, model_of(tiny, channels=3)), np.stack([picture[..., 0]] * 3))


def test_kinds_of_files(tiny, tmp_path):
    """Transparency is black; 16 bits, a palette, a turned photo, the first of an animation."""
    half = np.zeros((8, 8, 4), np.uint8)
    half[..., :3] = 255
    half[:, :4, 3] = 255
    model = model_of(tiny)
    assert read_photo(saved(tmp_path / "a.png", half), model)[0].tolist() == [[255] * 4 + [0] * 4] * 8
    wide = (np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000).astype(np.uint16)
    Image.fromarray(wide).save(tmp_path / "b.png")
    assert np.array_equal(read_photo(tmp_path / "b.png", model)[0], wide // 257)
    shades = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(shades).convert("P").save(
        tmp_path / "c.gif", save_all=True, append_images=[Image.new("P", (8, 8))]
    )
    assert np.array_equal(read_photo(tmp_path / "c.gif", model)[0], shades)
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by a quarter, clockwise
    Image.fromarray(shades).save(tmp_path / "d.png", exif=turned)
    assert np.array_equal(read_photo(tmp_path / "d.png", model)[0], np.rot90(shades, -1))


PNG = BytesIO()
Image.new("L", (8, 8)).save(PNG, "png")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.png", b"", "cannot be read as a picture"),
        ("a.jpg", b"\xff\xd8\xff\xe0 no more", "cannot be read as a picture"),
        ("a.png", PNG.getvalue()[:45], "cannot be read as a picture"),
        ("a.bmp", b"BM" + bytes(60), "cannot be read as a picture"),
        ("a.gif", b"GIF89a" + bytes(5), "cannot be read as a picture"),
        ("a.tif", b"II*\0\xff\xff\xff\x7f", "cannot be read as a picture"),
        ("a.ppm", b"P6 99999999 99999999 255 ", "cannot be read as a picture"),
        ("a.pgm", b"P5 x", "cannot be read as a picture"),
        ("a.png", None, "no such file"),
    ],
)
def test_no_picture(tiny, name, content, message, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ImageError, match=message) as refused:
        load_images(path, model_of(tiny))
    assert str(refused.value).startswith(f"{path}: ")
    assert "\n" not in str(refused.value)


def test_models_that_take_no_picture(tiny, tmp_path):
    path = saved(tmp_path / "a.png", np.zeros((8, 8), np.uint8))
    with pytest.raises(ImageError, match="nmnist-tiny takes recordings of events"):
        load_images(path, load_model(model_path("nmnist-tiny")))
    with pytest.raises(ImageError, match="does not say how one becomes a sample; `ds2ta convert` adds"):
        load_images(path, replace(tiny, about=About()))


def test_names_and_the_best(tmp_path):
    files = [(tmp_path / "a.PNG", 1), (tmp_path / "b.npy", 2)]
    assert sample_names(files) == ["a.PNG", "b.npy[0]", "b.npy[1]"]
    assert sample_names(files[1:]) == ["0", "1"]
    assert sample_names(files[:1]) == ["a.PNG"]
    assert best_classes((3, 9, -1, 9, 4)) == [1, 3, 4]
    assert best_classes((0, 1)) == [1, 0]


def test_run_on_pictures(tiny, monkeypatch, capsys, tmp_path):
    """Digits as pictures of their own size give the logits of the arrays; several files, names, the best three."""
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    save_model(
        replace(tiny, about=tiny.about.model_copy(update={"classes": names})), tmp_path / "named.safetensors"
    )
    words = []
    for number, sample in enumerate(tiny.samples[:2]):
        shade = np.round(sample[0].astype(int) * 255 / 16).astype(np.uint8)
        words.append(str(saved(tmp_path / f"{number}.png", shade)))
    np.save(tmp_path / "one.npy", tiny.samples[2])
    words.append(str(tmp_path / "one.npy"))
    line = ["ds2ta", "run", str(tmp_path / "named.safetensors"), *words, "--backend", "slow"]
    monkeypatch.setattr("sys.argv", [*line, "--json"])
    with pytest.raises(SystemExit):
        cli.main()
    rows = [json.loads(row) for row in capsys.readouterr().out.splitlines()]
    assert [row["file"] for row in rows] == ["0.png", "1.png", "one.npy[0]"]
    for row, sample in zip(rows, tiny.samples, strict=False):
        logits = slow.run(tiny, sample)["logits"]
        assert row["logits"] == logits.tolist()
        wanted = sorted(logits.tolist(), reverse=True)[:3]
        assert [one["logit"] for one in row["best"]] == wanted
        assert row["best"][0]["name"] == row["name"] == names[int(np.argmax(logits))]
    monkeypatch.setattr("sys.argv", line)
    with pytest.raises(SystemExit):
        cli.main()
    out = capsys.readouterr().out
    assert "best three" in out
    assert "one.npy[0]" in out
    assert f"{rows[0]['name']} {max(rows[0]['logits'])}, " in out
