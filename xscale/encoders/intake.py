"""How the data's bands and values become those an encoder was trained on."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import ConfigError, UnknownNameError
from ..types import Sensor
from .bands import match_bands, numbered
from .units import check_values, choose_sensor, divisor, other_bands


class Intake:
    """Chooses the sensor, the bands and the scale.

    Attributes:
        sensors: Those the encoder was trained on.
        number: Which of them the data are taken for; None while several are possible.
        order: For each band of that sensor its place in the data.
        divisor: What the values are divided by.
    """

    def __init__(
        self, sensors: Sequence[Sensor], bands: Sequence[str], dtype: str, sensor: str | None = None
    ) -> None:
        """Compare the bands.

        Args:
            sensors: Those the encoder was trained on.
            bands: Bands of the data.
            dtype: Of the data's files.
            sensor: Name of the sensor the data are of; found by bands and values by default.

        Raises:
            UnknownNameError: If there is no such sensor.
            ConfigError: If the data lack the bands of every sensor.
        """
        self.sensors, self.bands, self.dtype = tuple(sensors), tuple(bands), dtype
        self.number: int | None = None
        self.order: list[int] = []
        self.divisor = 1.0
        names = [one.name for one in self.sensors]
        if sensor is not None and sensor not in names:
            raise UnknownNameError('sensor', sensor, names)
        named = [one for one in self.sensors if sensor in (None, one.name)]
        fitting = [one for one in named if match_bands(bands, one.bands) is not None]
        if not fitting:
            raise other_bands(bands, named)
        self.candidates = [self.sensors.index(one) for one in fitting]
        if len(fitting) == 1:
            self._use(self.candidates[0])

    def _use(self, number: int) -> None:
        chosen = self.sensors[number]
        self.number = number
        self.order = match_bands(self.bands, chosen.bands) or []
        self.divisor = divisor(chosen, self.dtype)

    def fit(self, mean: Sequence[float], std: Sequence[float]) -> list[str]:
        """Choose among several sensors by the data's values, and check them.

        Args:
            mean: Mean of each band of the data.
            std: Standard deviation, likewise.

        Returns:
            Warnings.

        Raises:
            ConfigError: If there is not one number for each band.
        """
        if not len(mean) == len(std) == len(self.bands):
            raise ConfigError(
                f'{len(mean)} means and {len(std)} deviations came for {len(self.bands)} bands: '
                f'{", ".join(self.bands)}'
            )
        if len(self.candidates) > 1:
            # Each in its own units: bytes become 0..1 for a sensor that is 0..1.
            scaled = [self._in_units_of(self.sensors[n]) for n in self.candidates]
            best = choose_sensor(scaled, self.bands, mean, std)
            self._use(self.candidates[best])
        own = [[values[i] / self.divisor for i in self.order] for values in (mean, std)]
        warning = check_values(own[0], own[1], self.sensor)
        return [warning] if warning else []

    def _in_units_of(self, sensor: Sensor) -> Sensor:
        """Return a sensor with its statistics in the data's units."""
        factor = divisor(sensor, self.dtype)
        mean, std = (tuple(v * factor for v in values) for values in (sensor.mean, sensor.std))
        return Sensor(sensor.name, sensor.bands, mean, std, sensor.group)

    @property
    def sensor(self) -> Sensor:
        """The sensor the data are taken for.

        Raises:
            ConfigError: If several are possible and the data's values are not known.
        """
        return self.sensors[self.chosen()]

    def chosen(self) -> int:
        """Return the number of that sensor.

        Raises:
            ConfigError: If several are possible and the data's values are not known.
        """
        if self.number is None:
            names = ', '.join(repr(self.sensors[number].name) for number in self.candidates)
            raise ConfigError(
                f'the data may be of several sensors of the encoder: {names}; name one (sensor=), '
                'or give the mean and deviation of the data (fit_data)'
            )
        return self.number

    @property
    def notes(self) -> list[str]:
        """What was decided, for people."""
        if self.number is None:
            return []
        notes, needed = [], self.sensor.bands
        if len(self.sensors) > 1:
            notes.append(f'the data are taken for {self.sensor.name}')
        if numbered(self.bands) != numbered(needed):
            notes.append(f'bands {", ".join(self.bands)} are taken for {", ".join(needed)}')
        elif self.order != list(range(len(self.bands))):
            chosen = ', '.join(self.bands[i] for i in self.order)
            notes.append(f'of the bands {", ".join(self.bands)} it sees {chosen}')
        if self.divisor != 1:
            notes.append(f'values are divided by {self.divisor:g}, for it was trained on 0..1')
        return notes

    def __call__(self, image: Tensor) -> Tensor:
        """Bring images to the sensor's bands and units.

        Args:
            image: Values of the data, shape (B, C, H, W).

        Returns:
            Shape (B, C', H, W).

        Raises:
            ConfigError: If several sensors are possible and the data's values are not known.
        """
        self.chosen()
        if self.order != list(range(image.shape[1])):
            image = image[:, self.order]
        return image / self.divisor if self.divisor != 1 else image

    def __str__(self) -> str:
        """Say in full what is done to values, for fingerprints."""
        if self.number is None:
            return f'one of {self.candidates}'
        return f'{self.sensor.plain()} {self.order} {self.divisor}'
