"""Every error that jupyter-dodas raises: what happened, the cause, and what to do.

The message says what happened, `cause` why, `remedy` what the reader can do about it. `code` is stable: programs, the REST
replies and the documentation use it. Nothing outside this module defines an exception.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, ClassVar

__all__ = [
    "AlreadyExists",
    "BadInput",
    "Busy",
    "ClusterFailed",
    "ControllerUnreachable",
    "CredentialsRefused",
    "DamagedRecord",
    "DodasError",
    "IamRefused",
    "IamUnreachable",
    "InfrastructureExists",
    "InfrastructureNotFound",
    "InvalidOption",
    "InvalidSetting",
    "JobFailed",
    "JobHeld",
    "JobRemoved",
    "LaunchFailed",
    "MissingRights",
    "MissingSoftware",
    "ModelBroken",
    "ModelNotFound",
    "ModelRefused",
    "NewerRecord",
    "NotAllowed",
    "NotFound",
    "NotSupported",
    "NotYours",
    "PlaceUnreachable",
    "PoolUnreachable",
    "ProvisionFailed",
    "ProvisionerUnreachable",
    "QuotaExceeded",
    "SignInRefused",
    "StaleGeneration",
    "StateNotWritable",
    "StoreFull",
    "TemplateInvalid",
    "TimedOut",
    "TokenInvalid",
    "TooLarge",
    "Unauthenticated",
    "UnknownKind",
    "UnknownOption",
    "did_you_mean",
]


class DodasError(Exception):
    """What every error of this package is.

    Parameters
    ----------
    message
        What happened, in one sentence without a full stop.
    cause
        Why it happened.
    remedy
        What the reader can do now.
    retry
        Options with which the same request would do, by their paths with dots: the remedy for programs, which make a button of it.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, cause: str = "", remedy: str = "", retry: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message, self.cause, self.remedy = message, cause, remedy
        self.retry: Mapping[str, Any] = retry or {}

    def __str__(self) -> str:
        lines = [self.message, self.cause, f"hint: {self.remedy}" if self.remedy else ""]
        return "\n".join(line for line in lines if line)

    def _render_traceback_(self) -> list[str]:
        """Show the sentence instead of a stack trace in IPython (its hook for exceptions)."""
        return [f"{type(self).__name__}: {self}"]


class InvalidOption(DodasError):
    """A value that an option cannot take.

    Parameters
    ----------
    option
        Which one, as a path with dots, so that a form can show it there.
    """

    code = "invalid-option"
    option: str = ""

    def __init__(
        self, message: str, *, option: str = "", cause: str = "", remedy: str = "", retry: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message, cause=cause, remedy=remedy, retry=retry)
        self.option = option


class UnknownOption(InvalidOption):
    """An option that the kind does not have."""

    code = "unknown-option"

    def __init__(self, option: str, kind: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"{kind} has no option {option!r}",
            option=option,
            cause=did_you_mean(option, names),
            remedy=f"Options: {', '.join(names)}.",
        )


class InvalidSetting(DodasError):
    """The configuration file or a DODAS_ variable holds something unusable."""

    code = "invalid-setting"


class UnknownKind(DodasError):
    """No installed service has this kind."""

    code = "unknown-kind"

    def __init__(self, kind: str, known: Iterable[str]) -> None:
        names = sorted(known)
        super().__init__(
            f"There is no kind of cluster {kind!r}",
            cause=did_you_mean(kind, names),
            remedy=f"Kinds: {', '.join(names) or 'none is installed'}.",
        )


class MissingSoftware(DodasError):
    """A library or program that is needed here is not installed."""

    code = "missing-software"


class NotFound(DodasError):
    """No cluster has this name."""

    code = "not-found"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        super().__init__(
            f"There is no cluster {name!r}",
            cause=did_you_mean(name, names),
            remedy=f"Clusters: {', '.join(names)}." if names else "Nothing runs; launch one.",
        )


class AlreadyExists(DodasError):
    """A cluster of this name is there already."""

    code = "already-exists"

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is already a cluster {name!r}",
            cause="Names are free again once the cluster has stopped.",
            remedy=f'Use it with dodas.connect("{name}"), stop it, or choose another name.',
            retry={"name": _next(name)},
        )


