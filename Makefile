# Everything that a person types. CMake and Ninja do the work; each kind of build has its own folder under build/.
# `make dev` and `make test` do all the set-up that a fresh machine needs.

JOBS ?= $(shell nproc)
SEED ?= 1
FUZZ_SECONDS ?= 60
PREFIX ?= /usr/local
STAGE = sh scripts/stage.sh
CTEST = ctest --output-on-failure --no-tests=error
# Some tests wait more than they compute, those end to end most of all: so many at once keep every core busy.
CTEST_JOBS = -j $$(($(JOBS) + 1))
CTEST_JOBS_WAITING = -j $$(($(JOBS) * 2))
CONFIGURE = cmake -S . -G Ninja
# All but real files and end to end.
KINDS = unit contract property crash golden cluster fuzz
RAFT_SOURCE = $(CURDIR)/build/third_party/raft
# The thread sanitizer's fixed shadow memory does not suit every address-space layout.
NO_RANDOM_LAYOUT = $(shell setarch -R true 2>/dev/null && echo setarch -R)

.DEFAULT_GOAL := build
# One target after the other, also with make -j: configuring needs what setup installs, and two kinds of test at once
# would disturb each other. Ninja and ctest do things at the same time by themselves.
.NOTPARALLEL:
.PHONY: build setup dev test test-begin test-release test-sanitizers test-threads test-asserts test-real nightly mutants sim tidy format fuzz \
        coverage bench bench-log bench-snapshot bench-snapshot-large install help clean

build: setup build/release/build.ninja ## build build/release/holdfast
	@$(STAGE) release-build ninja -C build/release

setup: ## install every package that is missing (Debian 12 and 13; idempotent)
	@sh scripts/setup.sh

dev: build ## three nodes with four groups; redis-cli works
	@build/release/holdfast dev

build/release/build.ninja:
	@mkdir -p build
	@$(CONFIGURE) -B build/release -DCMAKE_BUILD_TYPE=Release >build/release.configure.log 2>&1 || { cat build/release.configure.log; exit 1; }
build/sanitizers/build.ninja:
	@$(CONFIGURE) -B build/sanitizers -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_SANITIZE=address,undefined >/dev/null
build/threads/build.ninja:
	@$(CONFIGURE) -B build/threads -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_SANITIZE=thread >/dev/null
build/asserts/build.ninja:
	@$(CONFIGURE) -B build/asserts -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_RAFT_SOURCE=$(RAFT_SOURCE) >/dev/null
build/mutants/build.ninja:
	@$(CONFIGURE) -B build/mutants -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_MUTATIONS=ON >/dev/null
build/coverage/build.ninja:
	@$(CONFIGURE) -B build/coverage -DCMAKE_BUILD_TYPE=Debug -DHF_COVERAGE=ON >/dev/null
build/clang/build.ninja:
	@$(CONFIGURE) -B build/clang -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=Debug >/dev/null
build/fuzz/build.ninja:
	@$(CONFIGURE) -B build/fuzz -DCMAKE_C_COMPILER=clang -DCMAKE_BUILD_TYPE=RelWithDebInfo -DHF_FUZZ=ON \
		-DHF_SANITIZE=address,undefined >/dev/null

test: test-begin test-release test-sanitizers test-threads test-asserts mutants ## every test, in every build that has something to show
	@/usr/bin/python3 scripts/check_ids.py
	@$(STAGE) end

test-begin:
	@$(STAGE) begin

test-release: build ## unit, contract, property, crash, golden, fuzz replay, cluster simulation, real files, end to end
	@$(STAGE) release-run $(CTEST) $(CTEST_JOBS) --test-dir build/release -LE e2e
	@$(STAGE) release-e2e $(CTEST) $(CTEST_JOBS_WAITING) --test-dir build/release -L e2e

test-sanitizers: setup build/sanitizers/build.ninja ## all but real files and end to end under the address and undefined-behaviour sanitizers
	@$(STAGE) sanitizers-build ninja -C build/sanitizers $(foreach kind,$(KINDS),tests_$(kind))
	@HOLDFAST_TEST_SCALE=small $(STAGE) sanitizers-run $(CTEST) $(CTEST_JOBS) --test-dir build/sanitizers -LE 'e2e|real'

# The simulator has no threads: what runs only in it shows nothing here. Snapshots in the life of a node therefore run in
# the real program, slowly: elections take longer.
test-threads: setup build/threads/build.ninja ## io, log, net, node, snapshot and transfers under the thread sanitizer
	@$(STAGE) threads-build ninja -C build/threads tests_io tests_log tests_net tests_node tests_snapshot tests_contract holdfast
	@HOLDFAST_TEST_SCALE=small $(STAGE) threads-run $(NO_RANDOM_LAYOUT) $(CTEST) $(CTEST_JOBS) --test-dir build/threads \
		-L 'io|log|net|node|snapshot|contract' \
		-E 'test_log_items|test_sim_contract|test_session'
	@printf '%s\n' 'test_transfer.py TransferTest' \
		'test_snapshot.py SnapshotTest.test_each_side_is_killed_in_the_middle_of_an_install' | \
		HOLDFAST_RAFT_ELECTION_TIMEOUT=5s HOLDFAST_TEST_BINARY=$(CURDIR)/build/threads/holdfast \
		$(STAGE) threads-e2e xargs -P 2 -I TEST sh -c '$(NO_RANDOM_LAYOUT) /usr/bin/python3 tests/e2e/TEST'

