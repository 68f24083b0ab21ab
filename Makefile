# Short names for what bootstrap.py does; see the README.
.PHONY: install demo test check bench
install:
	python3 bootstrap.py install
demo:
	python3 bootstrap.py demo
test:
	python3 bootstrap.py test
check: install
	.venv/bin/python -m pip install --quiet ruff mypy
	.venv/bin/python -m ruff check . && .venv/bin/python -m ruff format --check . && .venv/bin/python -m mypy
bench: install
	.venv/bin/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	.venv/bin/python benchmarks/all.py
