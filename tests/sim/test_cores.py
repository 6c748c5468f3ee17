"""The threads of numpy's matrix products while the simulator runs."""

from __future__ import annotations

from threadpoolctl import threadpool_info, threadpool_limits

from intaglio.sim.cores import single_threaded_products


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_callers_that_overlap_restore_the_setting() -> None:
    """As two threads do: the first to come leaves first."""
    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        first, second = single_threaded_products(), single_threaded_products()
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        assert blas_threads() == {1}
        second.__exit__(None, None, None)
        assert blas_threads() == before
