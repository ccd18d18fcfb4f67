"""Figures against scikit-learn and torchmetrics."""

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional.classification import multilabel_average_precision

from xscale.evaluation import (
    EvaluationError,
    average_precision,
    classification_metrics,
    confusion_matrix,
    mean_average_precision,
    resampled_precision,
)

from ..tiny import seeded


def test_one_label_an_image() -> None:
    """Classes of unequal size; one that is predicted and never there, one that is neither."""
    scores = torch.randn(200, 6, generator=seeded())
    scores[:, 5] = -9
    labels = torch.randint(4, (200,), generator=seeded(1)) // 2 * 2
    labels[:9] = 1
    found = classification_metrics(scores, labels)
    predicted = scores.argmax(1)
    assert 4 in predicted
    assert found == pytest.approx(
        {
            'accuracy': reference.accuracy_score(labels, predicted),
            # The recall of each class that is there.
            'class_accuracy': reference.recall_score(
                labels, predicted, labels=[0, 1, 2], average='macro'
            ),
            'macro_f1': reference.f1_score(labels, predicted, average='macro'),
        }
    )
    matrix = confusion_matrix(predicted, labels, 6)
    expected = reference.confusion_matrix(labels, predicted, labels=range(6))
    np.testing.assert_array_equal(matrix, expected)


def test_by_hand() -> None:
    """Of three images of class 0 two are right, the one of class 1 is wrong."""
    scores = torch.eye(2)[[0, 0, 1, 0]]
    found = classification_metrics(scores, torch.tensor([0, 0, 0, 1]))
    assert found['accuracy'] == pytest.approx(1 / 2)
    assert found['class_accuracy'] == pytest.approx(1 / 3)
    matrix = confusion_matrix(scores.argmax(1), torch.tensor([0, 0, 0, 1]), 2)
    assert matrix.tolist() == [[2, 1], [1, 0]]


def test_several_labels() -> None:
    scores = torch.randn(80, 5, generator=seeded())
    labels = torch.rand(80, 5, generator=seeded(1)) < 0.2
    labels[:, 3] = False
    there = [0, 1, 2, 4]
    found = classification_metrics(scores, labels)
    expected = reference.average_precision_score(labels[:, there], scores[:, there])
    assert found == {'mean_average_precision': pytest.approx(expected)}
    others = multilabel_average_precision(scores[:, there].sigmoid(), labels[:, there].long(), 4)
    assert found['mean_average_precision'] == pytest.approx(float(others), abs=1e-6)


@pytest.mark.parametrize('ties', [False, True])
@pytest.mark.parametrize('weighted', [False, True])
def test_average_precision_of_many_rows(ties: bool, weighted: bool) -> None:
    scores = torch.randn(7, 60, generator=seeded())
    scores = (2 * scores).round() if ties else scores
    relevant = torch.rand(7, 60, generator=seeded(1)) < 0.3
    weight = torch.randint(4, (7, 60), generator=seeded(2)) if weighted else None
    found = average_precision(scores, relevant, weight)
    expected = [
        reference.average_precision_score(
            relevant[row], scores[row], sample_weight=None if weight is None else weight[row]
        )
        for row in range(7)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_resampled_precision_is_that_of_the_images_drawn() -> None:
    scores = torch.randn(50, 3, generator=seeded())
    labels = torch.rand(50, 3, generator=seeded(1)) < 0.3
    index = torch.randint(50, (6, 50), generator=seeded(2))
    found = resampled_precision(scores, labels)(index)
    expected = [mean_average_precision(scores[row], labels[row]) for row in index]
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_what_cannot_be_measured() -> None:
    scores, labels = torch.zeros(4, 3), torch.tensor([0, 1, 2, 0])
    with pytest.raises(EvaluationError, match='nothing can be measured on an empty split'):
        classification_metrics(scores[:0], labels[:0])
    with pytest.raises(EvaluationError, match='4 true labels came for 3 images'):
        classification_metrics(scores[:3], labels)
    with pytest.raises(EvaluationError, match='go from 0 to 2; with 2 classes'):
        classification_metrics(scores[:, :2], labels)
    with pytest.raises(EvaluationError, match='3 of 12 scores are not finite'):
        classification_metrics(scores / torch.tensor([[1], [1], [0], [1]]), labels)
    with pytest.raises(EvaluationError, match='predicted labels go from 0 to 7'):
        confusion_matrix(torch.tensor([0, 1, 2, 7]), labels, 3)
