"""A page in the browser; needs the extra ``mmentity[web]``."""

from mmentity.apis.web.server import MAX_UPLOAD_MB, build_app, check_web_extra, serve

__all__ = ['MAX_UPLOAD_MB', 'build_app', 'check_web_extra', 'serve']
