#!/usr/bin/env bash
# Runs tools/gpu_check.py without a network: bash requirements/gpu_check.sh WHEELS [option ...]. WHEELS is the folder of
# gpu_wheels.py; torch and other compiled packages are those of $PYTHON (python3), which is not changed.
set -euo pipefail
wheels=$(realpath "$1")
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python=${PYTHON:-python3} env=work_dirs/gpu_check/env
rm -rf "$env"
"$python" -m venv --without-pip "$env"
site=$("$env/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
"$python" -m pip install -q --no-index --no-deps --no-compile --target "$site" "$wheels"/*.whl
# packages of $PYTHON come after the wheels
"$python" -c 'import sys
print("import site;", *(f"site.addsitedir({path!r});" for path in sys.path if path.endswith("-packages")))' >"$site/outer.pth"
PYTHONPATH=$PWD "$env/bin/python" tools/gpu_check.py "$@"
