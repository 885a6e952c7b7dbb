"""Spark's pages below another path: links that begin at the root of its master lead there from wherever it is mounted.

The master is told by a header where a browser sees it. It hands on requests for the pages of its workers and applications, which
are told nothing: they take the master for the root of the site. Scripts and JSON name such paths as well as links do.
"""

import re
from typing import Final
from urllib.parse import urlsplit

__all__ = ["mounted"]

_MEMBER: Final = re.compile(r"/proxy/[^/]+")


def mounted(page: str, path: str, mount: str, address: str) -> str:
    """See `jupyter_dodas.services.base.Service.mounted`."""
    member = _MEMBER.match(path)
    own = mount + (member[0] if member else "")
    rooted = (
        (rf"""(?<=["'])(?=/proxy/)(?!{re.escape(mount)}/)""", mount),
        (r"""(?<=&quot;)(?=/proxy/)""", mount),  # links in texts that appear under the mouse
        (r"""(?<=src="|ref=")(?=/static/)""", own),
        (r"""(?<=href=")/(?=")""", f"{mount}/"),
        (r"""(?<=setUIRoot\(')(?='\))""", own),  # with which scripts begin their paths
        (rf"""(?<=href=")https?://[\w.-]+:{urlsplit(address).port}/?(?=")""", f"{mount}/"),
    )
    for pattern, beginning in rooted:
        page = beginning.join(re.split(pattern, page))
    return page