class StaleGeneration(DodasError):
    """Somebody else changed the cluster between the read and the write."""

    code = "stale-generation"
    retryable = True

    def __init__(self, name: str, expected: int, found: int) -> None:
        super().__init__(
            f"{name!r} was changed by somebody else meanwhile",
            cause=f"The change was made on generation {expected}, the cluster is at {found}.",
            remedy="Look at the cluster again, then repeat the change if it still makes sense.",
        )
        self.expected, self.found = expected, found


class QuotaExceeded(DodasError):
    """More than the limits could ever give."""

    code = "quota-exceeded"

    def __init__(self, what: str, asked: str, limit: str, retry: Mapping[str, Any] | None = None) -> None:
        super().__init__(
            f"{asked} {what} asked for, the limit is {limit}",
            cause="This can never fit, however many other clusters end.",
            remedy=f"Ask for at most {limit} {what}; `dodas quota` shows what is free.",
            retry=retry,
        )


class LaunchFailed(DodasError):
    """The cluster did not come up. It is kept, with its logs, until it is dismissed."""

    code = "launch-failed"


class ClusterFailed(DodasError):
    """The cluster is there, but it has failed and cannot do what was asked."""

    code = "cluster-failed"


class NotSupported(DodasError):
    """This kind or backend cannot do what was asked."""

    code = "not-supported"


class TimedOut(DodasError):
    """What was waited for did not come in time."""

    code = "timed-out"
    retryable = True


class ControllerUnreachable(DodasError):
    """The controller of this place does not answer and could not be started."""

    code = "controller-unreachable"
    retryable = True


class PlaceUnreachable(DodasError):
    """The cluster that the backend runs on does not answer, or not to this user."""

    code = "place-unreachable"
    retryable = True


class CredentialsRefused(DodasError):
    """The cluster that the backend runs on does not take this user's credentials."""

    code = "credentials-refused"


class MissingRights(DodasError):
    """The user's account lacks a right that is needed."""

    code = "missing-rights"

    def __init__(self, verb: str, resource: str, group: str, namespace: str, said: str = "") -> None:
        super().__init__(
            f"Your account may not {verb} {resource} in the namespace {namespace}",
            cause=said,
            remedy=f'An administrator can add this rule to your role: apiGroups: ["{group}"], resources: ["{resource}"], '
            f'verbs: ["{verb}"]. The roles that work are in deploy/.',
        )


class IamUnreachable(DodasError):
    """The identity provider does not answer, or not in a way that can be used.

    Attributes
    ----------
    in_doubt
        Whether it may have done all the same what it was asked to do.
    """

    code = "iam-unreachable"
    retryable = True

    def __init__(self, what: str, cause: str, *, in_doubt: bool = False) -> None:
        super().__init__(
            f"{what} does not answer as it should",
            cause=cause,
            remedy="Try again in a moment; an administrator of the hub can run `dodas iam check`.",
        )
        self.in_doubt = in_doubt


class IamRefused(DodasError):
    """The identity provider says no.

    Attributes
    ----------
    error
        The code of OAuth: ``invalid_grant`` is about the user, ``invalid_client`` about the hub.
    """

    code = "iam-refused"

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(
            f"The identity provider refused: {error}",
            cause=description,
            remedy="Sign in again. If that does not help, ask your organisation whether your account is in order.",
        )
        self.error = error


class TokenInvalid(DodasError):
    """A token that is not what it should be: of another issuer, for somebody else, expired, or not signed."""

    code = "token-invalid"

    def __init__(self, token: str, why: str) -> None:
        remedy = "Sign in again. If that does not help, an administrator of the hub can run `dodas iam check`."
        super().__init__(f"The {token} will not do", cause=why, remedy=remedy)


class SignInRefused(DodasError):
    """Who signed in is known, but cannot come in."""

    code = "sign-in-refused"


class StateNotWritable(DodasError):
    """The state folder cannot be used."""

    code = "state-not-writable"


class StoreFull(DodasError):
    """There is no space left for the records."""

    code = "store-full"
    retryable = True


class NotYours(DodasError):
    """A request from, or for, another user."""

    code = "not-yours"


class NewerRecord(DodasError):
    """A record written by a newer version of jupyter-dodas."""

    code = "newer-record"

    def __init__(self, name: str, found: int, known: int) -> None:
        super().__init__(
            f"{name!r} was made by a newer version of jupyter-dodas",
            cause=f"Its record has format {found}; this version reads up to {known}.",
            remedy="Use the newer version for it: pip install --upgrade jupyter-dodas.",
        )


