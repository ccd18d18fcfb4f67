"""Split a data set that has no splits: the same classes in both parts, from a seed."""

from .split import Split

#: Share of the images that is tested on.
TESTED = 0.2


def train_and_test(split: Split, seed: int, notes: list[str]) -> dict[str, Split]:
    """Split images into those to train on and those to test on.

    Args:
        split: All of them.
        seed: Decides which is where.
        notes: Where it is told.

    Returns:
        'train' and 'test', each in the order of the whole.
    """
    # The data set says itself, and better, that there is nothing to test on.
    if len(split) < 2:
        return {'train': split}
    train, test, how = divide(split, TESTED, seed)
    notes.append(f'it has no splits: {TESTED:.0%} of its images {how} are tested on (seed {seed})')
    return {'train': train, 'test': test}


def divide(split: Split, share: float, seed: int) -> tuple[Split, Split, str]:
    """Take a part of the images apart, with the same classes in both parts where that is possible.

    Args:
        split: At least two images.
        share: Of the images in the second part.
        seed: Decides which is where.

    Returns:
        Both parts, each in the order of the whole; and in words how they were drawn.
    """
    from sklearn.model_selection import train_test_split

    labels = split.labels
    # Images of several classes cannot be dealt out by class, nor can a class of one image.
    even = labels.ndim == 1 and int(labels.unique(return_counts=True)[1].min()) > 1
    even = even and min(share, 1 - share) * len(labels) >= len(labels.unique())
    first, second = train_test_split(
        range(len(split)),
        test_size=share,
        random_state=seed,
        stratify=labels.numpy() if even else None,
    )
    how = 'of each class' if even else 'at random'
    return split.keep(sorted(first)), split.keep(sorted(second)), how
