#!/usr/bin/env bash
# The main job on a simulated patient, or, with options, on your own data:
#   bash Testing/demo.sh
#   bash Testing/demo.sh --gre DICOM_FOLDER -o RESULTS      (the options of 'chisep run')
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
here=$PWD
cd "$root"
. Testing/environment.sh
make_environment demo
cd "$here"
if [ "$#" -eq 0 ]; then
  exec "$venv/bin/chisep" demo -o "$root/demo_output"
fi
exec "$venv/bin/chisep" run "$@"