class DamagedRecord(DodasError):
    """A record that cannot be read."""

    code = "damaged-record"

    def __init__(self, name: str, where: str, why: str) -> None:
        super().__init__(
            f"The record of {name!r} cannot be read",
            cause=f"{where}: {why}",
            remedy=f"Remove what is left of it with `dodas stop {name}`.",
        )


class BadInput(DodasError):
    """What a model cannot take, or a request that cannot be understood."""

    code = "bad-input"


class ModelNotFound(DodasError):
    """The endpoint has no such model or version, or none that this caller may see."""

    code = "model-not-found"

    def __init__(self, model: str, version: str | None = None, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        what = f"model {model!r}" if version is None else f"version {version!r} of the model {model!r}"
        super().__init__(
            f"There is no {what}",
            cause=did_you_mean(version or model, names),
            remedy=f"There are: {', '.join(names)}." if names else "Nothing is published here; deploy a model and publish it.",
        )


class ModelRefused(DodasError):
    """An upload that cannot be served: broken, of an unknown format, or hostile."""

    code = "model-refused"


class ModelBroken(DodasError):
    """A model whose process ended, or that gives no numbers."""

    code = "model-broken"


class JobFailed(DodasError):
    """A job of a pool that ended without success: by an exit code, by a signal, or without the files that it was to leave."""

    code = "job-failed"


class JobHeld(DodasError):
    """A job of a pool that waits for somebody to see to it."""

    code = "job-held"


class JobRemoved(DodasError):
    """A job of a pool that somebody has taken away, or a policy."""

    code = "job-removed"


class PoolUnreachable(DodasError):
    """The queue of a pool does not answer, or refuses the token."""

    code = "pool-unreachable"
    retryable = True


class TemplateInvalid(DodasError):
    """A TOSCA template cannot be understood, is not there, or does what templates may not do."""

    code = "template-invalid"


class InfrastructureNotFound(DodasError):
    """No infrastructure of this user has this name."""

    code = "infrastructure-not-found"

    def __init__(self, name: str, known: Iterable[str] = ()) -> None:
        names = sorted(known)
        super().__init__(
            f"There is no infrastructure {name!r}",
            cause=did_you_mean(name, names),
            remedy=f"Infrastructures: {', '.join(names)}." if names else "There is none; create one.",
        )


class InfrastructureExists(DodasError):
    """Another infrastructure has this name."""

    code = "infrastructure-exists"

    def __init__(self, name: str, cause: str) -> None:
        super().__init__(
            f"There is already an infrastructure {name!r}", cause=cause, remedy="Use it, delete it, or choose another name."
        )


class ProvisionFailed(DodasError):
    """An infrastructure did not come up, or cannot do what was asked."""

    code = "provision-failed"


class ProvisionerUnreachable(DodasError):
    """What makes infrastructures does not answer, or answers with what cannot be used."""

    code = "provisioner-unreachable"
    retryable = True


class TooLarge(DodasError):
    """A body, an archive or a batch beyond the cap."""

    code = "too-large"


class Busy(DodasError):
    """More is asked of a server than it takes: by this caller, or by all.

    Attributes
    ----------
    after
        Seconds after which it may go well.
    """

    code = "busy"
    retryable = True

    def __init__(self, message: str, *, cause: str = "", after: float = 1.0) -> None:
        super().__init__(message, cause=cause, remedy=f"Try again in {after:g} s.")
        self.after = after


class Unauthenticated(DodasError):
    """A request without a token where one is needed."""

    code = "unauthenticated"


class NotAllowed(DodasError):
    """A known caller who may not do this."""

    code = "not-allowed"


def _next(name: str) -> str:
    """Return a name of the same family: of `higgs` `higgs-2`, of that `higgs-3`."""
    stem, _, number = name.rpartition("-")
    return f"{stem[:30]}-{int(number) + 1}" if stem and re.fullmatch(r"[1-9]\d{0,6}", number) else f"{name[:30].rstrip('-')}-2"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the question for a likely slip of the pen, or nothing."""
    close = get_close_matches(word, list(known), n=1)
    return f"Did you mean {close[0]!r}?" if close else ""
