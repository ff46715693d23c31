"""Disposable machines put to use: real faults as data, trials of runbooks, proofs of scenarios.

A trial is the one place where content that nobody reviewed may run: in a machine that the lab isolated
itself, bound to it by a `LabRunbook` (promise 11).
"""
