"""The command `cbam-np`: one file for each of its commands, and what they share.

A new command is a row of `COMMANDS` in cli.py and a file here of the same name, with two functions:

    add_arguments(parser)           declare the options; integers go through `whole_numbers.py`
    run(console, **options)         do the work; True if all went well, False if a check failed

What cannot be run is a ValueError, RuntimeError or OSError with one line that says why. A file to write is opened with
`files.output_file` before the work begins; a table is printed with `terminal.show`.
"""
