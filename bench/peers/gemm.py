"""Matrix product by OpenBLAS: NumPy's, and the system's libopenblas.so.0 where there is one."""
import ctypes
import glob
import os

import numpy

ROW_MAJOR, NO_TRANS = 101, 111


def libraries():
    """Yields (name, config, core, sgemm, integer type) of each OpenBLAS found."""
    bundled = glob.glob(os.path.join(os.path.dirname(numpy.__file__), os.pardir, "numpy.libs", "*openblas*"))
    for path in bundled + ["libopenblas.so.0"]:
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for prefix, suffix, integer in (("scipy_", "64_", ctypes.c_int64), ("", "", ctypes.c_int)):
            sgemm = getattr(library, f"{prefix}cblas_sgemm{suffix}", None)
            if sgemm is None:
                continue
            config, core = (getattr(library, f"{prefix}openblas_get_{what}{suffix}") for what in ("config", "corename"))
            config.restype = core.restype = ctypes.c_char_p
            getattr(library, f"{prefix}openblas_set_num_threads{suffix}")(int(os.environ["SSLCTL_BENCH_THREADS"]))
            version = " ".join(config().decode().split()[:2])
            yield f"{version} ({core().decode()})", sgemm, integer


def product(sgemm, integer, m, n, k):
    random = numpy.random.default_rng(1)
    a, b = (random.standard_normal(shape, dtype=numpy.float32) for shape in ((m, k), (k, n)))
    c = numpy.zeros((m, n), numpy.float32)
    floats = ctypes.POINTER(ctypes.c_float)
    pa, pb, pc = (x.ctypes.data_as(floats) for x in (a, b, c))
    sgemm.argtypes = [ctypes.c_int] * 3 + [integer] * 3 + [ctypes.c_float, floats, integer, floats, integer, ctypes.c_float, floats, integer]
    sgemm.restype = None
    call = lambda: sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, m, n, k, 1.0, pa, k, pb, n, 0.0, pc, n)
    call()
    if not numpy.allclose(c, a @ b, rtol=1e-3, atol=1e-2):
        raise ValueError(f"a wrong product of {m}×{k} and {k}×{n}")
    return lambda: (call(), a, b, c)


def prepare(m, n, k):
    variants = {name: product(sgemm, integer, m, n, k) for name, sgemm, integer in libraries()}
    if not variants:
        raise ModuleNotFoundError("no OpenBLAS", name="OpenBLAS")
    return "", variants
