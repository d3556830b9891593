"""Tools for tests of applications and plug-ins: a server to test against, and the contracts of plug-ins.

`imagemill.testing.live_server` needs nothing else; the contracts and the fixtures need pytest
(``pip install 'imagemill[testing]'``).
"""
