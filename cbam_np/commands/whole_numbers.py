"""The integers that a command line takes; argparse puts the name of the option in front of the error."""

import argparse


def positive(text: str) -> int:
    """1, 2, 3, ..."""
    return _at_least(1, "a positive integer", text)


def non_negative(text: str) -> int:
    """0, 1, 2, ..."""
    return _at_least(0, "an integer of at least 0", text)


def _at_least(least: int, expected: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text}")
    return value


def add_seed(parser: argparse.ArgumentParser, of: str) -> None:
    """The option --seed; `of` says what is drawn from it."""
    parser.add_argument("--seed", type=non_negative, default=0, help=f"seed of {of} (default %(default)s)")
