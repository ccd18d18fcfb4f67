"""Maps of classes in numbers, against scikit-learn and torchmetrics."""

import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, jaccard_score
from torch import Tensor
from torchmetrics.functional.classification import multiclass_jaccard_index

from xscale.evaluation import EvaluationError
from xscale.evaluation.features import Look
from xscale.evaluation.measure import Draws
from xscale.evaluation.segmentation import (
    UNLABELLED,
    accuracy,
    confusions,
    iou,
    macro_f1,
    mean_iou,
    measure_maps,
    measure_scales,
    pixels_of,
    resampled,
)
from xscale.evaluation.segmenters import (
    COLOURS,
    MAJORITY,
    PixelStatistics,
    count_images,
    segmented,
    untrained,
)

from ..tiny import seeded

DRAWS = Draws(100)


def maps(classes: int = 4, count: int = 6, side: int = 9) -> tuple[Tensor, Tensor]:
    """Draw predictions that are right more often than not, and masks with gaps."""
    mask = torch.randint(classes, (count, side, side), generator=seeded(1))
    drawn = torch.randint(classes, mask.shape, generator=seeded(2))
    predicted = mask.where(torch.rand(mask.shape, generator=seeded(3)) < 0.6, drawn)
    gaps = torch.rand(mask.shape, generator=seeded(4)) < 0.2
    return predicted, mask.masked_fill(gaps, UNLABELLED)


def test_as_others_count() -> None:
    predicted, mask = maps()
    matrices = confusions(predicted, mask, 4)
    for own, guess, true in zip(matrices, predicted, mask, strict=True):
        kept = true != UNLABELLED
        assert own.tolist() == confusion_matrix(true[kept], guess[kept]).tolist()
    pixels = pixels_of(matrices.sum(0))
    kept = mask != UNLABELLED
    true, guess = mask[kept].numpy(), predicted[kept].numpy()
    assert iou(pixels).tolist() == pytest.approx(jaccard_score(true, guess, average=None))
    assert float(macro_f1(pixels)) == pytest.approx(f1_score(true, guess, average='macro'))
    assert float(accuracy(pixels)) == pytest.approx(accuracy_score(true, guess))
    theirs = multiclass_jaccard_index(predicted, mask, 4, ignore_index=UNLABELLED)
    assert float(mean_iou(pixels)) == pytest.approx(float(theirs), abs=1e-6)


def test_a_class_that_is_nowhere_counts_nothing() -> None:
    """Nor does it with torchmetrics; one that is predicted and not there counts 0."""
    predicted, mask = maps(3)
    pixels = pixels_of(confusions(predicted, mask, 5).sum(0))
    assert iou(pixels).isnan().tolist() == [False] * 3 + [True] * 2
    theirs = multiclass_jaccard_index(predicted, mask, 5, ignore_index=UNLABELLED)
    assert float(mean_iou(pixels)) == pytest.approx(float(theirs), abs=1e-6)
    predicted[0, 0, 0], mask[0, 0, 0] = 4, 0
    found = measure_maps(confusions(predicted, mask, 5), 'abcde', DRAWS)
    assert found['iou']['d'] is None
    assert found['iou']['e'] == {'score': 0.0, 'interval': [0.0, 0.0]}


def test_images_are_drawn_whole() -> None:
    """A measure of drawn images is that of their pixels together, however often they come."""
    predicted, mask = maps()
    matrices = confusions(predicted, mask, 4)
    index = torch.tensor([[0, 0, 3, 5, 5, 5], [0, 1, 2, 3, 4, 5]])
    measured = resampled(matrices, mean_iou)
    assert not isinstance(measured, Tensor)
    drawn = measured(index)
    for row, value in zip(index, drawn, strict=True):
        theirs = multiclass_jaccard_index(predicted[row], mask[row], 4, ignore_index=UNLABELLED)
        assert float(value) == pytest.approx(float(theirs), abs=1e-6)
    found = measure_maps(matrices, 'abcd', DRAWS)
    low, high = found['miou']['interval']
    assert low < found['miou']['score'] < high
    assert found['miou']['score'] == pytest.approx(float(drawn[1]))
    assert found['confusion'] == matrices.sum(0).tolist()


def test_images_alike_leave_no_doubt() -> None:
    predicted, mask = maps(count=1)
    matrices = confusions(predicted, mask, 4).expand(7, -1, -1)
    found = measure_maps(matrices, 'abcd', DRAWS)['miou']
    assert found['interval'] == pytest.approx([found['score']] * 2)


