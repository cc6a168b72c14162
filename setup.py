"""Builds the engine: one extension module per instruction set and precision, from one source.

Everything else about the package stands in pyproject.toml. Which of the optional flags the
compiler knows is found out by compiling a probe. Nothing is ever taken from the CPU of the machine
that builds: a wheel runs everywhere. No module is linked with an OpenMP runtime: when gconv is
imported, `_engine/openmp.h` finds one. The wheel brings the compiler's for where there is none.

Environment variables
---------------------
GCONV_KEEP_SYMBOLS
    Set to 1 to keep the symbol tables (for a disassembler or a profiler).
GCONV_BUILD_ISAS
    The instruction sets to build besides generic, of avx2 and avx512; all if it is not set. A build
    of generic alone takes a fifth of the time.
GCONV_BUNDLE_OPENMP
    Set to 0 to bring no OpenMP runtime (for distributions), or to the file of another one.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ENGINE = Path("src/gconv/_engine")

FAMILIES = Path("src/gconv/_families")

# Instruction set: (flags, bytes in a vector, vector registers). To add one, see docs/design.md.
X86_64 = {
    "generic": ([], 16, 16),
    "avx2": (["-march=x86-64-v3"], 32, 16),
    "avx512": (["-march=x86-64-v4", "-mprefer-vector-width=512"], 64, 32),
}
OTHERS = {"generic": ([], 16, 16)}
# Module: its elements. Steps of models compute in single precision alone.
MODULES = {"f32": ("float", 4), "f64": ("double", 8), "steps": ("float", 4)}

# The tiles must be unrolled until every accumulator has a name, or they live in memory.
# GCC and Clang need to be told how far to go; who does not know a flag goes without.
WANTED_FLAGS = [
    "-O3",
    "/clang:-O3",  # clang-cl's name for it
    "-g0",
    "-fvisibility=hidden",
    # Short loops differ by up to 30 % with their place in a line of the instruction cache, which
    # should not depend on what else is in a module.
    "-falign-functions=32",
    "--param=max-completely-peeled-insns=8000",
    "--param=max-completely-peel-times=100",
    "-mllvm -unroll-threshold=8000",
    # A call of memset or memcpy costs more than the short loops it would stand for.
    "-fno-tree-loop-distribute-patterns",
]
# Modules that are no slower when they are small. Steps wait for memory; but loops over vectors in
# arrays must be unrolled there as well, or the vectors get no registers.
SMALL_FLAGS = {
    "steps": ["-O2", "-fpeel-loops"], "call": ["-O2"], "program": ["-O2"], "openmp": ["-O2"],
}
CYTHON_DIRECTIVES = {
    "language_level": 3,
    "boundscheck": False,
    "wraparound": False,
    "cdivision": True,
    "initializedcheck": False,
    "freethreading_compatible": True,
}
PROBE = "int main(void) { return 0; }\n"
GCC_PROBE = "#ifdef __clang__\n#error\n#endif\n" + PROBE
# The runtime that is brought, as `_engine/openmp.h` calls it. Its name must stay: PyTorch, loaded
# later, then finds that its own is there already.
OPENMP_RUNTIME = {"darwin": "libomp.dylib", "win32": "libomp.dll"}.get(sys.platform, "libgomp.so.1")
OPENMP_NEEDS = (
    (b"__kmpc_fork_call\0",) if sys.platform in ("darwin", "win32") else
    (b"GOMP_parallel\0", b"omp_pause_resource_all\0")  # GCC's has both since GCC 9
)


class BuildEngine(build_ext):
    """Finds out what the compiler can do, then builds every extension with it."""

    def finalize_options(self) -> None:
        super().finalize_options()
        if self.parallel is None:
            self.parallel = True  # as many extensions at once as there are CPUs

    def accepts(self, source: str, compile_flags: list[str], link_flags: list[str]) -> bool:
        """Whether a program compiles and links with these flags."""
        with tempfile.TemporaryDirectory() as folder:
            probe = Path(folder, "probe.c")
            probe.write_text(source)
            saved = os.dup(2)
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, 2)  # a refused probe is an answer, not a message for the user
            try:
                objects = self.compiler.compile(
                    [str(probe)], output_dir=folder, extra_postargs=["-Werror", *compile_flags]
                )
                self.compiler.link_executable(
                    objects, str(Path(folder, "probe")), extra_postargs=link_flags
                )
            except Exception:  # distutils has one error class per kind of compiler
                return False
            finally:
                os.dup2(saved, 2)
                os.close(sink)
                os.close(saved)
        return True

    def accepted(self, wanted: list[str]) -> list[str]:
        """The flags that the compiler knows, in words."""
        words = [flag.split() for flag in wanted]
        return [word for flag in words if self.accepts(PROBE, flag, []) for word in flag]

    def build_extensions(self) -> None:
        if self.compiler.compiler_type == "msvc":
            self.take_clang_cl()
        flags = self.accepted(WANTED_FLAGS)
        small_flags = {module: self.accepted(wanted) for module, wanted in SMALL_FLAGS.items()}
        link = []
        on_windows = self.compiler.compiler_type == "msvc"  # its linker takes any flag, and warns
        if (not on_windows and os.environ.get("GCONV_KEEP_SYMBOLS") != "1"
                and self.accepts(PROBE, [], ["-Wl,-s"])):
            link.append("-Wl,-s")
        if not on_windows and self.accepts(PROBE, [], ["-ldl"]):
            link.append("-ldl")  # where the C library does not have dlopen itself
        # Its loops over threads are pranges where GCC compiles them, see `_engine/openmp.h`.
        if self.accepts(GCC_PROBE, ["-fopenmp"], []):
            small_flags["openmp"].append("-fopenmp")
        isas = os.environ.get("GCONV_BUILD_ISAS", " ".join(X86_64)).replace(",", " ").split()
        for extension in list(self.extensions):
            isa_flags = extension.extra_compile_args
            if isa_flags and extension.name.rpartition(".")[2].partition("_")[0] not in isas:
                self.extensions.remove(extension)
                continue
            if isa_flags and not self.accepts(PROBE, isa_flags, []):
                print(f"gconv: the compiler refuses {isa_flags}: {extension.name} is left out")
                self.extensions.remove(extension)
                continue
            module = extension.name.rpartition(".")[2].rpartition("_")[2]
            extension.extra_compile_args = flags + small_flags.get(module, []) + isa_flags
            extension.extra_link_args = link
        # Here, where it is known which are left: and not for an sdist, or for what pip asks first.
        written = cythonize(
            self.extensions, include_path=["src"], compiler_directives=CYTHON_DIRECTIVES
        )
        for extension, in_c in zip(self.extensions, written, strict=True):
            extension.sources = in_c.sources
        super().build_extensions()
        self.bundle_openmp()

    def take_clang_cl(self) -> None:
        """Compile by clang-cl on Windows: Microsoft's compiler does not know vector types."""
        clang_cl = shutil.which("clang-cl")
        if clang_cl is None:
            raise SystemExit("gconv: LLVM's clang-cl compiles it on Windows, but is not on PATH")
        self.compiler.initialize()
        self.compiler.cc = clang_cl
        self.compiler.compile_options.remove("/GL")  # objects for Microsoft's linker alone

    def bundle_openmp(self) -> None:
        """Put an OpenMP runtime beside the modules, for machines that have none."""
        wanted = os.environ.get("GCONV_BUNDLE_OPENMP", "")
        if wanted == "0":
            return
        runtime = Path(wanted) if wanted else self.compilers_openmp()
        if runtime is None or not all(name in runtime.read_bytes() for name in OPENMP_NEEDS):
            if wanted:
                raise SystemExit(f"gconv: {wanted} is no OpenMP runtime that gconv can use")
            print("gconv: the compiler has no OpenMP runtime that the wheel could bring: on "
                  "machines without one, calls will run on one thread")
            return
        folder = Path(self.get_ext_fullpath("gconv._engine.openmp")).parent
        shutil.copyfile(runtime.resolve(), folder / OPENMP_RUNTIME)

    def compilers_openmp(self) -> Path | None:
        """The file of the compiler's OpenMP runtime."""
        if self.compiler.compiler_type == "msvc":
            beside = Path(self.compiler.cc).with_name(OPENMP_RUNTIME)
            return beside if beside.is_file() else None
        words = self.compiler.compiler_so
        command = words[: next(i for i, word in enumerate([*words, "-"]) if word.startswith("-"))]
        try:
            found = subprocess.run(
                [*command, f"-print-file-name={OPENMP_RUNTIME}"],
                capture_output=True, text=True, check=True,
            ).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None
        return Path(found) if os.path.isabs(found) and os.path.isfile(found) else None


