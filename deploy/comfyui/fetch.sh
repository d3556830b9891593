#!/bin/sh
# Builds /opt/comfyui and /opt/venv at the versions of the build's arguments.
set -eu

if [ -n "${COMFY_BUILD_PROXY:-}" ]; then
    export http_proxy="$COMFY_BUILD_PROXY" https_proxy="$COMFY_BUILD_PROXY" no_proxy="${COMFY_NO_PROXY:-}"
fi

# A commit is fetched by its name, so a moved branch or tag of a pack changes nothing.
checkout() {
    git init --quiet "$2"
    git -C "$2" fetch --quiet --depth 1 "$1" "$3"
    git -C "$2" checkout --quiet FETCH_HEAD
    rm -rf "$2/.git"
}

apt-get update
# OpenCV, of the node packs, loads these two. Fetched first, while nothing that they need is installed.
mkdir -p /debs/partial
apt-get install --yes --no-install-recommends --download-only -o Dir::Cache::archives=/debs libgl1 libglib2.0-0t64
apt-get install --yes --no-install-recommends ca-certificates g++ git
checkout https://github.com/comfyanonymous/ComfyUI /opt/comfyui "$COMFYUI_REF"
checkout https://github.com/cubiq/ComfyUI_IPAdapter_plus /opt/comfyui/custom_nodes/ComfyUI_IPAdapter_plus "$IPADAPTER_REF"
checkout https://github.com/cubiq/ComfyUI_InstantID /opt/comfyui/custom_nodes/ComfyUI_InstantID "$INSTANTID_REF"
checkout https://github.com/ltdrdata/ComfyUI-Impact-Pack /opt/comfyui/custom_nodes/ComfyUI-Impact-Pack "$IMPACT_REF"
checkout https://github.com/ltdrdata/ComfyUI-Impact-Subpack /opt/comfyui/custom_nodes/ComfyUI-Impact-Subpack "$IMPACT_SUBPACK_REF"

python -m venv /opt/venv
/opt/venv/bin/pip install --constraint /build/constraints.txt \
    --requirement /opt/comfyui/requirements.txt \
    --requirement /opt/comfyui/custom_nodes/ComfyUI-Impact-Pack/requirements.txt \
    --requirement /opt/comfyui/custom_nodes/ComfyUI-Impact-Subpack/requirements.txt \
    insightface onnxruntime-gpu PySocks
