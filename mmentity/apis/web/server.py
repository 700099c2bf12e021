"""The server of the page; nothing that it serves asks another machine for anything."""

import os
import socket
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mmengine.logging import MMLogger

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.web.results import ResultStore, make_download

if TYPE_CHECKING:
    from fastapi import FastAPI

# Telemetry, version checks and look-ups of gradio and what it builds on.
QUIET = {
    'GRADIO_ANALYTICS_ENABLED': 'False',
    'HF_HUB_DISABLE_TELEMETRY': '1',
    'HF_HUB_OFFLINE': '1',
}
# Gradio evaluates the scripts of its components.
ONLY_THIS_MACHINE = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; connect-src 'self' data: blob:"
)


def check_web_extra() -> None:
    """Raise an ImportError with the command that installs gradio if it is missing."""
    if find_spec('gradio') is None:
        raise ImportError(
            'the page needs gradio, which is not there; run: pip install "mmentity[web]"'
        )


def build_app(inferencer: EntityInferencer) -> 'FastAPI':
    """Build the page and its downloads as a FastAPI application.

    Raises:
        ImportError: If gradio is not installed.

    Examples:
        >>> uvicorn.run(build_app(EntityInferencer('cropformer_hornet-l_3x', 'weights.pth')))
    """
    check_web_extra()
    os.environ.update(QUIET)
    import gradio
    from fastapi import FastAPI

    from mmentity.apis.web.page import THEME, build_page

    store = ResultStore()
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    _add_downloads(app, store)
    page = build_page(inferencer, store).queue(api_open=False)
    return gradio.mount_gradio_app(
        app, page, path='', theme=THEME, footer_links=[], run_history=False, ssr_mode=False
    )


def serve(inferencer: EntityInferencer, host: str = '127.0.0.1', port: int = 7860) -> None:
    """Serve the page until interrupted; host ``0.0.0.0`` lets other machines in.

    Raises:
        ImportError: If gradio is not installed.
        OSError: If the port is taken.
    """
    app = build_app(inferencer)
    import uvicorn

    try:
        with socket.create_server((host, port)):
            pass
    except OSError as error:
        raise OSError(f'port {port} of {host} cannot be used ({error}); choose --port') from error
    MMLogger.get_current_instance().info(f'the page is at http://{host}:{port}; Ctrl+C ends it')
    uvicorn.run(app, host=host, port=port, log_level='warning')


def _add_downloads(app: 'FastAPI', store: ResultStore) -> None:
    from fastapi import Request, Response

    @app.middleware('http')
    async def keep_to_this_machine(request: Request, call_next: Any) -> Response:
        response = await call_next(request)
        response.headers['Content-Security-Policy'] = ONLY_THIS_MACHINE
        return response

    @app.get('/entities/{key}/{kind}')
    def download(key: str, kind: str, score_thr: float = 0.0, min_area: int = 0) -> Response:
        try:
            file = make_download(store.get(key), kind, score_thr, min_area)
        except KeyError:
            return Response('this image is not kept any more; drop it again', status_code=404)
        except ValueError as error:
            return Response(str(error), status_code=400)
        name = quote(Path(file.name).name)
        headers = {'Content-Disposition': f"attachment; filename*=UTF-8''{name}"}
        return Response(file.data, media_type=file.media_type, headers=headers)
