"""What the server of the page answers."""

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote, unquote

from mmengine.logging import MMLogger
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mmentity.apis.inferencer import EntityInferencer
from mmentity.apis.web.results import ResultStore, describe, make_download
from mmentity.apis.web.uploads import UploadTooLargeError, check_upload_size, receive_upload
from mmentity.apis.web.waiting_line import WaitingLine
from mmentity.datasets.errors import SampleError

STATIC = Path(__file__).with_name('static')
MOST_WAITING = 16
HEADERS = {
    # nothing from elsewhere, and no script in a page but its own
    'Content-Security-Policy': "default-src 'self'; img-src 'self' data: blob:",
    'X-Content-Type-Options': 'nosniff',
    # a page of an older version would not fit the server
    'Cache-Control': 'no-cache',
}


class PageRoutes:
    """The page, what it asks for, and what it keeps.

    Args:
        inferencer: Predicts the images.
        max_upload_mb: Largest file that is taken, MB of 10**6 bytes.
    """

    def __init__(self, inferencer: EntityInferencer, max_upload_mb: float) -> None:
        self.inferencer, self.max_upload_mb = inferencer, max_upload_mb
        self.store, self.line = ResultStore(), WaitingLine()
        self.folder = Path()

    def app(self) -> Starlette:
        """Build the application."""
        return Starlette(
            routes=[
                Route('/', self._page),
                Route('/entities', self._predict, methods=['POST']),
                Route('/entities/{key}/{kind}', self._download),
                Mount('/static', StaticFiles(directory=STATIC)),
            ],
            middleware=[Middleware(_Headers)],
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Keep uploads in a folder that goes with the server."""
        with tempfile.TemporaryDirectory(prefix='mmentity-web-') as folder:
            self.folder = Path(folder)
            yield

    def _page(self, _: Request) -> Response:
        page = Template((STATIC / 'index.html').read_text(encoding='utf-8'))
        return HTMLResponse(page.substitute(max_upload_mb=f'{self.max_upload_mb:g}'))

    async def _predict(self, request: Request) -> Response:
        # a header of our own, which browsers let no page of another site send
        name = Path(unquote(request.headers.get('x-file-name', ''))).name
        if not name:
            return PlainTextResponse('the header X-File-Name is missing', 400)
        if len(self.line) > MOST_WAITING:
            return PlainTextResponse(
                f'{MOST_WAITING} images are waiting already; try again in a while', 503
            )
        try:
            check_upload_size(int(request.headers.get('content-length', 0)), self.max_upload_mb)
            upload = await receive_upload(request.stream(), self.folder, self.max_upload_mb)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except UploadTooLargeError as error:
            return PlainTextResponse(f'{name}: {error}', 413)
        except OSError as error:
            return PlainTextResponse(f'{name} cannot be kept on the server: {error.strerror}', 507)
        return _Prediction(self, upload, name)

    def predict(self, upload: Path, name: str) -> dict[str, Any]:
        """Predict an uploaded file; returns what the page shows, or an ``error``."""
        try:
            result = replace(self.inferencer.predict(upload), name=Path(name).stem, path=None)
            return {'result': describe(result, self.store.add(result))}
        except SampleError as error:
            message = str(error)
        except Exception as error:
            MMLogger.get_current_instance().exception(f'{name} cannot be predicted')
            message = f'{name} cannot be predicted ({type(error).__name__}: {error})'
        # the user does not know the file of the upload
        return {'error': message.replace(str(upload), name)}

    def _download(self, request: Request) -> Response:
        key, kind = (request.path_params[part] for part in ('key', 'kind'))
        try:
            score_thr = float(request.query_params.get('score_thr', 0))
            min_area = int(request.query_params.get('min_area', 0))
            file = make_download(self.store.get(key), kind, score_thr, min_area)
        except KeyError:
            return PlainTextResponse('this image is not kept any more; drop it again', 404)
        except ValueError as error:
            return PlainTextResponse(str(error), 400)
        headers = {'Content-Disposition': f"attachment; filename*=UTF-8''{quote(file.name)}"}
        return Response(file.data, media_type=file.media_type, headers=headers)


class _Prediction(StreamingResponse):
    """Lines of json: how many are ahead at each change, then what was found.

    A browser that leaves gives its place free; the upload is deleted in any case.
    """

    def __init__(self, routes: PageRoutes, upload: Path, name: str) -> None:
        self.routes, self.upload, self.name = routes, upload, name
        super().__init__(self._lines(), media_type='application/x-ndjson')

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self.routes.line.place() as self.ahead:
                await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            # the server stops, and has no use for a traceback of each image
            MMLogger.get_current_instance().warning(f'the server stops before {self.name}')
        finally:
            self.upload.unlink(missing_ok=True)

    async def _lines(self) -> AsyncIterator[str]:
        async for number in self.ahead:
            yield json.dumps({'ahead': number}) + '\n'
        found = await run_in_threadpool(self.routes.predict, self.upload, self.name)
        yield json.dumps(found) + '\n'


class _Headers:
    """Adds ``HEADERS`` to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message['type'] == 'http.response.start':
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self.app(scope, receive, send_with_headers)