def batch(side: int = 21, count: int = 3) -> dict[str, Tensor]:
    """Two classes: the lower half of each image is bright."""
    mask = torch.zeros(count, side, side).long()
    mask[:, side // 2 :] = 1
    image = mask[:, None].float().repeat(1, 3, 1, 1) * 100
    image += torch.randn(image.shape, generator=seeded())
    valid = torch.ones(count, 1, side, side, dtype=torch.bool)
    return {'image': image, 'valid': valid, 'mask': mask, 'gsd': torch.full((count,), 2.0)}


def statistics(some: dict[str, Tensor]) -> PixelStatistics:
    found = PixelStatistics(3, 2)
    for number in range(len(some['image'])):
        found.add({name: value[number] for name, value in some.items()})
    return found


def test_a_constant_answer_has_the_share_of_the_majority() -> None:
    some = batch()
    share = float((some['mask'] == 1).double().mean())
    assert share > 0.5
    majority = untrained(statistics(some))[MAJORITY]
    assert majority.number == 1
    found = count_images(majority, [some], range(3), [Look(), Look(0.25)], 2)
    for matrices in found.values():
        numbers = measure_maps(matrices, ['dark', 'bright'], DRAWS)
        assert numbers['iou']['bright']['score'] == share == numbers['accuracy']['score']
        assert numbers['iou']['dark']['score'] == 0
        assert numbers['miou']['score'] == share / 2


def test_colours_are_linear_discriminant_analysis() -> None:
    generator = seeded(5)
    mask = torch.randint(3, (2, 20, 20), generator=generator)
    image = torch.randn(2, 4, 20, 20, generator=generator) @ torch.eye(20)
    image = image + mask[:, None] * torch.tensor([1.0, 0.0, -0.5, 2.0])[:, None, None]
    image[:, 1] += 0.7 * image[:, 0]
    found = PixelStatistics(4, 3)
    valid = torch.ones(1, 20, 20, dtype=torch.bool)
    for one, labels in zip(image, mask, strict=True):
        found.add({'image': one, 'mask': labels, 'valid': valid})
    colours = untrained(found)[COLOURS]
    answer = colours(image, torch.ones(2), valid).argmax(1).flatten()
    pixels = image.permute(0, 2, 3, 1).flatten(0, 2).numpy()
    theirs = LinearDiscriminantAnalysis(solver='lsqr', priors=[1 / 3] * 3)
    assert (answer.numpy() == theirs.fit(pixels, mask.flatten()).predict(pixels)).mean() > 0.998
    # Bands that are the same have no inverse.
    twice = PixelStatistics(2, 3)
    twice.add({'image': image[0, [0, 0]], 'mask': mask[0], 'valid': valid})
    assert untrained(twice)[COLOURS](image[:, [0, 0]], torch.ones(2), valid).isfinite().all()


class Patches:
    """Answers by the mean brightness of patches, and notes what it was shown."""

    patch = 8

    def __init__(self) -> None:
        self.sides: list[int] = []
        self.metres: list[float] = []

    def input_side(self, side: int, fixed: bool) -> int:
        return max(self.patch, round(side / self.patch) * self.patch)

    def __call__(self, image: Tensor, gsd: Tensor, valid: Tensor) -> Tensor:
        self.sides.append(image.shape[-1])
        self.metres.append(round(float(gsd[0]), 4))
        bright = torch.nn.functional.avg_pool2d(image.mean(1, keepdim=True), self.patch) / 100
        return torch.cat([0.5 - bright, bright - 0.5], dim=1)


def test_scales_below_a_patch_and_beside_its_multiples() -> None:
    """The side is rounded to patches, at least one, and metres per pixel follow."""
    some, model = batch(side=32), Patches()
    looks = [Look(), Look(0.4), Look(0.1), Look(0.4, fixed=True)]
    found = count_images(model, [some], range(3), looks, 2)
    # 13 px become 16, 3 px one patch of 8.
    assert model.sides == [32, 16, 8, 32]
    assert model.metres == [2.0, 4.0, 8.0, 2.0]
    scores = {look: measure_maps(one, 'ab', DRAWS)['miou']['score'] for look, one in found.items()}
    assert scores[Look()] == 1
    assert scores[Look(0.1)] < 0.5
    curve = measure_scales({1.0: found[Look()], 0.1: found[Look(0.1)]}, DRAWS)
    assert curve['scales'] == [0.1, 1.0]
    assert curve['drop']['0.1']['score'] == pytest.approx(1 - curve['score'][0])
    assert curve['mean']['score'] == pytest.approx(sum(curve['score']) / 2)
    assert segmented(model, batch(side=30), Look(0.9)).shape == (3, 30, 30)


def test_tiles_of_an_image_are_counted_together() -> None:
    some, model = batch(side=32), Patches()
    halves = [{name: value[[n]] for name, value in some.items()} for n in range(3)]
    done: list[int] = []
    found = count_images(model, halves, [0, 0, 1], [Look()], 2, done.append)[Look()]
    assert found.sum((1, 2)).tolist() == [2 * 32**2, 32**2]
    assert done == [1, 1, 1]


@pytest.mark.parametrize(
    ('guess', 'mask', 'said'),
    [
        (torch.zeros(1, 2, 2).long(), torch.zeros(1, 2, 3).long(), r'both \(B, H, W\)'),
        (torch.full((1, 2, 2), 2), torch.zeros(1, 2, 2).long(), 'predictions go from 2 to 2'),
        (torch.zeros(1, 2, 2).long(), torch.full((1, 2, 2), 7), 'masks go from 7 to 7'),
    ],
)
def test_what_cannot_be_counted(guess: Tensor, mask: Tensor, said: str) -> None:
    with pytest.raises(EvaluationError, match=said):
        confusions(guess, mask, 2)


def test_no_labelled_pixel() -> None:
    nothing = torch.full((2, 3, 3), UNLABELLED)
    with pytest.raises(EvaluationError, match='2 test images is labelled'):
        measure_maps(confusions(torch.zeros_like(nothing), nothing, 2), 'ab', DRAWS)
