"""The server of the page; nothing that it serves asks another machine for anything."""

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmengine.logging import MMLogger

from mmentity.apis.inferencer import EntityInferencer

if TYPE_CHECKING:
    from starlette.applications import Starlette

MAX_UPLOAD_MB = 100.0
# for connections that stay open when the server is asked to stop
SHUTDOWN_SECONDS = 2


def check_web_extra() -> None:
    """Raise an ImportError with the command that installs what the server needs."""
    missing = [name for name in ('starlette', 'uvicorn') if find_spec(name) is None]
    if missing:
        raise ImportError(
            f'the page needs {" and ".join(missing)}, which is not there; '
            'run: pip install "mmentity[web]"'
        )


def build_app(inferencer: EntityInferencer, max_upload_mb: float = MAX_UPLOAD_MB) -> 'Starlette':
    """Build the page and its downloads as an ASGI application.

    Uploads are deleted once predicted, and what is left of them when the application stops.

    Args:
        inferencer: Predicts the images, one at a time.
        max_upload_mb: Largest file that is taken, MB of 10**6 bytes.

    Raises:
        ImportError: If starlette or uvicorn is not installed.
        ValueError: If the limit is not above 0.

    Examples:
        >>> uvicorn.run(build_app(EntityInferencer('cropformer_hornet-l_3x', 'weights.pth')))
    """
    check_web_extra()
    if max_upload_mb <= 0:
        raise ValueError(f'max_upload_mb is {max_upload_mb:g}; it must be above 0')
    from mmentity.apis.web.routes import PageRoutes

    return PageRoutes(inferencer, max_upload_mb).app()


def serve(
    inferencer: EntityInferencer,
    host: str = '127.0.0.1',
    port: int = 7860,
    max_upload_mb: float = MAX_UPLOAD_MB,
) -> None:
    """Serve the page until interrupted; host ``0.0.0.0`` lets other machines in.

    Raises:
        ImportError: If starlette or uvicorn is not installed.
        OSError: If the port is taken.
        ValueError: If the limit is not above 0.
    """
    app = build_app(inferencer, max_upload_mb)
    import uvicorn

    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise OSError(f'port {port} of {host} cannot be used ({error}); choose --port') from error
    MMLogger.get_current_instance().info(f'the page is at http://{host}:{port}; Ctrl+C ends it')
    uvicorn.run(
        app,
        host=host,
        port=port,
        log_level='warning',
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
