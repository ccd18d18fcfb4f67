"""A few of many, from the first to the last."""


def evenly(count: int, most: int) -> list[int]:
    """Choose at most so many numbers from 0 to below a count, evenly.

    Args:
        count: How many there are.
        most: How many are wanted at most, above 0.

    Returns:
        Numbers in order, none twice; all where there are no more.
    """
    chosen = min(most, count)
    return [number * (count - 1) // max(1, chosen - 1) for number in range(chosen)]
