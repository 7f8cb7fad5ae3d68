"""Fuzzing of the HTTP/1.1 codec: what must hold for every input there is, and a search for one for which it does not.

Owns the invariants (`targets`) and how to run them (`python -m fuzz`, through `scripts/fuzz`). Refuses to know the
codec's rules: those are in tests/wire. No part of the distribution; what is here needs h11, httptools and atheris.

=============  ==================================================================================================
`reading`      a connection's bytes read as the shell reads them, however they were cut; the tests use it, too
`others`       the same bytes read by h11 and by llhttp, which were written by other people
`targets`      one function of bytes each, which raises where an invariant does not hold; with seeds
`run`          one target under atheris (libFuzzer): an input that breaks it is minimised and shown
`__main__`     all of them, one after the other, within bounds of time and memory
=============  ==================================================================================================
"""
