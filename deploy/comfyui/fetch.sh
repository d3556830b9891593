#!/bin/sh
# Builds /opt/comfyui and /opt/venv at the versions of the build's arguments.
set -eu

packs=/opt/comfyui/custom_nodes
case "${RESEARCH_PACKS:-false}" in
    true | 1 | yes | on) research=true ;;
    false | 0 | no | off) research=false ;;
    *)
        echo "RESEARCH_PACKS should be true or false" >&2
        exit 2
        ;;
esac

# COMFY_BUILD_PROXY goes before the proxies that Docker itself gives to a build. apt and git take names resolved by a
# SOCKS proxy only when its scheme says so.
if [ -n "${COMFY_BUILD_PROXY:-}" ]; then
    case "$COMFY_BUILD_PROXY" in
        socks5://*) COMFY_BUILD_PROXY="socks5h://${COMFY_BUILD_PROXY#socks5://}" ;;
    esac
    export http_proxy="$COMFY_BUILD_PROXY" https_proxy="$COMFY_BUILD_PROXY" no_proxy="${COMFY_NO_PROXY:-}"
    export HTTP_PROXY="$http_proxy" HTTPS_PROXY="$https_proxy" NO_PROXY="$no_proxy"
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
checkout https://github.com/ltdrdata/ComfyUI-Impact-Pack "$packs/ComfyUI-Impact-Pack" "$IMPACT_REF"
checkout https://github.com/ltdrdata/ComfyUI-Impact-Subpack "$packs/ComfyUI-Impact-Subpack" "$IMPACT_SUBPACK_REF"
set -- PySocks
if "$research"; then
    checkout https://github.com/cubiq/ComfyUI_IPAdapter_plus "$packs/ComfyUI_IPAdapter_plus" "$IPADAPTER_REF"
    checkout https://github.com/cubiq/ComfyUI_InstantID "$packs/ComfyUI_InstantID" "$INSTANTID_REF"
    set -- "$@" insightface onnxruntime-gpu
fi

case "${http_proxy:-}${https_proxy:-}" in
    *socks*)
        # pip needs PySocks before it can fetch anything, so this one comes from Debian.
        apt-get install --yes --no-install-recommends python3-socks
        mkdir /build/socks
        cp /usr/lib/python3/dist-packages/socks.py /build/socks/
        export PYTHONPATH=/build/socks
        ;;
esac
python -m venv /opt/venv
/opt/venv/bin/pip install --constraint /build/constraints.txt \
    --requirement /opt/comfyui/requirements.txt \
    --requirement "$packs/ComfyUI-Impact-Pack/requirements.txt" \
    --requirement "$packs/ComfyUI-Impact-Subpack/requirements.txt" \
    "$@"
