# The short way to everything; a thin face on the CMake presets of CMakePresets.json. `make` alone explains itself.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
PRESET ?= release
CLANG_FORMAT ?= clang-format-19
CLANG_TIDY ?= clang-tidy-19
CTEST_FLAGS ?=
# What was compiled in another clone or worktree is not compiled again.
export CCACHE_BASEDIR ?= $(CURDIR)
export CCACHE_NOHASHDIR ?= 1

build_dir = build/$(PRESET)
packages = @scripts/install-packages
package_groups = build
sources = git ls-files '*.cpp' '*.h'
lab = tests/lab/lab.py --build-directory $(build_dir)
ctest = ctest --test-dir $(build_dir) --output-on-failure

.DEFAULT_GOAL := help
.PHONY: help build demo test lab lab-shell bench install format format-check tidy clean configure

help: ## what there is
	@echo "pgtwig: branch your PostgreSQL like git, on your own machine"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: configure ## build/release/pgtwig
	@cmake --build $(build_dir) -j $(JOBS) --target pgtwig
	@echo "Built $(build_dir)/pgtwig"

# All that a target needs is installed before it is built, so that whoever is asked for it is asked once, and at the beginning.
demo: package_groups = build run
test: package_groups = build test containers
bench: package_groups = build test containers bench

configure:
	$(packages) $(package_groups)
	@mkdir -p build && cmake --preset $(PRESET) >build/configure.log 2>&1 || { cat build/configure.log; exit 1; }

demo: build ## two branches of real data, a migration, a reset; with times
	$(packages) run
	@PGTWIG_BINARY=$(build_dir)/pgtwig scripts/demo

test: configure ## every test; TESTS=regex for some of them
	$(packages) test containers
	@cmake --build $(build_dir) -j $(JOBS)
	@$(ctest) -j $(shell expr $(JOBS) + 1) $(if $(TESTS),-R '$(TESTS)') $(CTEST_FLAGS)

lab: package_groups = build lab
lab: configure ## the tests that need ZFS, in a virtual machine that has it; TESTS=regex
	@cmake --build $(build_dir) -j $(JOBS) --target pgtwig contract_storage
	@$(lab) run $(if $(TESTS),-- tests/lab/guest/suite.py '$(TESTS)') || [ $$? = 77 ]

lab-shell: package_groups = build lab
lab-shell: build ## a shell in that machine
	@$(lab) shell

bench: configure ## the rows of the performance table, each against its floor
	$(packages) test containers
	@cmake --build $(build_dir) -j $(JOBS) --target pgtwig floor_create first_row relay
	@PGTWIG_BINARY=$(build_dir)/pgtwig bench/run

install: build ## into PREFIX (/usr/local), below DESTDIR
	@DESTDIR=$(DESTDIR) cmake --install $(build_dir) --prefix $(PREFIX)

format: ## lay out every source file by .clang-format
	$(packages) tidy
	@$(sources) | xargs $(CLANG_FORMAT) -i

format-check:
	$(packages) tidy
	@$(sources) | xargs $(CLANG_FORMAT) --dry-run --Werror

tidy: PRESET = tidy
tidy: package_groups = build tidy clang
tidy: configure ## clang-tidy over src/
	@CLANG_TIDY=$(CLANG_TIDY) run-$(CLANG_TIDY) -clang-tidy-binary scripts/clang-tidy-once -p $(build_dir) -j $(JOBS) -quiet \
		$(if $(TIDY_CHECKS),-checks='$(TIDY_CHECKS)')

clean: ## remove build/
	@rm -rf build
