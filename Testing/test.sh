#!/usr/bin/env bash
# Every check and the whole test suite. Arguments go to pytest, such as: -k romeo
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
. Testing/environment.sh
make_environment test
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

"$venv/bin/ruff" check .
"$venv/bin/ruff" format --check .
"$venv/bin/mypy" ChiSepPreprocess/ChiSepPreprocessLib ChiSepReconstruct/ChiSepReconstructLib \
  ChiSeparation/ChiSeparationLib Testing/phantoms/ChiSepPhantoms
"$venv/bin/mypy" Testing/architecture Testing/preprocess Testing/reconstruct Testing/separation Testing/scene \
  Testing/phantom_checks Testing/training Testing/benchmarks Testing/panels Testing/host Testing/in_slicer
"$venv/bin/mypy" ChiSepPreprocess/Testing/Python ChiSepReconstruct/Testing/Python ChiSeparation/Testing/Python
"$venv/bin/python" -m pytest -n auto "$@"
