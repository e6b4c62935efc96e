"""Fuzzing the command line: `python -m tests.fuzz --surface check --inputs 1000 --seed 1`.

Damaged models, override files, configurations and names go through whole commands, each in a forked
child that is watched for death, time and memory. What goes wrong is minimized into `corpus/`, which
the tests replay.
"""
