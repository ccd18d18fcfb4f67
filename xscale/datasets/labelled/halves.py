"""Split a data set that has no splits: the same classes in both parts, from a seed."""

from .sets import Split

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
    from sklearn.model_selection import train_test_split

    # The data set says itself, and better, that there is nothing to test on.
    if len(split) < 2:
        return {'train': split}
    labels = split.labels
    # Images of several classes cannot be dealt out by class, nor can a class of one image.
    even = labels.ndim == 1 and int(labels.unique(return_counts=True)[1].min()) > 1
    even = even and len(labels) * TESTED >= len(labels.unique())
    train, test = train_test_split(
        range(len(split)),
        test_size=TESTED,
        random_state=seed,
        stratify=labels.numpy() if even else None,
    )
    how = 'of each class' if even else 'at random'
    notes.append(f'it has no splits: {TESTED:.0%} of its images {how} are tested on (seed {seed})')
    return {'train': split.keep(sorted(train)), 'test': split.keep(sorted(test))}
