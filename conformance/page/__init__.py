"""One page over the results of several runs: releases beside clauses, error / bound, times."""
