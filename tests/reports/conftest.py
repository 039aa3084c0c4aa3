import pytest
from made_runs import Made, write_made

from robustbench_lite.runs import Run


@pytest.fixture
def make_run(tmp_path):
    def make(images=None, **changes) -> Run:
        return write_made(tmp_path / "run", Made(**changes), images)

    return make
