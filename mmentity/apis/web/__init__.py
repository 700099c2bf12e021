"""A page in the browser; needs the extra ``mmentity[web]``."""

from mmentity.apis.web.server import build_app, check_web_extra, serve

__all__ = ['build_app', 'check_web_extra', 'serve']
