"""Checks of numbers in a configuration."""

import math

from ostinato.configs.errors import UserError


def check_bounds(config: object, names: str, low: float, high: float = math.inf) -> None:
    """Refuses a field, of those named, that is not a number from low to high."""
    for name in names.split():
        value = getattr(config, name)
        if not low <= value <= high or value == math.inf:
            limits = f"at least {low}" if high == math.inf else f"between {low} and {high}"
            raise UserError(f"{name} {value} must be {limits}")


def check_positive(config: object, names: str) -> None:
    """Refuses a field, of those named, that is not above 0."""
    for name in names.split():
        value = getattr(config, name)
        if not 0 < value < math.inf:
            raise UserError(f"{name} {value} must be above 0")
