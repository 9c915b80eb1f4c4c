# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The teacher: it learns, its answers belong to the views that a student sees, a student can learn from them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_data import CONFIG, NETWORK, squares
from torch.nn import functional

from ds2ta.errors import DataError, NetworkError
from ds2ta.golden.data.sets import validation_split
from ds2ta.golden.training import teacher as teaching
from ds2ta.golden.training.augment import augment_images
from ds2ta.golden.training.checkpoint import Checkpoint, load_checkpoint
from ds2ta.golden.training.float_network import FloatNetwork
from ds2ta.golden.training.recipe import Distillation, ImageAugmentation
from ds2ta.golden.training.run import Run
from ds2ta.golden.training.teacher import Teacher, TeacherRecipe, load_answers, teach, view_numbers
from ds2ta.golden.training.train import train
from ds2ta.network import InputSpec

IMAGES = ImageAugmentation(crop=1, operations=0)
RECIPE = TeacherRecipe(epochs=6, batch=16, widths=(8, 12, 16), rate=0.05, validation=64, average=0.9, images=IMAGES)
INPUT = InputSpec(kind="image", channels=3, height=16, width=16, bits=8)
STUDENT = NETWORK.model_copy(update={"input": INPUT})
LEARNING = CONFIG.model_copy(
    update={"images": IMAGES, "distillation": Distillation(weight=0.7, temperature=3.0), "validation": 64}
)


@pytest.fixture(scope="module")
def data():
    return squares(16)


@pytest.fixture(scope="module")
def answered(data, tmp_path_factory):
    path = tmp_path_factory.mktemp("teacher") / "answers.safetensors"
    teach(data, RECIPE, views=2, path=path, precision=torch.float32)
    return path


def test_it_learns_and_never_meets_the_test_samples(data, tmp_path):
    blind = replace(data, test_samples=data.test_samples[:0], test_labels=data.test_labels[:0])
    found = teach(blind, RECIPE, views=1, path=tmp_path / "a", precision=torch.float32)
    assert found.held_out == 64
    assert found.accuracy > 80
    assert found.logits.shape == (1, 256, 4)  # of all training samples, the held-out ones too


def test_answers_belong_to_the_views(data, answered):
    """The teacher by itself, image by image, on the views as a student makes them."""
    answers = load_answers(answered)
    network = Teacher(channels=3, classes=4, widths=RECIPE.widths)
    tensors = load_file(str(answered) + ".teacher")
    network.load_state_dict({n.removeprefix("average."): v for n, v in tensors.items() if n.startswith("average.")})
    network.eval()
    samples = torch.from_numpy(data.train_samples)
    for view in range(2):
        numbers = view_numbers(view, count=256, images=IMAGES)
        for index in (0, 77, 255):
            seen = augment_images(samples[index : index + 1], recipe=IMAGES, numbers=numbers[index : index + 1])
            with torch.no_grad():
                assert torch.allclose(network(seen)[0], answers.logits[view, index].float(), atol=0.02)
    assert not torch.equal(answers.logits[0], answers.logits[1])


def test_an_interrupted_teacher_goes_on(data, answered, tmp_path):
    """Stopped in its third epoch, and again between two views: the same answers."""

    class StopError(Exception):
        pass

    def stop(at: float, words: str):
        def report(done, _total, text):
            if done == at and words in text:
                raise StopError

        return report

    path = tmp_path / "answers.safetensors"
    for at, words in ((3, "teacher: loss"), (1, "answers")):
        with pytest.raises(StopError):
            teach(data, RECIPE, views=2, path=path, precision=torch.float32, report=stop(at, words))
    again = teach(data, RECIPE, views=2, path=path, precision=torch.float32)
    assert torch.equal(again.logits, load_answers(answered).logits)
    other = replace(RECIPE, seed=1)  # another recipe does not go on from this one's files
    found = teach(data, other, views=1, path=path, precision=torch.float32)
    assert not torch.equal(found.logits[0], again.logits[0])


def test_loss_by_hand(data, answered):
    """Labels, teacher and mixture against the equations, in NumPy."""
    network = FloatNetwork(network=STUDENT, config=LEARNING.model_copy(update={"label_smoothing": 0.0}))
    left = validation_split(data, 64)
    run = Run(
        Checkpoint(network, {"epochs": 0, "seconds": 0.0}),
        left[0],
        path=None,
        report=None,
        answers=load_answers(answered),
        left=left[1],
    )
    random = np.random.default_rng(0)
    logits, soft = random.normal(size=(4, 4)), random.normal(size=(4, 4))
    labels, own = np.array([0, 3, 1, 1]), 0.75

    def softmax(x):
        e = np.exp(x)
        return e / e.sum(1, keepdims=True)

    partner = [1, 0, 3, 2]
    log = np.log(softmax(logits))
    hard = -np.mean([own * log[i, labels[i]] + (1 - own) * log[i, labels[partner[i]]] for i in range(4)])
    target = own * softmax(soft) + (1 - own) * softmax(soft)[partner]
    ours = np.log(softmax(logits / 3.0))
    softly = 9.0 * np.mean((target * (np.log(target) - ours)).sum(1))
    found = run.loss(torch.tensor(logits), torch.tensor(labels), own, torch.tensor(soft))
    assert found.item() == pytest.approx(0.3 * hard + 0.7 * softly)
    assert run.loss(torch.tensor(logits), torch.tensor(labels), own, None).item() == pytest.approx(hard)


