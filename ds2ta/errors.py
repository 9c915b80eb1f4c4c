# SPDX-FileCopyrightText: 2026 the ds2ta authors
# SPDX-License-Identifier: BSD-2-Clause

"""The one family of errors that a user can cause.

Every message is a single line that says what is wrong, where, the limit, and the mend. The command line prints
it without a traceback and exits with `EXIT_USAGE`; library users catch `Ds2taError`.
"""

__all__ = ["EXIT_USAGE", "DataError", "Ds2taError", "FitError", "ImageError", "ModelFileError", "NetworkError"]

EXIT_USAGE = 2


class Ds2taError(ValueError):
    """Base of all errors caused by an input (file, image, parameter), never by a bug of ours."""

    def __init__(self, message: str):
        super().__init__(" ".join(str(message).split()))  # one line, whatever a library put into its text


class ModelFileError(Ds2taError):
    """An integer model file is missing, damaged, foreign, or says something impossible."""


class NetworkError(Ds2taError):
    """A network description is outside the limits of the project."""


class FitError(Ds2taError):
    """A model does not fit the machine that it is to run on, or a machine parameter is out of range."""


class ImageError(Ds2taError):
    """Input samples have the wrong shape, type or value range."""


class DataError(Ds2taError):
    """A file of a data set is missing, damaged, or not what its publisher's format says."""
