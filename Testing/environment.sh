# Makes .venv with everything in it; sourced by demo.sh and test.sh. Repeating it is cheap.
# CHISEP_TORCH_INDEX: another package index for PyTorch, such as a CPU-only one.
# PYTHON: the interpreter to start from.

fail() { printf 'chisep: %s\n' "$*" >&2; exit 2; }

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ] && ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    printf 'chisep: PYTHON=%s is not Python 3.11 or later; looking for another\n' "$PYTHON" >&2
  fi
  for candidate in "${PYTHON:-}" python3 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] && command -v "$candidate" >/dev/null 2>&1 || continue
    "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
    printf '%s' "$candidate"; return 0
  done
  return 1
}

check_disk() {
  local free_kib needed_gib=9
  [ -z "${CHISEP_TORCH_INDEX:-}" ] || needed_gib=4  # PyTorch without CUDA
  free_kib=$(df -Pk "$root" | awk 'NR == 2 { print $4 }')
  [ "$free_kib" -gt $((needed_gib * 1000000)) ] ||
    fail "only $((free_kib / 1024)) MiB free beside $root; about $needed_gib GB are needed. Free some space."
}

make_environment() {  # make_environment EXTRA
  local extra=$1 python stamp wanted
  venv="$root/.venv"
  stamp="$venv/.chisep-$extra"
  wanted=$(cat "$root/pyproject.toml" "$root/Testing/constraints.txt" | cksum)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return 0; fi
  check_disk
  if [ ! -x "$venv/bin/python" ]; then
    python=$(find_python) || fail "no Python 3.11 or later found. Install one, or name it: PYTHON=/path/to/python3 bash $0"
    "$python" -c 'import venv, ensurepip' 2>/dev/null ||
      fail "$python has no venv module. On Debian or Ubuntu: apt-get install python3-venv"
    "$python" -m venv "$venv" || fail "could not make $venv"
  fi
  printf 'chisep: installing into %s (once)\n' "$venv" >&2
  if [ -n "${CHISEP_TORCH_INDEX:-}" ]; then
    "$venv/bin/python" -m pip install --quiet --constraint "$root/Testing/constraints.txt" \
      --index-url "$CHISEP_TORCH_INDEX" torch || fail "PyTorch could not be installed from CHISEP_TORCH_INDEX"
  fi
  "$venv/bin/python" -m pip install --quiet --constraint "$root/Testing/constraints.txt" \
    --editable "$root[$extra]" 2> "$venv/pip.log" || {
      tail -n 5 "$venv/pip.log" >&2
      fail "the packages could not be installed (network? disk?); the whole log is in $venv/pip.log"
    }
  printf '%s' "$wanted" > "$stamp"
}
