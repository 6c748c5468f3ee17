# The commands of the README. Every one does the set-up that it needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.installed

LOWEST := $(VENV)-lowest
# What meets numpy, numba, onnx, onnxruntime, LiteRT, PyYAML, rich, typer, jsonschema and matplotlib.
LOWEST_TESTS := tests/quantize tests/network tests/cli tests/report tests/mapper/test_refusals.py tests/machine/test_config.py \
                tests/sim/test_functional.py tests/sim/clock/test_event_model.py tests/test_api.py tests/test_compiled.py \
                tests/analysis/test_bounds.py tests/analysis/test_depthwise_commands.py tests/replay

# Files of tests that take longest; `make test-quick` leaves them out.
LONG_TESTS := benchmarks/test_zigzag_plans cli/test_broken_inputs cli/test_commands cli/test_ending \
              cli/test_read_and_written_files cli/test_terminal cocotb/test_cocotb_accelerator cocotb/test_cocotb_units \
              export/test_driver export/test_files fuzz/test_drawing fuzz/test_fuzz fuzz/test_hold \
              fuzz_files/test_fuzz_files hw/test_core hw/test_memory_sizes hw/test_requantizer hw/test_system_cycles \
              hw/test_system_errors hw/test_verilog mapper/test_chain_plans mapper/test_chains \
              mapper/test_convolution_ring mapper/test_limits mapper/test_objective mapper/test_parts \
              mapper/test_plan_cycles mapper/test_polish mapper/test_split network/test_mutated_fields \
              analysis/test_layer_counts quantize/test_post_training_onnx replay/test_record analysis/test_bounds \
              report/test_notebook report/test_plots sim/test_depthwise_rtl sim/test_engines sim/clock/test_event_model \
              sim/test_largest_commands sim/memory/test_memory_models system/test_networks_on_engines \
              system/test_onnx_networks system/test_own_network_onnx test_compiled trace/test_trace

.PHONY: install lowest demo test test-quick test-all test-lowest lint bench fpga fuzz fuzz-files replay stages mutate help

help:
	@echo "make demo      run the shipped network: schedule, cycles, accuracy, RTL against host and LiteRT"
	@echo "make test      the tests, without the slow ones"
	@echo "make test-quick  some of every part, in two minutes"
	@echo "make test-all  all tests"
	@echo "make test-lowest  quick tests on the lowest versions of other packages that are allowed (Python 3.11 or 3.12)"
	@echo "make lint      ruff, its formatting, the order of imports, and mypy"
	@echo "make bench     cycles, schedules and simulator beside their rivals and bounds; minutes"
	@echo "make fpga      shipped machines placed and routed on their chips: benchmarks/fpga.csv, README's table; hours (ARGS=\"tiny16 --no-route\")"
	@echo "make fuzz      random networks on random machines; FUZZ=\"--count 20000 --state FOLDER\" for more"
	@echo "make fuzz-files  spoiled files through the command: COUNT=5000 SEED=1, or REPLAY=kind:seed"
	@echo "make replay    programs, cycles, outputs, documents and Verilog beside the record; RENEW=1 writes it anew"
	@echo "make stages    each pipeline a stage longer: RTL and host still agree to the cycle; half an hour (ARGS=\"--only load\")"
	@echo "make mutate    whether tests notice changes of the hardware; hours (docs/testing.md)"
	@echo "make install   the set-up that they share, into $(VENV)"

install: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

$(LOWEST)/.installed: pyproject.toml constraints-lowest.txt
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-lowest.txt \
	    -e '.[litert,onnx,plot,rtl]' pytest pytest-xdist
	touch $@

lowest: $(LOWEST)/.installed

demo: install
	$(BIN)/python -m intaglio.demo

test: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

test-quick: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow" $(patsubst %,--ignore=tests/%.py,$(LONG_TESTS))

test-all: install
	$(BIN)/python -m pytest -q -n 2 --dist worksteal

test-lowest: lowest
	$(LOWEST)/bin/python -m pytest -q -n 2 --dist worksteal -m "not slow" $(LOWEST_TESTS)

bench: install
	$(BIN)/python -m benchmarks.throughput --large $(VENV)/large --rtl
	$(BIN)/python -m benchmarks.mapping --large $(VENV)/large

fpga: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fpga]'
	$(BIN)/python -m benchmarks.fpga $(ARGS)

fuzz: install
	$(BIN)/python -m tests.fuzz $(FUZZ)

fuzz-files: install
	$(BIN)/python -m tests.fuzz_files $(if $(REPLAY),--replay $(REPLAY),--count $(or $(COUNT),1000) $(if $(SEED),--seed $(SEED)))

replay: install
	$(BIN)/python -m tests.replay $(if $(RENEW),--renew)

stages: install
	$(BIN)/python -m tests.stages $(ARGS)

mutate: install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[mutate]'
	$(BIN)/python -m tests.mutation $(ARGS)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/mypy
