"""What the commands read off their flags alike."""

from ..errors import ConfigError


def split_bands(text: str | None) -> list[str]:
    """Split the bands asked for; none, or 'all', means all.

    Args:
        text: Bands with commas between them.

    Raises:
        ConfigError: If one is asked for twice.
    """
    bands = [band.strip() for band in (text or '').split(',') if band.strip()]
    if len(set(bands)) < len(bands):
        raise ConfigError(f'--bands {text}: a band is asked for twice')
    return [] if bands == ['all'] else bands


def split_numbers(flag: str, text: str | None) -> list[float] | None:
    """Split numbers with commas between them.

    Args:
        flag: Where they are from.
        text: The numbers; None for none.

    Raises:
        ConfigError: If they are none.
    """
    try:
        return [float(number) for number in text.split(',')] if text else None
    except ValueError as error:
        raise ConfigError(f'--{flag} {text}: numbers with commas between are needed') from error
