"""The editor's server: its page, and what the page asks.

| request | answer |
|---|---|
| GET /, /editor/NAME, /viewer/NAME | the page, its scripts and its style sheets |
| GET /describe | labels, samples, camera: what the page shows |
| GET /alive | a number that is another one after a restart |
| GET /samples/NAME | a bundled mask |
| POST /read?order=&encoding= and a file | the mask in it |
| POST /run?tab=&width=&height=&seed=&layers= and labels | volumes, coarse to fine, as they are finished |
| POST /save/KIND?... the same, and yaw, pitch, fov | a file, and before it how far it is |
| POST /map?... the same | the label map of this view, and before it how far it is |
| POST /colours?... the same, parts=, picture=, mask= (bytes), both files | codes of a style in the picture's colours |
| POST /face and a photograph | its mask and itself, aligned; only with a face segmenter |

To all of these a page may add what else its head is made of, see `Painting.from_request`: `style=1` and codes of a
picture's style, `edit=1` and codes that edits add. With `map=` (pixels), yaw, pitch and two label maps, /run draws what
the second has otherwise (and refines it in `refine=` steps), and sends what edits add by then before the volumes.

Answers with bytes are frames: the length of a JSON object (four bytes, little endian), the object, and as many bytes
as it says under `bytes`. An object with `error` is one line for the user.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import struct
import traceback
import zlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from editing.editor import editable
from utils.errors import UserError
from utils.memory import memory_named
from web.server import edits, pictures
from web.server.guard import Guard, Refused
from web.server.masks import LoadedMask, for_page
from web.server.page import PageFiles
from web.server.painting import Painting
from web.server.pictures import Faces
from web.server.queries import Body, Frame, Send
from web.server.saves import offered, save
from web.server.studio import Studio
from web.server.turns import Job, Turns
from web.volume.baking import Cancelled

AT_WORK = 8  # jobs that hold memory of their own at a time; more wait with their masks alone
BYTES = "application/octet-stream"


def make_app(studio: Studio, page: PageFiles, faces: Faces | None = None) -> Starlette:
    """The whole server around one model, and what finds faces in photographs if there is such a thing."""
    turns, workers, instance = Turns(), ThreadPoolExecutor(AT_WORK, "job"), secrets.token_hex(8)
    readers = ThreadPoolExecutor(2, "reader")

    async def show(request: Request) -> Response:
        found = page.file(request.path_params.get("folder", ""), request.path_params.get("name", ""))
        if found is None:
            raise Refused(404, "no such file")
        return Response(found.data, media_type=found.media_type)

    async def describe(_: Request) -> Response:
        return JSONResponse({**studio.describe(), **edits.describe(studio.net), **pictures.describe(studio, faces),
                             "saves": offered(studio), "instance": instance})

    async def alive(_: Request) -> Response:
        return JSONResponse({"instance": instance})

    async def sample(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in studio.reader.samples:
            raise Refused(404, "no such sample")
        loaded = await asyncio.get_running_loop().run_in_executor(readers, studio.reader.sample, name)
        return Response(mask_frame(loaded), media_type=BYTES)

    async def read(request: Request) -> Response:
        encoding, order = request.query_params.get("encoding", "auto"), request.query_params.get("order", "")
        if encoding not in ("auto", "index", "colour"):
            raise Refused(400, "encoding: give auto, index or colour")
        data = await request.body()
        try:
            loaded = await asyncio.get_running_loop().run_in_executor(
                readers, lambda: studio.reader.upload(data, encoding, order or studio.reader.label_order))
        except UserError as error:
            raise Refused(422, for_page(error)) from None
        return Response(mask_frame(loaded), media_type=BYTES)

    async def run(request: Request) -> Response:
        return await work(request, studio.volumes)

    async def map_of_view(request: Request) -> Response:
        if not editable(studio.net):
            raise Refused(404, "these weights do not know which part is where")
        query = dict(request.query_params)
        return await work(request, lambda painting, job, send: studio.map(painting, query, job, send))

    async def colours(request: Request) -> Response:
        query = dict(request.query_params)
        return await work(request, lambda painting, job, send, reference: pictures.send_colours(
            studio, faces, painting, reference, job, send), lambda body: pictures.Reference.from_request(query, body))

    async def face(request: Request) -> Response:
        if faces is None:
            raise Refused(404, "there is no face segmenter here")
        found, picture = faces, await request.body()
        job = turns.begin(request.query_params.get("tab", "")[:40] + request.url.path)
        return StreamingResponse(_answers(workers, job, lambda send: pictures.send_face(found, picture, job, send)),
                                 media_type=BYTES)

    async def save_file(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in offered(studio):
            raise Refused(404, "no such kind of file")
        query = dict(request.query_params)
        return await work(request, lambda painting, job, send: save(studio, kind, painting, query, job, send))

    async def work(request: Request, make: Callable[..., None], more: Callable[[Body], Any] | None = None) -> Response:
        """Begin a job: make(painting, job, send), and as the last argument what `more` reads of the body's rest."""
        query = dict(request.query_params)
        try:
            body = Body(await request.body())
            painting = Painting.from_request(query, body, studio.net)
            rest = () if more is None else (more(body),)
            body.end()
        except UserError as error:
            raise Refused(400, str(error)) from None
        job = turns.begin(query.get("tab", "")[:40] + request.url.path)
        return StreamingResponse(_answers(workers, job, lambda send: make(painting, job, send, *rest)),
                                 media_type=BYTES)

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)
        return PlainTextResponse(f"{error}\n", error.status)

    return Starlette(
        routes=[Route("/", show), Route("/describe", describe), Route("/alive", alive),
                Route("/samples/{name}", sample), Route("/read", read, methods=["POST"]),
                Route("/run", run, methods=["POST"]), Route("/map", map_of_view, methods=["POST"]),
                Route("/colours", colours, methods=["POST"]), Route("/face", face, methods=["POST"]),
                Route("/save/{kind}", save_file, methods=["POST"]),
                Route("/{folder}/{name}", show)],
        middleware=[Middleware(Guard)], exception_handlers={Refused: refuse})


def pack_frame(frame: Frame) -> bytes:
    """As it goes over the line."""
    facts, data = frame
    head = json.dumps({**facts, "bytes": len(data)}).encode()
    return struct.pack("<I", len(head)) + head + data


def mask_frame(loaded: LoadedMask) -> bytes:
    """A mask: its labels, deflated."""
    height, width = loaded.labels.shape
    return pack_frame(({"width": width, "height": height, "warnings": loaded.warnings},
                       zlib.compress(loaded.labels.tobytes(), 6)))


async def _answers(workers: ThreadPoolExecutor, job: Job, make: Callable[[Send], None]) -> AsyncIterator[bytes]:
    """Frames as a worker sends them. When the client is gone, the job ends with its next block."""
    loop, queue = asyncio.get_running_loop(), asyncio.Queue[bytes | None]()

    def put(data: bytes | None) -> None:
        with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
            loop.call_soon_threadsafe(queue.put_nowait, data)

    def send(frame: Frame) -> None:
        put(pack_frame(frame))

    def compute() -> None:
        with job:
            try:
                with memory_named("lower the size, or end other programs"):
                    make(send)
            except Cancelled:
                send(({"cancelled": True}, b""))
            except UserError as error:
                send(({"error": for_page(error)}, b""))
            except Exception:  # a bug: it ends this job, and no other
                traceback.print_exc()
                send(({"error": "the server met an error of its own; its terminal shows which"}, b""))
        put(None)

    try:
        workers.submit(compute)
        while (data := await queue.get()) is not None:
            yield data
    finally:
        job.cancel()