test-asserts: setup build/asserts/build.ninja ## the cluster simulation on libraft with its assertions on
	@$(STAGE) asserts-build ninja -C build/asserts tests_cluster tests_replica
	@HOLDFAST_TEST_SCALE=small $(STAGE) asserts-run $(CTEST) $(CTEST_JOBS) --test-dir build/asserts -L 'cluster|replica'

# What needs root, a loop device or FUSE is skipped where it is not to be had, and says so.
test-real: build ## the log on real files and devices for many minutes: injected errors, full devices, kill -9, power cuts
	@HOLDFAST_TEST_SCALE=large $(CTEST) -j $(JOBS) --test-dir build/release -L real -V

# Every night other seeds; one that fails is named, and is kept in the test's list from then on.
nightly: build ## long runs: a million operations against the log's model, 10 GiB of writes, 200 crash seeds, test-real
	@HOLDFAST_TEST_SCALE=large HOLDFAST_SEED_FIRST=$$(date +%Y%m%d0000) build/release/test_log_model
	@HOLDFAST_TEST_SCALE=large HOLDFAST_TEST_BINARY=build/release/holdfast /usr/bin/python3 tests/e2e/test_transfer.py SpaceTest
	@HOLDFAST_SEEDS=200 $(CTEST) $(CTEST_JOBS) --test-dir build/release -R 'test_log_(collect|crash|index_files|lost_history|room)'
	@$(MAKE) --no-print-directory test-real

mutants: setup build/mutants/build.ninja ## planted bugs: each must be found by its named test
	@$(STAGE) mutants-build ninja -C build/mutants $$(/usr/bin/python3 scripts/mutants.py --programs)
	@$(STAGE) mutants-run /usr/bin/python3 scripts/mutants.py build/mutants --jobs $$(($(JOBS) + 1))

sim: build ## replay one simulated cluster run with a readable trace: make sim SEED=n
	@build/release/sim --seed $(SEED) --trace

tidy: setup build/release/build.ninja build/clang/build.ninja ## layers, style, formatting, warnings of a second compiler
	@/usr/bin/python3 scripts/check_layers.py
	@/usr/bin/python3 scripts/check_layers_test.py
	@git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror
	@ninja -C build/clang --quiet

format: setup ## clang-format over all C files
	@git ls-files '*.c' '*.h' | xargs clang-format -i

fuzz: setup build/fuzz/build.ninja ## each fuzz target for FUZZ_SECONDS (default 60)
	@ninja -C build/fuzz
	@for target in build/fuzz/fuzz_*; do [ -x $$target ] && [ -f $$target ] || continue; \
		name=$$(basename $$target); mkdir -p build/fuzz/corpus/$$name tests/fuzz/corpus/$$name; echo "== $$name"; \
		$$target -max_total_time=$(FUZZ_SECONDS) -rss_limit_mb=1024 build/fuzz/corpus/$$name tests/fuzz/corpus/$$name || exit 1; done

coverage: setup build/coverage/build.ninja ## line and branch coverage per room by all but real files and end to end, at small scale
	@ninja -C build/coverage
	@HOLDFAST_TEST_SCALE=small $(CTEST) $(CTEST_JOBS) --test-dir build/coverage -LE 'e2e|real'
	@/usr/bin/python3 scripts/coverage.py build/coverage

bench: build ## our figures beside the device's floor and Redis, in one table and build/bench/all.json
	@/usr/bin/python3 bench/run.py

bench-snapshot: build ## writing and reading snapshots beside the device's floor, in a table and build/bench/snapshot.json
	@/usr/bin/python3 bench/snapshot.py

bench-snapshot-large: build ## one snapshot of 4 GiB and the memory that it takes; some minutes, 8 GiB of memory and of the device
	@/usr/bin/python3 bench/snapshot.py --only large --output build/bench/snapshot-large.json

bench-log: build ## the log beside the device's floor, raft-uv and other logs; HOLDFAST_BENCH=quick for a short run
	@/usr/bin/python3 bench/log.py

install: build ## program, libraries, headers, pkg-config and CMake files, man page; PREFIX=/usr/local DESTDIR=
	@DESTDIR="$(DESTDIR)" cmake --install build/release --prefix "$(PREFIX)"

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

clean: ## remove what was built (downloaded sources stay)
	@find build -mindepth 1 -maxdepth 1 ! -name third_party -exec rm -rf {} +
