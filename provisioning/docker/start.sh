#!/usr/bin/env bash
# What the image does when it starts: bring what VISIONSMITH_OPTIONS asks for, then be ComfyUI.
set -u
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export COMFYUI_PATH="${COMFYUI_PATH:-/opt/ComfyUI}"
VISIONSMITH_PROFILE=docker AUTO_UPDATE=false bash "$here/../vast.sh" ||
  echo "Visionsmith: not everything is in place (see above); ComfyUI starts all the same" >&2
cd "$COMFYUI_PATH" || exit 1
exec "${PYTHON:-/opt/venv/bin/python}" main.py --listen 0.0.0.0 "$@"
