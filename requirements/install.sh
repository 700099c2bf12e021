#!/usr/bin/env bash
# Set up an environment with the versions of requirements/tested.txt.
# Usage: requirements/install.sh [VENV]    Needs Python >= 3.9 and a C++17 compiler.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
pins=requirements/tested.txt
log=$venv/install.log
pip() { "$venv/bin/python" -m pip --disable-pip-version-check "$@" >>"$log" 2>&1 || fail "pip $*"; }
say() { printf '[%s] %s\n' "$(date +%H:%M:%S)" "$*"; }
fail() {
    tail -n 20 "$log" >&2
    printf 'Setting up failed at: %s\nThe whole log is in %s\n' "$1" "$log" >&2
    exit 1
}

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
: >"$log"
say "1/5 build tools and PyTorch: a download of about 3 GB, 2 to 10 minutes the first time"
pip install -c "$pins" pip setuptools wheel ninja psutil
pip install -c "$pins" torch torchvision numpy

if "$venv/bin/python" -c 'import mmcv.ops' 2>/dev/null; then
    say "2/5 mmcv with its compiled ops is there"
else
    say "2/5 mmcv: compiling its ops takes 3 to 9 minutes on 2 cores"
    # build isolation would hide torch from the build, which then leaves the ops out silently
    export MMCV_WITH_OPS=1 MAX_JOBS=${MAX_JOBS:-$(nproc)}
    pip install -c "$pins" --no-build-isolation --force-reinstall --no-deps mmcv
fi

say "3/5 OpenMMLab, mim and the tools of development: about 2 minutes"
pip install -c "$pins" -r requirements/runtime.txt mmcv
pip install -c "$pins" -r requirements/dev.txt
# openmim asks for opendatalab, which pins setuptools 60 and is needed for data downloads only
pip install -c "$pins" --no-deps openmim
pip install -c "$pins" click colorama model-index pandas requests rich tabulate
# panopticapi-lite asks for numpy 1 and works with numpy 2
pip install -c "$pins" --no-deps panopticapi-lite
# the OpenCV that mmcv asks for needs a screen's libraries; this one is the same without windows
"$venv/bin/python" -m pip uninstall -y opencv-python >>"$log" 2>&1 || true
pip install -c "$pins" --force-reinstall --no-deps opencv-python-headless

say "4/5 mmentity itself, editable"
pip install --no-use-pep517 --no-deps -e .

say "5/5 checking that everything imports"
"$venv/bin/python" - <<'PY' || fail 'import check'
import mmcv.ops
import mmdet, mmengine, mmpretrain, mmseg, torch
from mmdet.registry import MODELS

assert MODELS.get('mmentity.CropFormer') is not None
print(f'mmcv {mmcv.__version__} with compiled ops, torch {torch.__version__}, '
      f'mmengine {mmengine.__version__}, mmdet {mmdet.__version__}, '
      f'mmseg {mmseg.__version__}, mmpretrain {mmpretrain.__version__}')
PY
touch "$venv/.ready"
