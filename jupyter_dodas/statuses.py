"""HTTP statuses of errors: one table for all that answers by REST."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from jupyter_dodas import errors
from jupyter_dodas.errors import DodasError

__all__ = ["STATUS", "status_of"]

STATUS: Final[Mapping[type[DodasError], HTTPStatus]] = {
    DodasError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.InvalidOption: HTTPStatus.BAD_REQUEST,
    errors.UnknownOption: HTTPStatus.BAD_REQUEST,
    errors.UnknownKind: HTTPStatus.BAD_REQUEST,
    errors.InvalidSetting: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.MissingSoftware: HTTPStatus.NOT_IMPLEMENTED,
    errors.NotSupported: HTTPStatus.NOT_FOUND,
    errors.NotFound: HTTPStatus.NOT_FOUND,
    errors.NotYours: HTTPStatus.FORBIDDEN,
    errors.AlreadyExists: HTTPStatus.CONFLICT,
    errors.LaunchFailed: HTTPStatus.CONFLICT,
    errors.ClusterFailed: HTTPStatus.CONFLICT,
    errors.DamagedRecord: HTTPStatus.CONFLICT,
    errors.NewerRecord: HTTPStatus.CONFLICT,
    errors.StaleGeneration: HTTPStatus.PRECONDITION_FAILED,
    # Not 403: that means the user, and signing in again would not help.
    errors.CredentialsRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.MissingRights: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.IamRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.TokenInvalid: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.SignInRefused: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.QuotaExceeded: HTTPStatus.UNPROCESSABLE_ENTITY,
    # Of endpoints and their models; a token that they do not take is not Jupyter's either.
    errors.BadInput: HTTPStatus.BAD_REQUEST,
    errors.ModelRefused: HTTPStatus.BAD_REQUEST,
    errors.ModelNotFound: HTTPStatus.NOT_FOUND,
    errors.TooLarge: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    errors.ModelBroken: HTTPStatus.CONFLICT,
    # Of pools and their jobs.
    errors.JobFailed: HTTPStatus.CONFLICT,
    errors.JobHeld: HTTPStatus.CONFLICT,
    errors.JobRemoved: HTTPStatus.GONE,
    errors.PoolUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    # Of infrastructures.
    errors.TemplateInvalid: HTTPStatus.BAD_REQUEST,
    errors.InfrastructureNotFound: HTTPStatus.NOT_FOUND,
    errors.InfrastructureExists: HTTPStatus.CONFLICT,
    errors.ProvisionFailed: HTTPStatus.CONFLICT,
    errors.ProvisionerUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.Unauthenticated: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotAllowed: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.Busy: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.PlaceUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.IamUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.ControllerUnreachable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StateNotWritable: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.StoreFull: HTTPStatus.INSUFFICIENT_STORAGE,
    errors.TimedOut: HTTPStatus.GATEWAY_TIMEOUT,
}
"""By the class of an error."""


def status_of(error: DodasError) -> HTTPStatus:
    """Return the status of the nearest class that the table knows."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
