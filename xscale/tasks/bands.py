"""Do the bands of the data fit those that a model takes?"""

from collections.abc import Mapping, Sequence

from ..datasets.conventions import BY_NAME, common_name, plain
from ..errors import ConfigError
from ..models.band_groups import BandGroups
from ..models.layouts import Layout
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


def check_layout(layout: Layout | None, groups: Mapping[str, int]) -> None:
    """Make sure that an objective with several tokens of a patch takes the model's bands.

    Args:
        layout: How images become tokens.
        groups: Number of bands of each group of sensors.

    Raises:
        ConfigError: If they have others.
    """
    if layout is None:
        return
    if len(groups) > 1:
        raise ConfigError(
            f'the model takes the groups of bands {", ".join(groups)}; an objective that groups '
            'the bands of an image, or takes several dates, needs images of the same bands: '
            'choose them (bands) and leave groups of the task out'
        )
    if not isinstance(layout, BandGroups):
        return
    (count,) = groups.values()
    if count != len(layout.bands):
        raise ConfigError(
            f'the objective groups {len(layout.bands)} bands ({", ".join(layout.bands)}) and '
            f'in_channels is {count}; set in_channels: {len(layout.bands)}, or the options bands '
            'and groups'
        )


def check_bands(bands: Sequence[str], layout: Layout | None) -> None:
    """Make sure that the channels of the data are those that an objective groups.

    Args:
        bands: Names of the bands of the data.
        layout: How images become tokens.

    Raises:
        ConfigError: If they are others, or in another order.
    """
    if not isinstance(layout, BandGroups):
        return
    if [plain(band) for band in bands] != [plain(band) for band in layout.bands]:
        raise ConfigError(
            f'the data has the bands {", ".join(bands)} and the objective groups '
            f'{", ".join(layout.bands)}; choose these of the data (bands), or name the '
            "data's in the options bands and groups"
        )


def meanings(sensor: Sensor) -> tuple[str, ...]:
    """Return what the bands of a sensor mean: ``red`` is B4 of Sentinel-2, and R of NAIP.

    Args:
        sensor: The sensor, whose name begins with that of the convention its bands follow.
    """
    family = BY_NAME.get(sensor.name.split(' ')[0])
    return tuple((family and family.common(band)) or common_name(band) for band in sensor.bands)


def in_another_order(before: Sequence[str], sensor: Sensor) -> str:
    """Warn of weights that take one band for another.

    Args:
        before: What the channels meant that they were trained on.
        sensor: What they are to be trained on now.

    Returns:
        The warning; empty where the bands are in the same order, or are not the same.
    """
    now = meanings(sensor)
    if tuple(before) == now or sorted(before) != sorted(now):
        return ''
    return (
        f'the weights were trained on {", ".join(before)}, and the bands of the data are '
        f'{", ".join(now)}, so one is taken for another; choose them in that order: '
        f'--bands {",".join(before)}'
    )
