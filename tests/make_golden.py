"""Write the golden frames that are not there yet: `make golden`. Never overwrites one, and no test calls this.

Beside each frame lies the array it must decode to, as written by numpy.
"""

import numpy as np

from golden_cases import CASES, GOLDEN


def main() -> None:
    """Write the missing cases and say which."""
    GOLDEN.mkdir(exist_ok=True)
    for name, case in CASES.items():
        path = GOLDEN / f"{name}.frame"
        if path.exists():
            continue
        array = case.make()
        frame = case.codec(**case.options).encode(array)
        if frame[5] != case.route:
            raise SystemExit(f"{name} has route {frame[5]}: {case}")
        with path.with_suffix(".npy").open("xb") as file:
            np.save(file, array)
        with path.open("xb") as file:
            file.write(frame)
        print(f"wrote {name}: {len(frame)} bytes for {array.nbytes}")


if __name__ == "__main__":
    main()
