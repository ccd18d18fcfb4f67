"""Dates as an encoder takes them: year, month and hour."""

import torch
from torch import Tensor

#: Years are counted from this one (SatMAE, Cong et al. 2022).
FIRST_YEAR = 2002

#: What an image without a date counts as, within the years of fMoW: noon in July 2014.
UNKNOWN = (12.0, 6.0, 12.0)


def date_fields(seconds: Tensor) -> Tensor:
    """Turn times into years since 2002, months from 0 and hours.

    The calendar is the Gregorian one, counted in years that begin in March, so that a leap day is
    the last of its year.

    Args:
        seconds: Seconds since 1970, NaN where it is not known, shape (…).

    Returns:
        Shape (…, 3), float32; :data:`UNKNOWN` where it is not known.
    """
    whole = seconds.nan_to_num().floor().long()
    hour = whole.remainder(86400) // 3600
    # Days since the first of March of the year 0, in eras of 400 years.
    days = whole.div(86400, rounding_mode='floor') + 719468
    era = days.div(146097, rounding_mode='floor')
    of_era = days - 146097 * era
    year = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    from_march = (5 * of_year + 2) // 153
    month = (from_march + 2) % 12
    year = year + 400 * era + (month < 2)
    fields = torch.stack([year - FIRST_YEAR, month, hour], dim=-1).float()
    return torch.where(seconds.isnan()[..., None], fields.new_tensor(UNKNOWN), fields)
