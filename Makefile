# SPDX-License-Identifier: MIT
#
# Every target works alone on a fresh machine: it installs the Debian packages it
# lacks (scripts/bootstrap says which, and why), then npm packages, then builds.

SHELL := /bin/bash
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

BIN := node_modules/.bin
MODULES := node_modules/.stamp

BPF_SOURCES := $(shell find bpf -name '*.bpf.c')
BPF_OBJECTS := $(BPF_SOURCES:bpf/%.bpf.c=build/bpf/%.o)
TS_SOURCES := $(shell find src -name '*.ts')
NATIVE_SOURCES := $(wildcard binding.gyp src/libbpf/native/*)
ADDON := build/Release/libbpf_ts.node
PROGRAMS := build/bin/ipvsadm build/bin/xlvs

.PHONY: all bpf addon js bin gen demo test bench lint fmt clean distclean help
.PHONY: need-build need-demo need-test need-bench need-lint

all: bpf addon js bin ## build everything: BPF objects, addon, library, programs

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' Makefile | expand -t 16

# -- what a machine needs -----------------------------------------------------

need-build need-demo need-test need-bench need-lint: need-%:
	@scripts/bootstrap $*

# npm ci only when package-lock.json says something new.
$(MODULES): package-lock.json scripts/install-modules | need-build
	@scripts/install-modules

# -- build --------------------------------------------------------------------

bpf: $(BPF_OBJECTS)
addon: $(ADDON)
js: build/js/.stamp
bin: $(PROGRAMS)

# Scripts are TypeScript; Node 20 needs them bundled first.
build/scripts/%.mjs: scripts/%.ts $(TS_SOURCES) $(MODULES)
	@$(BIN)/esbuild $< --bundle --platform=node --format=esm --target=node20 \
		--external:*.node --outfile=$@ --log-level=warning

build/scripts/bench.mjs: $(wildcard test/bench/*.ts)

build/bpf/%.o: bpf/%.bpf.c | build/scripts/compile-bpf.mjs need-build
	node build/scripts/compile-bpf.mjs $< $@

-include $(BPF_OBJECTS:.o=.d)

$(ADDON): $(NATIVE_SOURCES) $(MODULES) | need-build
	scripts/build-addon
	@touch $@

build/js/.stamp: $(TS_SOURCES) tsconfig.json $(MODULES)
	$(BIN)/tsc -p .
	@touch $@

build/bin/%: $(TS_SOURCES) scripts/bundle.mjs $(MODULES)
	node scripts/bundle.mjs $*

# -- use ----------------------------------------------------------------------

gen: bpf ## rewrite src/abi/generated.ts from bpf/ipvs/abi.h
	scripts/gen-abi

demo: need-demo all build/scripts/demo.mjs ## a client, a director, three real servers: see it balance
	@node build/scripts/demo.mjs

test: need-test all ## every layer of tests that can run here
	$(BIN)/vitest run

bench: need-bench all build/scripts/bench.mjs ## measure, next to nft and plain forwarding
	@node build/scripts/bench.mjs

lint: need-lint $(MODULES) ## types, eslint, prettier, clang-format, licences
	$(BIN)/tsc --noEmit -p tsconfig.test.json
	$(BIN)/eslint .
	$(BIN)/prettier --check .
	scripts/check-format
	scripts/check-tree

fmt: need-lint $(MODULES) ## let the formatters have their way
	$(BIN)/prettier --write --log-level warn .
	scripts/check-format --write

clean: ## remove what make built
	rm -rf build

distclean: clean ## and the npm packages
	rm -rf node_modules
