"""The command line: ``gconv filter``, ``info`` and ``bench``, also ``python -m gconv``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import gconv


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of this process if left out.

    Returns
    -------
    int
        The exit status: 0; 1 where `gconv bench` finds a wrong result; 2 where something could
        not be done; as of a signal, 130 after an interrupt and 141 where the reader of a pipe has
        gone.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command != "bench":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if options.command == "bench":
            status = _bench(rest)
        else:
            status = _info() if options.command == "info" else _filter(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        # Only printing fails here: the reader of a pipe has gone (`| head`), or a disk is full.
        # Point stdout elsewhere, or the interpreter's last flush would fail as well.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 141
        print(f"gconv: stdout cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gconv", description="Grouped convolution for CPU inference on NumPy arrays."
    )
    parser.add_argument("--version", action="version", version=f"gconv {gconv.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    job = commands.add_parser(
        "filter",
        help="apply a bank of kernels to each channel of a picture and draw a contact sheet",
        description=(
            "Apply ten kernels to each channel of a picture in one grouped call (groups = "
            "channels, no padding), draw a contact sheet of the responses, and print the time "
            "beside that of a Python loop over the channels. Needs the extra gconv[cli]."
        ),
        epilog=(
            "Exit status: 0, or 2 where anything could not be done; the other pictures are done "
            "all the same."
        ),
    )
    job.add_argument(
        "pictures",
        metavar="IMAGE",
        nargs="*",
        type=Path,
        help="picture files, grey or colour, 8 or 16 bits; alpha is dropped, the EXIF orientation "
        "honoured (default: the photograph that Matplotlib ships)",
    )
    job.add_argument(
        "-o",
        "--output",
        metavar="SHEET.png",
        type=Path,
        help="the contact sheet; with several pictures, or if it is a directory there is, the "
        "directory of their sheets (default: <stem>.gconv.png in the current directory)",
    )
    job.add_argument(
        "--bank",
        metavar="FILE.npy",
        type=Path,
        help="other kernels: an array of shape (M, kh, kw), correlated as they stand",
    )
    job.add_argument(
        "--save",
        action="store_true",
        help="also write the responses, float32 of shape (C, M, H-kh+1, W-kw+1), "
        "as .npy beside each sheet",
    )
    job.add_argument("--force", action="store_true", help="replace files that exist")

    commands.add_parser(
        "info", help="print version, compiler, instruction set, OpenMP runtime and threads"
    )
    # The benchmark has its own parser: it is not loaded before it is wanted.
    commands.add_parser(
        "bench",
        add_help=False,
        help="measure gconv against PyTorch, ONNX Runtime, OpenVINO, ncnn and MNN, whichever are "
        "installed",
    )
    return parser


def _info() -> int:
    try:
        gconv.show_config()
    except ValueError as error:  # GCONV_NUM_THREADS=many, say
        print(f"gconv info: {error}", file=sys.stderr)
        return 2
    return 0


def _filter(options: argparse.Namespace) -> int:
    # Here, because `gconv info` shall not wait for it.
    from gconv._cli.filter import run_filter

    return run_filter(
        options.pictures,
        options.output,
        bank=options.bank,
        save=options.save,
        force=options.force,
    )


def _bench(arguments: Sequence[str]) -> int:
    from gconv._bench.run import main as run_bench

    return run_bench(arguments)


if __name__ == "__main__":
    sys.exit(main())
