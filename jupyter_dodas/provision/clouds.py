"""Clouds, as their users name them: where machines are made, and with which credentials. A new one is a class here.

Secrets are `SecretStr`, so that no text of an object holds them.
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr, StringConstraints

from jupyter_dodas.spec import Model, Name

__all__ = ["Cloud", "DummyCloud", "Ec2", "KubernetesCloud", "OpenStack"]

# No line ends, quotes or semicolons: they end up in a line of fields (facts of the Infrastructure Manager).
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._:/@+=-]{0,300}$")]


class Ec2(Model):
    """Amazon's EC2, or what speaks its protocol."""

    kind: Literal["ec2"] = "ec2"
    name: Name
    username: Word = Field(title="Access key")
    password: SecretStr = Field(title="Secret key")


class OpenStack(Model):
    """OpenStack, which takes the IAM token of its user."""

    kind: Literal["openstack"] = "openstack"
    name: Name
    host: Word = Field(title="Address of Keystone, such as https://cloud.example.org:5000")
    idp: Word = Field(title="Name of the identity provider there")
    project: Word = Field(title="Project")
    domain: Word | None = Field(default=None, title="Domain")


class KubernetesCloud(Model):
    """A Kubernetes cluster, whose pods are the machines."""

    kind: Literal["kubernetes"] = "kubernetes"
    name: Name
    host: Word = Field(title="Address of its API server")
    token: SecretStr = Field(title="Token of an account there")


class DummyCloud(Model):
    """Machines that are only noted: for tests of everything around them."""

    kind: Literal["dummy"] = "dummy"
    name: Name


Cloud = Annotated[Ec2 | OpenStack | KubernetesCloud | DummyCloud, Field(discriminator="kind")]
