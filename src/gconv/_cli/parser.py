"""The arguments of the command line, and which function runs each command.

A command is added here, and imports what it needs when it runs: `gconv info` shall not wait for
what draws pictures.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import gconv

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

#: Runs a command, given its options and the arguments that the parser does not know; returns the
#: exit status.
Run = Callable[[argparse.Namespace, Sequence[str]], int]


def parse(arguments: Sequence[str] | None) -> Callable[[], int]:
    """Return what runs the command that the arguments ask for, or end the process with usage."""
    parser = argparse.ArgumentParser(
        prog="gconv", description="Grouped convolution for CPU inference on NumPy arrays."
    )
    parser.add_argument("--version", action="version", version=f"gconv {gconv.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_run, _add_filter, _add_info, _add_bench):
        add(commands)
    options, rest = parser.parse_known_args(arguments)
    run: Run = options.run
    if rest and run is not _bench:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    return lambda: run(options, rest)


def _add_run(commands: Commands) -> None:
    job = commands.add_parser(
        "run",
        help="run an ONNX model: its results, time and memory, beside ONNX Runtime and OpenVINO",
        description=(
            "Run an ONNX model on inputs from files or on random ones, and print its outputs, "
            "the time of a run (best and median) and the memory that it takes. Needs the extra "
            "gconv[onnx]; the progress bar and --plot need gconv[cli]."
        ),
        epilog="Exit status: 0, or 2 where anything could not be done.",
    )
    job.set_defaults(run=_run)
    job.add_argument("model", metavar="MODEL.onnx", type=Path, help="the model's file")
    job.add_argument(
        "--input",
        metavar="NAME=FILE.npy",
        action="append",
        default=[],
        help="an input's values; may be given for each input (default: random values of the "
        "declared shape and type, the same in every run)",
    )
    job.add_argument(
        "--dim",
        metavar="NAME=SIZE",
        action="append",
        default=[],
        help="the size of a dimension that the model leaves open, for random inputs (default: 1)",
    )
    job.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        help="write each output here, as .npy; the directory is made if it is missing",
    )
    job.add_argument(
        "--threads", metavar="N", type=int, help="how many threads (default: as gconv info says)"
    )
    job.add_argument(
        "--profile",
        action="store_true",
        help="also print the table of steps: what each was made of, what runs it, its time",
    )
    job.add_argument(
        "--plot", metavar="FILE.png", type=Path, help="draw the time of the steps as bars"
    )
    job.add_argument(
        "--compare",
        action="store_true",
        help="also run the model in ONNX Runtime and OpenVINO, whichever are installed, each in a "
        "process of its own, in turn with gconv",
    )
    job.add_argument("--force", action="store_true", help="replace files that exist")


def _run(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gconv._cli.run import Options, run_model

    return run_model(
        Options(
            options.model,
            inputs=options.input,
            dims=options.dim,
            output=options.output,
            threads=options.threads,
            profile=options.profile,
            plot=options.plot,
            compare=options.compare,
            force=options.force,
        )
    )


def _add_filter(commands: Commands) -> None:
    job = commands.add_parser(
        "filter",
        help="apply a bank of kernels to each channel of a picture and draw a contact sheet",
        description=(
            "Apply ten kernels to each channel of a picture in one grouped call (groups = "
            "channels, no padding), draw a contact sheet of the responses, and print the time "
            "beside that of a Python loop over the channels. Large pictures are filtered in "
            "bands of rows, one call for each; the times are then sums over the bands. Needs the "
            "extra gconv[cli]. A stack (a TIFF file with -o RESPONSES.zarr, or a Zarr directory) "
            "is filtered page by page into a Zarr array; that needs gconv[stack]."
        ),
        epilog=(
            "Exit status: 0, or 2 where anything could not be done; the other pictures are done "
            "all the same."
        ),
    )
    job.set_defaults(run=_filter)
    job.add_argument(
        "pictures",
        metavar="IMAGE",
        nargs="*",
        type=Path,
        help="picture files, grey or colour; samples of 8 or 16 bits are shown on their scale, "
        "signed and floating point ones (TIFF) on their own range; alpha is dropped, the "
        "orientation honoured; every page of a TIFF file has its sheet (default: the photograph "
        "that Matplotlib ships)",
    )
    job.add_argument(
        "-o",
        "--output",
        metavar="SHEET.png",
        type=Path,
        help="the contact sheet; with several pictures or pages, or if it is a directory there "
        "is, the directory of their sheets (default: <stem>.gconv.png, or "
        "<stem>.page<N>.gconv.png for one of several pages, in the current directory); "
        "RESPONSES.zarr filters the pages of IMAGE as one stack and writes their responses there, "
        "the sheet of one page beside it (default for a Zarr directory: <stem>.gconv.zarr)",
    )
    job.add_argument(
        "--bank",
        metavar="FILE.npy",
        type=Path,
        help="other kernels: an array of shape (M, kh, kw), correlated as they stand",
    )
    job.add_argument(
        "--page",
        metavar="N",
        type=int,
        help="only this page of each picture, counted from 1; of a stack, the page that the "
        "sheet shows (default: the middle one)",
    )
    job.add_argument(
        "--save",
        action="store_true",
        help="also write the responses, float32 of shape (C, M, H-kh+1, W-kw+1), "
        "as .npy beside each sheet",
    )
    job.add_argument("--force", action="store_true", help="replace files that exist")
    job.add_argument(
        "--resume",
        action="store_true",
        help="go on with the responses of a stack where an earlier run was ended: chunks that it "
        "finished are kept; another input or another bank is refused",
    )
    job.add_argument(
        "--scheduler",
        metavar="ADDRESS",
        help="have the workers of a Dask cluster filter a stack; they read and write the same "
        "paths",
    )


def _filter(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gconv._cli.filter import run_filter

    return run_filter(
        options.pictures,
        options.output,
        bank=options.bank,
        page=options.page,
        save=options.save,
        force=options.force,
        resume=options.resume,
        scheduler=options.scheduler,
    )


def _add_info(commands: Commands) -> None:
    info = commands.add_parser(
        "info", help="print version, compiler, instruction set, OpenMP runtime and threads"
    )
    info.set_defaults(run=_info)


def _info(options: argparse.Namespace, rest: Sequence[str]) -> int:
    try:
        gconv.show_config()
    except ValueError as error:  # an environment variable that nothing has read before
        print(error, file=sys.stderr)
        return 2
    return 0


def _add_bench(commands: Commands) -> None:
    # The benchmark has its own parser: it is not loaded before it is wanted.
    bench = commands.add_parser(
        "bench",
        add_help=False,
        help="measure gconv against PyTorch, ONNX Runtime, OpenVINO, ncnn and MNN, whichever are "
        "installed",
    )
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace, rest: Sequence[str]) -> int:
    from gconv._bench.run import main as run_bench

    return run_bench(rest)
