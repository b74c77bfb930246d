"""The photograph that ships with the project, for tests that need a real image."""

from functools import cache
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray

PHOTOGRAPH = Path(__file__).parents[1] / "examples" / "photograph.png"


@cache
def photograph() -> NDArray[np.uint8]:
    """(height, width, 3), read-only."""
    image: NDArray[Any] = imagecodecs.imread(PHOTOGRAPH)[..., :3]
    image.flags.writeable = False
    return image
