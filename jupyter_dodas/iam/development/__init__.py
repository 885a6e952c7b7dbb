"""An OpenID provider in the manner of INDIGO IAM, for one machine: sign-in is a click, so it listens on loopback only.

It exists so that the first command works, and so that tests meet a real provider. Nobody has a password here.
"""
