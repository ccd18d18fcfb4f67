"""Do the bands of the data fit those that a model takes?"""

from collections.abc import Mapping, Sequence

from ..errors import ConfigError
from ..types import Sensor


def groups_taken(groups: Mapping[str, int] | None, in_channels: int) -> dict[str, int]:
    """Return the number of bands of each group that a model takes.

    Args:
        groups: Number of bands of each group, by name; None for one group of any name.
        in_channels: Number of bands of the first.

    Raises:
        ConfigError: If the two contradict one another.
    """
    taken = dict(groups or {'': in_channels})
    first, count = next(iter(taken.items()))
    if count != in_channels:
        raise ConfigError(
            f'the first group of bands, {first}, has {count} and in_channels is {in_channels}; '
            f'set in_channels: {count}'
        )
    return taken


def number_groups(sensors: Sequence[Sensor], taken: Mapping[str, int]) -> list[int]:
    """Find the group of bands of each sensor among those that a model takes.

    Args:
        sensors: The sensors of the data.
        taken: Number of bands of each group that the model takes.

    Raises:
        ConfigError: If a sensor has bands that it does not take.
    """
    found = {sensor.group: len(sensor.bands) for sensor in sensors}
    if len(taken) == len(found) == 1:
        (bands,), (wanted,) = found.values(), taken.values()
        if bands != wanted:
            raise ConfigError(
                f'the data has {bands} bands and the model takes {wanted}; '
                f'set in_channels: {bands}, or choose the bands'
            )
        return [0] * len(sensors)
    if any(taken.get(name) != count for name, count in found.items()):
        had = ', '.join(f'{name}: {count}' for name, count in found.items())
        takes = ', '.join(f'{name or "any"}: {count}' for name, count in taken.items())
        raise ConfigError(
            f'the data has the groups of bands {{{had}}} and the model takes {{{takes}}}; '
            f'set groups: {{{had}}} and in_channels: {next(iter(found.values()))}, or choose '
            'the bands'
        )
    return [list(taken).index(sensor.group) for sensor in sensors]
