# Everything below makes its own .venv from requirements.lock when there is none; it needs Python 3.10 or newer, git, make and a package index.
PYTHON ?= python3
UV_VERSION := 0.13.8
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
WORKFLOW ?= digits-classifier
OUTPUT ?= output
COMFYUI_PATH ?= $(HOME)/comfy/ComfyUI

.PHONY: run test test-comfy lint lint-web bench docs comfyui lock
.DEFAULT_GOAL := run

run: $(READY)  ## Run a shipped workflow (or WORKFLOW=path.json) without ComfyUI
	@$(BIN)/visionsmith run "$(if $(wildcard $(WORKFLOW)),$(WORKFLOW),workflows/api/$(WORKFLOW).json)" --output "$(OUTPUT)" $(ARGS)

test: $(READY)  ## Every test; those that need ComfyUI are skipped, with the reason, where there is none
	$(BIN)/python -m pytest $(ARGS)

test-comfy: $(READY)  ## The tests inside a real ComfyUI; fails without one
	VISIONSMITH_REQUIRE_COMFYUI=1 $(BIN)/python -m pytest tests/e2e $(ARGS)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	@$(MAKE) --no-print-directory lint-web

lint-web:  ## eslint, type check and unit tests of web/; skipped, in words, where there is no Node.js
	@if command -v npm >/dev/null; then cd tests/web && npm ci --silent --no-audit --no-fund && npm run --silent check; \
	else echo "lint-web: skipped, there is no Node.js here"; fi

bench: $(READY)  ## One line of ratios for each script in benchmarks/
	@for script in benchmarks/*.py; do $(BIN)/python $$script || exit 1; done

docs: $(READY)  ## The documentation as a site in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build $(ARGS)

comfyui: $(READY)  ## Clone ComfyUI if there is none, link this package into it, start it
	test -d "$(COMFYUI_PATH)" || git clone --depth 1 https://github.com/comfyanonymous/ComfyUI "$(COMFYUI_PATH)"
	test -d "$(COMFYUI_PATH)/.venv" || $(PYTHON) -m venv "$(COMFYUI_PATH)/.venv"
	$(BIN)/uv pip install --python "$(COMFYUI_PATH)/.venv/bin/python" -r "$(COMFYUI_PATH)/requirements.txt" -r requirements.txt
	test -e "$(COMFYUI_PATH)/custom_nodes/visionsmith" || ln -s "$(CURDIR)" "$(COMFYUI_PATH)/custom_nodes/visionsmith"
	cd "$(COMFYUI_PATH)" && .venv/bin/python main.py $(ARGS)

# uv is put into the environment itself; a stamp at the end tells a whole environment from a half-made one.
$(READY): requirements.lock pyproject.toml requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --quiet --python $(BIN)/python -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

lock: $(READY)  ## Renew requirements.lock
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate --generate-hashes \
		--custom-compile-command "make lock" --extra headless --extra export --extra segmentation --extra imaging --extra cluster --extra diffusion --group dev --constraint constraints.txt pyproject.toml -o requirements.lock
