# Everything runs in .venv, which is made on first use. `make` alone lists the targets.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-deploy locks audit fuzz lint format types viewer check-viewer stubs check-stubs dashboards check-dashboards docs golden bench train clean

BIN := .venv/bin
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
SETUP_INPUTS := pyproject.toml constraints.txt scripts/setup.sh

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(INSTALLED) ## make .venv and install Panolink into it

$(INSTALLED): $(SETUP_INPUTS)
	@scripts/setup.sh
	@touch $@

$(INSTALLED_DEV): $(SETUP_INPUTS)
	@scripts/setup.sh dev
	@touch $@ $(INSTALLED)

demo: $(INSTALLED) ## send the samples through a fading channel; pictures go to out/ (VIEW=1: and to a web page, live)
	@$(BIN)/panolink demo --out out/ $(if $(VIEW),--view)

viewer: ## build the viewer's page from services/viewer/web; needs Node
	@cd services/viewer/web && npm ci --no-audit --no-fund && npm run --silent build

check-viewer: ## fail if the committed page is not what its sources give; says so where there is no Node
	@scripts/check_viewer.sh

# Tensors of tests are tiny: processes side by side pay, threads do not.
WORKERS ?= 2
test: ARGS ?= -m "not long"
test: $(INSTALLED_DEV) ## run the tests but the longest (ARGS="-k viewport -x" to choose among all)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

test-long: $(INSTALLED_DEV) ## run the longest: services killed and stalled under load, a soak, training to its end
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile -m long $(ARGS)

test-deploy: $(INSTALLED_DEV) ## build the images and test them with docker compose; says why where it cannot
	@PANOLINK_TEST_DEPLOY=1 $(BIN)/python -m pytest -m docker -rs $(ARGS)

locks: $(INSTALLED_DEV) ## write what the images install, with hashes, after a change of requirements
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python scripts/lock_images.py

audit: $(INSTALLED_DEV) ## known vulnerabilities of what is installed; says so where they cannot be asked for
	@scripts/audit.sh

MINUTES ?= 1
TARGETS ?= packet payloads update gaze burst stream receipt delivery panorama_header conditions picture wire_picture scenario trace settings weights certificates
fuzz: $(INSTALLED_DEV) ## fuzz every parser of outside bytes, guided by coverage: MINUTES for each (TARGETS="picture packet")
	@for target in $(TARGETS); do \
		echo "== $$target"; $(BIN)/python -m fuzz.run $$target --seconds $$((60 * $(MINUTES))) || exit 1; done

lint: $(INSTALLED_DEV) ## ruff on the code, the import contract, buf on the protocol, hadolint on the Dockerfile
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache --no-logo
	@$(BIN)/buf lint
	@$(BIN)/hadolint Dockerfile

format: $(INSTALLED_DEV) ## let ruff format the code and mend what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: $(INSTALLED_DEV) ## check types with pyright
	@PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN)/pyright

stubs: $(INSTALLED_DEV) ## make shared/panolink/v1 from proto/
	@$(BIN)/python scripts/generate_stubs.py

check-stubs: $(INSTALLED_DEV) ## fail if shared/panolink/v1 is not what proto/ gives
	@$(BIN)/python scripts/generate_stubs.py --check

dashboards: $(INSTALLED_DEV) ## make deploy/grafana/dashboards from the code beside it
	@$(BIN)/python -m deploy.grafana.generate

check-dashboards: $(INSTALLED_DEV) ## fail if the committed dashboards are not what the code gives
	@$(BIN)/python -m deploy.grafana.generate --check

docs: $(INSTALLED_DEV) ## build the documentation site into site/, with links and anchors checked
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

golden: $(INSTALLED_DEV) ## write the golden files anew, after a deliberate change of the format
	@PANOLINK_WRITE_GOLDEN=1 $(BIN)/python -m pytest -k golden

BASELINE ?=
bench: $(INSTALLED_DEV) ## measure the codec and three services on this machine (BASELINE=another/checkout: and compare)
	@$(BIN)/python benchmarks/services/throughput.py samples/city.webp $(if $(BASELINE),--baseline $(BASELINE)) $(ARGS)

CONFIG ?= base
train: $(INSTALLED_DEV) ## train a model: make train DATA=folder/of/panoramas [CONFIG=base]
	@test -n "$(DATA)" || { echo "make train needs DATA=folder/of/panoramas" >&2; exit 2; }
	@$(BIN)/panolink train --data "$(DATA)" --config "$(CONFIG)" $(ARGS)

clean: ## remove .venv, outputs and caches
	rm -rf .venv out build dist site .pytest_cache .ruff_cache .cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
