# Short names for what bootstrap.py does; see the README.
.PHONY: install tools demo test check bench
install:
	python3 bootstrap.py install
demo:
	python3 bootstrap.py demo
test:
	python3 bootstrap.py test
tools: install
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
check: tools
	.venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check . && .venv/bin/python -m mypy
bench: tools
	.venv/bin/python benchmarks/all.py