def engine_extensions() -> list[Extension]:
    """One extension per instruction set and precision, and one for steps."""
    on_x86_64 = platform.machine().lower() in ("x86_64", "amd64")
    sources = [
        *ENGINE.glob("*.pxd"), *ENGINE.glob("*.pxi"), *ENGINE.glob("steps/*.pxi"),
        *(ENGINE / name for name in ("vector.h", "masks.h", "shares.h", "shuffles.h")),
        *FAMILIES.glob("*/*.pxi"),
    ]
    depends = sorted(str(path) for path in sources)
    return [
        Extension(
            f"gconv._engine.{isa}_{module}",
            [str(ENGINE / f"{isa}_{module}.pyx")],
            extra_compile_args=flags,
            define_macros=[
                ("GC_REAL", real),
                ("GC_LANES", str(vector_bytes // real_bytes)),
                ("GC_REGISTERS", str(registers)),
                # Tiles are specialised by inlining one body at literal sizes: always. Of
                # Cython's own functions many stay unused, and Clang would name them all.
                ("CYTHON_INLINE", "inline __attribute__((always_inline, unused))"),
            ],
            include_dirs=[str(ENGINE)],
            depends=depends,
        )
        for isa, (flags, vector_bytes, registers) in (X86_64 if on_x86_64 else OTHERS).items()
        for module, (real, real_bytes) in MODULES.items()
    ]


def shared_extensions() -> list[Extension]:
    """The modules that know NumPy arrays, and the one that knows the OpenMP runtime."""
    shared = (
        "plan.pxd", "call.pxd", "steps.pxd", "openmp.pxd", "process.h", "openmp.h", "crowd.h",
        "system.h", "system_posix.h", "system_windows.h",
    )
    return [
        Extension(
            f"gconv._engine.{name}",
            [str(ENGINE / f"{name}.pyx")],
            define_macros=[("NPY_NO_DEPRECATED_API", "NPY_2_0_API_VERSION")],
            include_dirs=[str(ENGINE), numpy.get_include()],
            depends=[str(ENGINE / file) for file in shared],
        )
        for name in ("openmp", "call", "program")
    ]


def packages() -> list[str]:
    """The packages of a wheel: a family is one by its folder alone."""
    rooms = (
        "_api", "_call", "_steps", "_plan", "_families", "_engine", "_cli", "_cli.stack", "_bench",
        "_bench.contenders", "dask", "onnx", "onnx.fusing", "torch",
    )
    families = sorted(path.parent.name for path in FAMILIES.glob("*/__init__.py"))
    return [
        "gconv",
        *(f"gconv.{room}" for room in rooms),
        *(f"gconv._families.{family}" for family in families),
    ]


setup(
    packages=packages(),
    ext_modules=[*engine_extensions(), *shared_extensions()],
    cmdclass={"build_ext": BuildEngine},
)
