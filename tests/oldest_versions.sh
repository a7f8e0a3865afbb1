#!/usr/bin/env bash
# Try the oldest versions that are supported, in an environment of its own: ten minutes, and the
# package index. Loads a generator by Keras alone, trains, goes on, samples; prints how far the
# weights are from those of the versions that are installed here.
# Usage: bash tests/oldest_versions.sh [python3.11] [python with the requirements]
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=${1:-python3.11}
newest=${2:-$root/.venv/bin/python}
cd "$(mktemp -d)"
"$python" -m venv oldest
oldest=$PWD/oldest/bin/python
"$oldest" -m pip install --quiet tensorflow==2.16.2 keras==3.8.0 numpy==1.26.4 matplotlib==3.9.0
"$oldest" -c "
import keras
print(keras.__version__, keras.models.load_model('$root/pretrained/acgan_mnist.h5').name)"
for version in oldest newest; do
    "${!version}" "$root/acgan-mnist.py" --train-steps=3 --seed=1 --output-dir=$version
    "${!version}" "$root/acgan-mnist.py" --resume --train-steps=4 --output-dir=$version
    "${!version}" "$root/acgan-mnist.py" --generator=oldest/acgan_mnist.h5 --digit=3 --seed=1
done
"$newest" - <<'P'
import h5py

def weights(path):
    with h5py.File(path) as file:
        found = []
        file.visititems(lambda _, item: found.append(item[()]) if hasattr(item, "shape") else None)
    return found

pairs = zip(weights("oldest/acgan_mnist.h5"), weights("newest/acgan_mnist.h5"), strict=True)
print("largest difference of a weight after 4 steps:", max(abs(a - b).max() for a, b in pairs))
P
