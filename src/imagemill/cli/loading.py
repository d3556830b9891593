"""Reading the settings for a command: a wrong one ends it with a line each and no traceback."""

import os
import tomllib
from typing import TYPE_CHECKING, Any

from imagemill.cli.output import UNUSABLE, Trouble, warn

if TYPE_CHECKING:
    from imagemill.config import Settings


def load_settings(**given: Any) -> "Settings":
    """Options that were given go before everything else. Raises `Trouble`; warns of misspelt variables."""
    from imagemill.config import unknown

    settings = read_settings(**given)
    for line in unknown(os.environ):
        warn(line)
    return settings


def read_settings(**given: Any) -> "Settings":
    """As `load_settings`, without a word on what is misspelt."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from imagemill.config import Settings, complaints

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise Trouble("these settings cannot be used", UNUSABLE, details=tuple(complaints(error))) from error
    except tomllib.TOMLDecodeError as error:
        raise Trouble(f"imagemill.toml is not TOML: {error}", UNUSABLE) from error
    except (SettingsError, OSError, UnicodeDecodeError) as error:
        raise Trouble(f"the settings cannot be read: {error}", UNUSABLE) from error
