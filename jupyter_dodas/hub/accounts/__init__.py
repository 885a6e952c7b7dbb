"""An account of this machine for each user of a hub that runs as root.

The hub must not touch files in folders that users can write: root would follow a link that somebody has planted there. So
whatever is done at the place of a user is done by a small process of that user's own, the agent:

- `machine`: accounts are found, or made;
- `prepared`: a process that has imported what an agent needs, and forks one for each user, which gives up being root at once;
- `agent`: works at the place of its user, and does what the hub asks for, in the words of `messages`;
- `remote`: what the hub has of it; it believes nothing but what fits the model, and waits for nothing without an end;
- `cgroups`: how much all of that may take together.
"""
