#!/usr/bin/env bash
# Sets up .venv beside this checkout: torch, the OpenMMLab packages and mixpro_mm itself (editable). Safe to call again:
# returns at once when nothing changed. Never touches the system Python. A torch that is already in .venv stays if its
# version fits, such as a build for the CPU.
# MMCV=compiled compiles the ops of mmcv; MMCV=pure, the default, leaves them to torchvision. Later calls keep the choice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

need() { echo "mixpro_mm set-up: $1" >&2; exit 1; }

# ---- needs, all checked before anything is installed ---------------------------------------------------------------
[ "$(uname -s)" = Linux ] || need "needs Linux, this is $(uname -s)."
supported='import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))'
python=
for candidate in ${PYTHON:-python3 python3.11 python3.12 python3.13 python3.10}; do
  if "$candidate" -c "$supported" >/dev/null 2>&1; then python=$candidate; break; fi
done
[ -n "$python" ] || need "needs Python 3.10 to 3.13, but ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>/dev/null || echo missing); name another with PYTHON=/path/to/python make ..."
"$python" -c 'import ensurepip, venv' 2>/dev/null || need "needs Python's venv module; on Debian and Ubuntu: apt-get install python3-venv."
stamp=.venv/.mixpro_mm-ready
mmcv=${MMCV:-$(grep -oE '^(pure|compiled) ' "$stamp" 2>/dev/null || true)}
mmcv=${mmcv% }
mmcv=${mmcv:-pure}
case $mmcv in
  pure) ;;
  compiled)
    header=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include") + "/Python.h")')
    [ -e "$header" ] || need "MMCV=compiled needs Python's C headers ($header is missing); on Debian and Ubuntu: apt-get install python3-dev."
    compiler=${CXX:-$(command -v g++ || command -v c++ || true)}
    { [ -n "$compiler" ] && command -v "${compiler%% *}" >/dev/null; } || need "MMCV=compiled needs a C++ compiler; on Debian and Ubuntu: apt-get install g++."
    ;;
  *) need "MMCV is pure or compiled, not $mmcv." ;;
esac

# ---- nothing to do? ------------------------------------------------------------------------------------------------
wanted=$(cat requirements/*.txt requirements/install.sh setup.py | sha256sum | cut -d' ' -f1)
ready() { [ "$(cat "$stamp" 2>/dev/null || true)" = "$mmcv $wanted $PWD" ]; }
ready && exit 0
exec 9>.venv.lock
flock 9  # a second make waits here, then finds the work done
ready && exit 0

free_gb=$(( $(df -Pk . | awk 'NR == 2 {print $4}') / 1024 / 1024 ))
[ -x .venv/bin/python ] || [ "$free_gb" -ge 8 ] || need "needs 8 GB of free disk for .venv, this disk has $free_gb GB."

# ---- install -------------------------------------------------------------------------------------------------------
cores=$(nproc)
log=$PWD/.venv/setup.log
step() {  # step "what it does" command...
  local what=$1 from=$SECONDS; shift
  printf 'set-up: %s ... ' "$what"
  if ! "$@" >>"$log" 2>&1; then
    printf 'failed\n'; tail -n 15 "$log" >&2
    need "'$what' failed; the lines above are the end of $log."
  fi
  printf 'done in %d s\n' $((SECONDS - from))
}
echo "mixpro_mm set-up into .venv: about 4 minutes, most of them downloads"
{ .venv/bin/python -c "$supported" && .venv/bin/python -m pip --version; } >/dev/null 2>&1 || { rm -rf .venv; mkdir -p .venv; }
[ -x .venv/bin/python ] || step "making .venv with $("$python" --version)" "$python" -m venv .venv
printf '%s ' "$mmcv" >"$stamp"  # keeps the choice if the set-up is interrupted
venv=$PWD/.venv/bin
export PATH="$venv:$PATH" PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_CONSTRAINT=requirements/constraints.txt
install() { "$venv/python" -m pip install "$@"; }

# pip itself: old releases resolve slowly and read constraints differently
step "pip and build tools" install "pip>=24" setuptools wheel
step "torch (the largest download, some 3 GB)" install torch torchvision numpy

# mmcv is published as source. In pip's isolated build there is no torch, and the wheel has no ops. Without --no-cache-dir
# pip may take a wheel from its cache that was compiled for another torch.
pure_mmcv() {
  install --no-cache-dir --no-deps --force-reinstall --no-binary onedl-mmcv onedl-mmcv
}
# A compiled wheel is kept where later checkouts find it. The key names what it depends on.
compiled_mmcv() {
  if ! command -v nvcc >/dev/null && [ -z "${CUDA_HOME:-}" ]; then
    export CUDA_VISIBLE_DEVICES=  # a GPU without the CUDA toolkit: ops for the CPU
  fi
  local key wheels version build
  key=$("$venv/python" -c 'import sys, torch
print(f"py{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}-{torch.cuda.is_available() and torch.version.cuda or 0}-O3")') || return 1
  wheels=${XDG_CACHE_HOME:-$HOME/.cache}/mixpro_mm/wheels/$key
  version=$(sed -n 's/^onedl-mmcv==//p' requirements/constraints.txt)
  wheel() { find "$wheels" -name "onedl_mmcv-$version-*.whl" 2>/dev/null | head -n 1; }
  if [ -z "$(wheel)" ]; then
    build="$wheels.building.$$"
    # chained, because bash ignores set -e inside a function whose result is tested
    install ninja && MMCV_WITH_OPS=1 MAX_JOBS=$cores CFLAGS='-O3 -g0' "$venv/python" -m pip wheel --no-cache-dir --no-build-isolation --no-deps \
      --no-binary onedl-mmcv --wheel-dir "$build" onedl-mmcv &&
      mkdir -p "$wheels" && mv "$build"/*.whl "$wheels"/ && rm -rf "$build" || return 1
  fi
  install --no-deps --force-reinstall "$(wheel)"
}
if [ $mmcv = pure ]; then
  step "mmcv" pure_mmcv
else
  step "mmcv (to compile it takes $((22 / cores + 1)) minutes on $cores cores, once per machine)" compiled_mmcv
fi
# imaug and openxlab ask for packages by way of sdists; setuptools is here already
step "mmengine, mmpretrain, mmsegmentation, mmdetection, mim" install -r requirements/mminstall.txt -r requirements/runtime.txt -r requirements/tests.txt -r requirements/docs.txt
step "mixpro_mm" install --no-build-isolation --no-deps -e .
# yapf writes its grammar when it is first imported; two processes that do so at once spoil it
step "check: mmcv.ops computes" "$venv/python" -c 'import yapf; from mixpro_mm.doctor.steps import TESTS; TESTS["mmcv.ops"]()'
step "check: versions agree" "$venv/python" -m pip check
printf '%s %s %s' "$mmcv" "$wanted" "$PWD" >"$stamp.new" && mv "$stamp.new" "$stamp"
echo "set-up: ready"
