"""Exit codes: one for each way in which a command can end, so that scripts need not read words."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from jupyter_dodas import errors

__all__ = ["EXITS", "Exit", "exit_code"]


class Exit(IntEnum):
    """How a command ended."""

    OK = 0
    UNEXPECTED = 1
    """Something that nobody foresaw; of `doctor`, that something is bad."""
    INVALID = 2
    """The request cannot be understood, or nothing can do it."""
    NOT_FOUND = 3
    """There is no such cluster or model."""
    REFUSED = 4
    """Not within the limits, or not yours."""
    FAILED = 5
    """The launch or the cluster has failed."""
    CONFLICT = 6
    """The name is taken, or somebody else was quicker."""
    UNREACHABLE = 7
    """State, controller or endpoint cannot be reached, read or written."""
    MISSING = 8
    """Software is not installed."""
    TIMED_OUT = 9
    """What was waited for did not come in time."""
    INTERRUPTED = 130
    """By Ctrl-C."""


EXITS: Final[Mapping[str, Exit]] = {
    errors.DodasError.code: Exit.UNEXPECTED,
    errors.InvalidOption.code: Exit.INVALID,
    errors.UnknownOption.code: Exit.INVALID,
    errors.InvalidSetting.code: Exit.INVALID,
    errors.UnknownKind.code: Exit.INVALID,
    errors.NotSupported.code: Exit.INVALID,
    errors.BadInput.code: Exit.INVALID,
    errors.ModelRefused.code: Exit.INVALID,
    errors.TooLarge.code: Exit.INVALID,
    errors.TemplateInvalid.code: Exit.INVALID,
    errors.NotFound.code: Exit.NOT_FOUND,
    errors.ModelNotFound.code: Exit.NOT_FOUND,
    errors.InfrastructureNotFound.code: Exit.NOT_FOUND,
    errors.QuotaExceeded.code: Exit.REFUSED,
    errors.NotYours.code: Exit.REFUSED,
    errors.CredentialsRefused.code: Exit.REFUSED,
    errors.MissingRights.code: Exit.REFUSED,
    errors.IamRefused.code: Exit.REFUSED,
    errors.TokenInvalid.code: Exit.REFUSED,
    errors.SignInRefused.code: Exit.REFUSED,
    errors.Unauthenticated.code: Exit.REFUSED,
    errors.NotAllowed.code: Exit.REFUSED,
    errors.LaunchFailed.code: Exit.FAILED,
    errors.ModelBroken.code: Exit.FAILED,
    errors.JobFailed.code: Exit.FAILED,
    errors.JobHeld.code: Exit.FAILED,
    errors.JobRemoved.code: Exit.FAILED,
    errors.ProvisionFailed.code: Exit.FAILED,
    errors.ClusterFailed.code: Exit.FAILED,
    errors.AlreadyExists.code: Exit.CONFLICT,
    errors.InfrastructureExists.code: Exit.CONFLICT,
    errors.StaleGeneration.code: Exit.CONFLICT,
    errors.ControllerUnreachable.code: Exit.UNREACHABLE,
    errors.PlaceUnreachable.code: Exit.UNREACHABLE,
    errors.IamUnreachable.code: Exit.UNREACHABLE,
    errors.PoolUnreachable.code: Exit.UNREACHABLE,
    errors.ProvisionerUnreachable.code: Exit.UNREACHABLE,
    errors.Busy.code: Exit.UNREACHABLE,
    errors.StateNotWritable.code: Exit.UNREACHABLE,
    errors.StoreFull.code: Exit.UNREACHABLE,
    errors.NewerRecord.code: Exit.UNREACHABLE,
    errors.DamagedRecord.code: Exit.UNREACHABLE,
    errors.MissingSoftware.code: Exit.MISSING,
    errors.TimedOut.code: Exit.TIMED_OUT,
}
"""By the code of an error."""


def exit_code(error: errors.DodasError) -> Exit:
    """Return how a command ends that meets this error."""
    return EXITS.get(error.code, Exit.UNEXPECTED)
