"""Golden frames as other x86-64 CPUs compile the loops, as far as this one can stand in for them.

    python tests/programs/cpus.py

Each in a process of its own, with a cache of its own. Ends with 1 if any frame differs.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from llvmlite import binding

VECTORS = "avx512f avx512bw avx512dq avx512vl avx512cd"
CPUS = {
    "generic": "",
    "haswell": "avx2 fma",
    "alderlake": "avx2 fma avxvnni",
    "skylake-avx512": f"avx2 fma {VECTORS}",
    "icelake-server": f"avx2 fma {VECTORS} avx512vnni",
}
"""Names and what the loops use of them."""


def main() -> int:
    """Run the golden frames as each CPU."""
    here, failed = binding.get_host_cpu_features(), []
    for name, features in CPUS.items():
        if not all(here.get(each) for each in features.split()):
            print(f"{name}: this CPU cannot", flush=True)
            continue
        print(f"{name}:", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {
                "NUMBA_CPU_NAME": name,
                "NUMBA_CPU_FEATURES": ",".join(f"+{each}" for each in features.split()),
                "NUMBA_CACHE_DIR": folder,
            }
            program = str(Path(__file__).with_name("golden.py"))
            run = subprocess.run([sys.executable, program, "package"], env=environment, check=False)
        failed += [name] if run.returncode else []
    print(f"wrong as {', '.join(failed)}" if failed else "the same as all of them")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
