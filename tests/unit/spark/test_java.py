"""The command line of Java, and which Java is taken."""

import os
import subprocess
from pathlib import Path

import pytest

from jupyter_dodas.errors import MissingSoftware
from jupyter_dodas.services.spark import archive, java


def a_java(folder: Path, version: str | None, *, says: str = "") -> Path:
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{says}' >&2\n")
    program.chmod(0o755)
    if version:
        (folder / "release").write_text(f'IMPLEMENTOR="X"\nJAVA_VERSION="{version}"\n')
    return program


def test_the_command_line_is_that_of_sparks_own_launcher() -> None:
    found, spark = java.find_java(os.environ), java.find_spark()
    main, arguments = "org.apache.spark.deploy.master.Master", ("--host", "x")
    launcher = subprocess.run(
        [found.program, "-cp", f"{spark.jars}/*", "org.apache.spark.launcher.Main", main, *arguments],
        env=java.environment(found, spark, "127.0.0.1", {"PATH": os.environ["PATH"]}),
        capture_output=True,
        check=True,
    )
    theirs = [word for word in launcher.stdout.decode().strip().split("\0") if word]
    assert java.command(found, spark, main, *arguments, options=["-Xmx1g"])[1:4] == [*theirs[1:3], theirs[4]]
    assert set(java.command(found, spark, main, *arguments, options=["-Xmx1g"])[1:]) == set(theirs[1:])


@pytest.mark.parametrize(
    ("version", "major"), [("17.0.15", 17), ("21", 21), ("1.8.0_292", 8), ("22-ea", 22), ("", 0), ("unheard", 0)]
)
def test_versions_are_understood(version: str, major: int) -> None:
    assert java.Java(Path("java"), version).major == major


def test_the_java_of_the_users_home_comes_first(tmp_path: Path) -> None:
    mine, other = a_java(tmp_path / "mine", "21.0.1"), a_java(tmp_path / "other", "17.0.1")
    assert java.find_java({"JAVA_HOME": str(tmp_path / "mine"), "PATH": str(other.parent)}) == java.Java(mine, "21.0.1")
    assert java.find_java({"PATH": str(other.parent)}) == java.Java(other, "17.0.1")


def test_a_java_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_USUAL", ())
    a_java(tmp_path / "old", "11.0.2")
    new = a_java(tmp_path / "new", None, says='openjdk version "17.0.2" 2022-01-18')
    environ = {"JAVA_HOME": str(tmp_path / "old"), "PATH": str(new.parent)}
    assert java.find_java(environ) == java.Java(new, "17.0.2")
    with pytest.raises(MissingSoftware, match=r"is Java 11\.0\.2"):
        java.find_java({**environ, "PATH": str(tmp_path)})


def test_an_archive_belongs_to_one_java_and_one_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spark = java.find_spark()
    one, other = java.Java(Path("/one/bin/java"), "17.0.1"), java.Java(Path("/one/bin/java"), "17.0.2")
    assert archive.path(one, spark) != archive.path(other, spark)
    assert archive.find(one, spark) is None
    archive.path(one, spark).parent.mkdir(parents=True)
    archive.path(one, spark).write_bytes(b"classes")
    assert archive.find(one, spark) == str(archive.path(one, spark))
