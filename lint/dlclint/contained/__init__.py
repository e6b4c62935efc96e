"""Native code contained: work on untrusted files happens in worker processes that may die.

onnx's shape inference, checker, version converter and parsers, and ONNX Runtime, are native code that some
files crash, block or run out of memory. A command therefore works on a file in a worker
(`dlclint.contained.process`), forked from the warm process on Linux and macOS and spawned on Windows. The
worker records each native call in a journal that outlives it (`dlclint.contained.guard`). If the worker dies,
the work is repeated in a new one, without the call that ended the last.
"""