def test_student_and_teacher_see_the_same(data, answered):
    """What a batch of the run holds is the view, and the soft targets are those of its images."""
    split, left = validation_split(data, 64)
    network = FloatNetwork(network=STUDENT, config=LEARNING)
    answers = load_answers(answered)
    checkpoint = Checkpoint(network, {"epochs": 0, "seconds": 0.0})
    run = Run(checkpoint, split, path=None, report=None, answers=answers, left=left)
    for epoch in (0, 3):  # the third goes round: two views
        run._look(epoch, run_phase(quantized=False))
        chosen = torch.tensor([5, 0, 190, 33])
        batch, own = run.augmented(chosen, torch.Generator(), slice(None))
        view = epoch % 2
        numbers = view_numbers(view, count=256, images=IMAGES)
        for row, index in enumerate(left[chosen.numpy()]):
            seen = augment_images(
                torch.from_numpy(data.train_samples[index : index + 1]), recipe=IMAGES, numbers=numbers[index, None]
            )
            assert torch.equal(batch[row], seen[0])
            assert torch.equal(run.soft[chosen[row]], answers.logits[view, index].float() / 3.0)
        assert own == 1.0
    plain = LEARNING.model_copy(update={"distillation": Distillation(quantized=False)})
    run.config = plain
    run._look(0, run_phase(quantized=True))
    assert run.soft is None
    assert run.view is None


def run_phase(*, quantized: bool):
    from ds2ta.golden.training.recipe import Phase

    return Phase("any", 1, 0.1, quantized=quantized)


def test_a_student_learns_and_resumes_exactly(data, answered, tmp_path):
    config = LEARNING.model_copy(update={"average": 0.9, "step_loss": 0.4, "epochs_float": 3})
    whole = train(STUDENT, config, data=data, teacher=answered, path=tmp_path / "whole.safetensors")
    path = tmp_path / "parts.safetensors"
    for stop in (1.4, 3.0, 3.5, None):
        parts = train(STUDENT, config, data=data, teacher=answered, path=path, resume=True, stop_after=stop)
    one, other = whole.network.state_dict(), load_checkpoint(path).network.state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert all(torch.equal(one[name], value) for name, value in parts.network.state_dict().items())
    alone = train(STUDENT, config.model_copy(update={"distillation": None}), data=data)
    assert not all(torch.equal(one[name], value) for name, value in alone.network.state_dict().items())
    with pytest.raises(NetworkError, match=r"with --teacher of SHA-256"):
        train(STUDENT, config, data=data, teacher=_copy(answered, tmp_path), path=path, resume=True)


def _copy(answered, folder):
    """Another file of answers, which fits as well."""
    answers = load_answers(answered)
    path = folder / "other.safetensors"
    teaching._save(replace(answers, logits=answers.logits[:1]), path)
    return path


def test_what_does_not_belong_together_is_refused(data, answered, tmp_path):
    def attempt(words, *, data=data, teacher=answered, **changes):
        with pytest.raises((NetworkError, DataError), match=words):
            train(STUDENT, LEARNING.model_copy(update=changes), data=data, teacher=teacher, stop_after=0)

    attempt("belong together", teacher=None)
    attempt("belong together", distillation=None)
    attempt("must be 64, as the teacher's, or 0", validation=32)
    attempt("recipe's images must be the same", images=ImageAugmentation(crop=2))
    attempt("recipe's images must be the same", images=None)
    other = replace(data, train_samples=data.train_samples[::-1])
    attempt("answers to other images", data=other)
    attempt("no such file", teacher=tmp_path / "absent")
    train(STUDENT, LEARNING.model_copy(update={"validation": 0}), data=data, teacher=answered, stop_after=0)
    mixed = IMAGES.model_copy(update={"mixup": 0.5, "cutmix": 1.0, "mixed": 0.5})
    train(STUDENT, LEARNING.model_copy(update={"images": mixed}), data=data, teacher=answered, stop_after=0.2)
    with pytest.raises(NetworkError, match="at least 16x16"):
        teach(squares(12), RECIPE, views=1, path=tmp_path / "small")
    for count in (7, 129):
        with pytest.raises(DataError, match=f"takes 8 to 128 of its 256 training samples, not {count}"):
            teach(data, replace(RECIPE, validation=count), views=1, path=tmp_path / "split")


def test_damaged_answers_are_one_line(answered, tmp_path):
    whole = answered.read_bytes()
    path = tmp_path / "bad.safetensors"
    at = len(whole) - 100
    for content in (b"", whole[:200], whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :], b"\xff" * 64):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.safetensors: (not a readable|its SHA-256)"):
            load_answers(path)
    state = tmp_path / "state"
    state.write_bytes(b"nothing")
    with pytest.raises(DataError, match="remove it"):
        teaching._kept(state, "key")
    with pytest.raises(DataError, match="not the answers of a teacher"):
        load_answers(str(answered) + ".teacher")


def test_patches_are_decorrelated(data):
    """The frozen filters turn patches of 2x2 pixels into uncorrelated numbers of equal size."""
    network = Teacher(channels=3, classes=4, widths=(8, 8, 8))
    samples = torch.from_numpy(data.train_samples)
    network.look_at(samples)
    x = (samples.float() - network.mean) / network.deviation
    found = functional.conv2d(x, network.patches.weight[:12]).movedim(1, -1).flatten(0, 2)
    covariance = found.T @ found / len(found)
    assert torch.allclose(covariance, torch.eye(12), atol=0.15)
    assert torch.equal(network.patches.weight[:12], -network.patches.weight[12:])
