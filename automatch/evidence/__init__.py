"""One kind of evidence a module; each gives a matrix `[target, source]` of weights in natural-log odds."""
