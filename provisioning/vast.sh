#!/usr/bin/env bash
# Visionsmith on a rented machine: the address of this file is the PROVISIONING_SCRIPT of Vast.ai's ComfyUI template.
# Sourced or run, it leaves nothing behind in the shell that does it: all its work is in one subshell. docs/provisioning.md
#
#   WORKSPACE, HF_TOKEN, CIVITAI_TOKEN, AUTO_UPDATE, APT_INSTALL   as in the template; /.noprovisioning switches it off
#   VISIONSMITH_REF       tag, branch or commit (default: main)
#   VISIONSMITH_PROFILE   vast, runpod or docker (default: what the machine looks like)
#   VISIONSMITH_OPTIONS   options where none can be typed, such as "--only sam3,lama --dry-run"
(
  set -u +fC # what a sourcing shell chose for itself does not hold in here
  shopt -u failglob nullglob
  unset CDPATH
  IFS=$' \t\n'
  repository="${VISIONSMITH_REPOSITORY:-https://github.com/visionsmith/visionsmith}"
  ref="${VISIONSMITH_REF:-main}"
  workspace="${WORKSPACE:-/workspace}"
  off="${VISIONSMITH_OFF_FILE:-/.noprovisioning}"
  options=()
  read -r -a options <<<"${VISIONSMITH_OPTIONS:-}"
  (return 0 2>/dev/null) || options+=("$@") # a sourcing shell's arguments are its own

  if [[ -f $off ]]; then
    echo "Visionsmith: $off is there, nothing is done"
    exit 0
  fi

  profile="${VISIONSMITH_PROFILE:-}"
  if [[ -z $profile ]]; then
    if [[ -n ${RUNPOD_POD_ID:-} ]]; then profile=runpod; else profile=vast; fi
  fi

  # A token belongs to no program but the one that downloads.
  plain() { env -u HF_TOKEN -u CIVITAI_TOKEN GIT_TERMINAL_PROMPT=0 "$@"; }

  # ComfyUI: the folder that is named, the one that this file lies in or that we are in, or where images have it.
  here="$(dirname "${BASH_SOURCE[0]:-/nowhere/x}")"
  comfyui="${COMFYUI_PATH:-}" before=""
  for word in ${options[@]+"${options[@]}"}; do
    if [[ $before == --comfyui ]]; then comfyui="$word"; elif [[ $word == --comfyui=* ]]; then comfyui="${word#*=}"; fi
    before="$word"
  done
  for place in "$here/../../.." "$PWD"; do
    if [[ -z $comfyui && -d $place/custom_nodes ]]; then comfyui="$(cd "$place" && pwd)"; fi
  done
  for place in "$workspace"/{,runpod-slim/,madapps/}ComfyUI /opt/workspace-internal/ComfyUI /opt/ComfyUI; do
    if [[ -z $comfyui && -d $place ]]; then comfyui="$place"; fi
  done
  if [[ ! -d $comfyui ]]; then
    echo "Visionsmith: there is no ComfyUI in ${comfyui:-$workspace}; name its folder in COMFYUI_PATH" >&2
    exit 2
  fi
  comfyui="$(cd "$comfyui" && pwd)"

  # Where this package is: around this file, among ComfyUI's nodes, or cloned now.
  package=""
  for place in "$here/.." "$comfyui"/custom_nodes/*; do
    if [[ -z $package && -f $place/provisioning/manifest.toml && $place != *.disabled ]]; then package="$(cd "$place" && pwd)"; fi
  done
  if [[ -z $package ]]; then
    package="$comfyui/custom_nodes/visionsmith"
    part="$package.part.disabled" # ComfyUI does not load what ends in .disabled
    if ! command -v git >/dev/null; then
      echo "Visionsmith: git is needed to clone it; install git (apt-get install git) and run again" >&2
      exit 2
    fi
    echo "Visionsmith: cloning $ref into $package"
    rm -rf "$part"
    if ! { plain git init --quiet "$part" && plain git -C "$part" remote add origin "$repository" &&
      plain git -C "$part" fetch --quiet --depth 1 origin "$ref" && plain git -C "$part" checkout --quiet FETCH_HEAD &&
      mv "$part" "$package"; }; then
      echo "Visionsmith: $ref of $repository could not be cloned; check the network and run again" >&2
      exit 1
    fi
  elif [[ -d $package/.git && ! -L $package && $package == "$comfyui"/custom_nodes/* && " ${options[*]-} " != *" --dry-run "* ]]; then
    begun="$package/.git/visionsmith-update" # the commit from which an update began; what it left half-done is nobody's change
    undo() {
      find "$package/.git" -name "*.lock" -delete # git leaves them when it is killed, and then refuses to work
      from="$(<"$begun")"
      plain git -C "$package" reset --quiet --hard "${from:-HEAD}" && rm -f "$begun"
    }
    if [[ -f $begun ]]; then undo; fi
    if [[ ${AUTO_UPDATE:-} == [Ff][Aa][Ll][Ss][Ee] ]]; then
      :
    elif plain git -C "$package" symbolic-ref --quiet HEAD >/dev/null; then
      echo "Visionsmith: $package is on a branch of somebody's own, it is not updated"
    elif [[ -n $(plain git -C "$package" status --porcelain --untracked-files=no 2>&1) ]]; then
      echo "Visionsmith: $package was changed by hand, it is not updated"
    elif ! { plain git -C "$package" rev-parse HEAD >"$begun" && plain git -C "$package" fetch --quiet --depth 1 origin "$ref" &&
      plain git -C "$package" checkout --quiet FETCH_HEAD && rm -f "$begun"; }; then
      undo
      echo "Visionsmith: $package could not be updated; it goes on with what is there"
    fi
  fi

  # Python 3.11 can read TOML; 3.10 can where it has pip.
  python=""
  for version in 11 10; do
    for place in python3 /venv/main/bin/python /opt/venv/bin/python "$comfyui/.venv/bin/python" python3.13 python3.12 python3.11; do
      if [[ -z $python ]] && plain "$place" -c "import sys; sys.exit(sys.version_info < (3, $version))" 2>/dev/null; then python="$place"; fi
    done
  done
  if [[ -z $python ]]; then
    echo "Visionsmith: Python 3.10 or newer is needed, and there is none" >&2
    exit 2
  fi
  "$python" -B "$package/provisioning" install --profile "$profile" --comfyui "$comfyui" ${options[@]+"${options[@]}"}
) </dev/null || (
  code=$?
  # A shell that stops at errors and sources this would be ended by it; the code is in the last line that was printed.
  if (return 0 2>/dev/null) && [[ $- == *e* ]]; then exit 0; else exit "$code"; fi
)
