"""One layer by itself: the pieces in which it runs, its buffers, the order of its weights, and the estimate by which a plan is
chosen."""
