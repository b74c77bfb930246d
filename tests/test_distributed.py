"""Training in several processes: torchrun with two of them on the CPU (gloo)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import zarr

from test_train_own import TINY, stack

ROOT = Path(__file__).parents[1]
# Three runs: one that is not stopped, one that the second process stops after four steps, and the rest of that. Each
# process writes hashes of its weights and of the patches it had, and what it printed.
PROGRAM = """
import contextlib, hashlib, io, json, sys
from numcodecs_bitswap.train import __main__, distributed, loop, own_arrays

def sample(self, n, rng, step=0, sample=own_arrays.RegionSource.sample):
    patches = sample(self, n, rng, step)
    seen.update(patches.tobytes())
    return patches

def train_step(self, progress, train_step=loop.Trainer._train_step):
    self.stop = self.processes.rank == 1 and self.step + 1 == stop_at
    return train_step(self, progress)

def run(self, *arguments, run=loop.Trainer.run, **options):
    global rank, last
    run(self, *arguments, **options)
    last = self.processes
    rank, weights = self.processes.rank, b"".join(v.numpy().tobytes() for v in self.average.state_dict().values())
    said.append({"weights": hashlib.sha256(weights).hexdigest(), "patches": seen.hexdigest(), "step": self.step})

own_arrays.RegionSource.sample, loop.Trainer._train_step, loop.Trainer.run = sample, train_step, run
distributed.Processes.end, end = lambda self: None, distributed.Processes.end  # all runs are of the same processes
said = []
for folder, stop_at in (("whole", 0), ("parts", 4), ("parts", 0)):
    seen = hashlib.sha256()
    with contextlib.redirect_stdout(io.StringIO()) as out:
        arguments = ["a.zarr", "--recipe", "tiny.toml", "--device", "cpu", "--folder", folder]
        assert __main__.main(arguments) == 0
    said[-1]["out"] = out.getvalue()
with open(f"rank{rank}.json", "w") as file:
    json.dump(said, file)
end(last)
"""


@pytest.mark.slow
def test_two_processes_train_one_model(tmp_path: Path) -> None:
    """The same weights in both, of different patches; resumed after a stop, the same as without one."""
    zarr.create_array(tmp_path / "a.zarr", data=stack(), chunks=(1, 40, 50))
    (tmp_path / "tiny.toml").write_text(TINY)
    (tmp_path / "program.py").write_text(PROGRAM)
    command = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "program.py")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = (json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1))
    for ours, theirs in zip(first, second, strict=True):
        assert ours["weights"] == theirs["weights"]
        assert ours["patches"] != theirs["patches"]
        assert "each on its own" in ours["out"]
        assert not theirs["out"]
    whole, stopped, resumed = first
    assert [run["step"] for run in second] == [8, 4, 8]
    assert whole["weights"] == resumed["weights"] != stopped["weights"]
    files = {path.name for path in (tmp_path / "whole").iterdir()}
    assert files == {"CARD.md", "checkpoint.pt", "log.txt", "plot.png", "recipe.toml", "tiny-own.safetensors"}
    assert len((tmp_path / "whole" / "log.txt").read_text().splitlines()) == 1
    models = [(tmp_path / folder / "tiny-own.safetensors").read_bytes() for folder in ("whole", "parts")]
    assert models[0] == models[1]
