"""The HTTP API on a real port, with an engine that does what the test says."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
from PIL import Image

from client_runtime.engines.preview import PreviewEngine
from proxy.bundle import Bundle, BundleError, Prompt, Rectangle, Salient, pack, unpack
from proxy.bundle.preview import render
from proxy.bundle.provenance import field_value, provenance_of, xmp_packet

PATIENCE_S = 10.0
Make = Callable[..., bytes]
Serve = Callable[..., Any]


async def ask(server: SimpleNamespace, data: bytes, **headers: str) -> SimpleNamespace:
    """The whole answer to a reconstruct request."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    async with server.session.post("/v1/reconstruct", data=data, headers=named) as answer:
        return SimpleNamespace(
            status=answer.status, headers=answer.headers, type=answer.content_type, body=await answer.read()
        )


def trouble(answer: SimpleNamespace) -> str:
    assert answer.type == "application/json"
    told = json.loads(answer.body)
    assert list(told) == ["error"] and "Traceback" not in told["error"]
    return str(told["error"])


async def health(server: SimpleNamespace) -> dict[str, Any]:
    async with server.session.get("/healthz") as answer:
        assert answer.status == 200
        return dict(await answer.json())


async def entered(engine: Any) -> None:
    assert await asyncio.to_thread(engine.entered.acquire, True, PATIENCE_S)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.002)


async def test_a_bundle_becomes_an_image(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    answer = await ask(server, bundle(64, 48, seed=90), Accept="image/png")
    assert (answer.status, answer.type) == (200, "image/png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.body))), np.full((48, 64, 3), 90, np.uint8))
    assert answer.headers["Sketchwire-Engine"] == "fake@01234567"
    assert answer.headers["Sketchwire-Cache"] == "miss"
    assert float(answer.headers["Sketchwire-Queue-Ms"]) >= 0
    assert float(answer.headers["Sketchwire-Reconstruct-Ms"]) > 0
    assert "Sketchwire-Fallback" not in answer.headers


async def test_the_preview_engine_draws_what_the_preview_draws(serve: Serve, bundle: Make) -> None:
    server = await serve(PreviewEngine())
    answer = await ask(server, bundle(), Accept="image/png")
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.body))), render(unpack(bundle())))


@pytest.mark.parametrize("media_type", ["image/webp", "image/jpeg", "image/png"])
async def test_it_writes_what_is_accepted(serve: Serve, engine: Any, bundle: Make, media_type: str) -> None:
    answer = await ask(await serve(engine), bundle(), Accept=f"text/html, {media_type};q=0.3")
    assert answer.type == media_type
    with Image.open(io.BytesIO(answer.body)) as image:
        assert (image.get_format_mimetype(), image.size) == (media_type, (64, 48))


@pytest.mark.parametrize("media_type", ["image/webp", "image/jpeg", "image/png"])
async def test_files_and_answers_say_where_the_pixels_come_from(
    serve: Serve, engine: Any, bundle: Make, media_type: str
) -> None:
    server = await serve(engine)
    for _ in ("drawn", "from the cache"):
        answer = await ask(server, bundle(), Accept=media_type)
        told = provenance_of(unpack(bundle()), "fake@01234567")
        assert answer.headers["Sketchwire-Provenance"] == field_value(told)
        with Image.open(io.BytesIO(answer.body)) as image:
            found = image.info.get("xmp") or image.info["XML:com.adobe.xmp"].encode()
        assert found == xmp_packet(told)


async def test_a_fallback_is_not_called_a_model(serve: Serve, engine: Any, bundle: Make) -> None:
    engine.error = lambda tasks: RuntimeError("broken")
    answer = await ask(await serve(engine), bundle())
    assert answer.headers["Sketchwire-Provenance"].startswith("source=algorithmicallyEnhanced;engine=preview@")


async def test_quality_changes_the_file(serve: Serve, bundle: Make) -> None:
    server = await serve(PreviewEngine())
    sizes = [
        len((await ask(server, bundle(), Accept="image/jpeg", Sketchwire_Quality=quality)).body)
        for quality in ("20", "95")
    ]
    assert sizes[0] < sizes[1]


async def test_the_prompt_reaches_the_engine(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    await ask(server, bundle(seed=1), Sketchwire_Prompt=quote("eine Katze \N{CAT FACE}\n", safe=""))
    await ask(server, bundle(seed=2, text="in the bundle"))
    await ask(server, bundle(seed=3, text="in the bundle"), Sketchwire_Prompt="resolved")
    await ask(server, bundle(seed=4))
    prompts = [task.prompt for batch in engine.batches for task in batch]
    assert prompts == ["eine Katze \N{CAT FACE}\n", "in the bundle", "resolved", None]


async def test_a_thousand_characters_of_any_script_fit_into_the_header(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    answer = await ask(server, bundle(), Sketchwire_Prompt=quote("\N{CAT FACE}" * 1000, safe=""))
    assert answer.status == 200 and engine.batches[0][0].prompt == "\N{CAT FACE}" * 1000


async def test_the_same_bundle_twice_gives_the_same_bytes_from_the_cache(
    serve: Serve, engine: Any, bundle: Make
) -> None:
    server = await serve(engine)
    first, second = await ask(server, bundle()), await ask(server, bundle())
    assert first.body == second.body and first.type == second.type
    assert [a.headers["Sketchwire-Cache"] for a in (first, second)] == ["miss", "hit"]
    assert second.headers["Sketchwire-Engine"] == first.headers["Sketchwire-Engine"]
    assert len(engine.batches) == 1
    assert (await health(server))["hits"] == 1


async def test_the_same_bundle_twice_without_a_cache_gives_the_same_bytes(serve: Serve, bundle: Make) -> None:
    server = await serve(PreviewEngine(), cache_bytes=0)
    first, second = await ask(server, bundle()), await ask(server, bundle())
    assert first.body == second.body and second.headers["Sketchwire-Cache"] == "miss"


async def test_the_cache_outlives_the_process_but_not_another_engine(
    serve: Serve, engine: Any, new_engine: Any, bundle: Make
) -> None:
    await ask(await serve(engine), bundle())
    assert (await ask(await serve(new_engine()), bundle())).headers["Sketchwire-Cache"] == "hit"
    other = await serve(new_engine(fingerprint="fedcba9876543210"))
    assert (await ask(other, bundle())).headers["Sketchwire-Cache"] == "miss"


async def test_what_one_client_keeps_private_no_other_gets(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)

    async def cached(client: str | None) -> str:
        headers = {"Sketchwire_Prompt": "a%20letter", "Sketchwire_Share": "no"}
        if client is not None:
            headers["Sketchwire_Client"] = client
        return str((await ask(server, bundle(), **headers)).headers["Sketchwire-Cache"])

    clients = ["anna", "anna", "bert", None, None, "anna"]
    assert [await cached(client) for client in clients] == ["miss", "hit", "miss", "miss", "miss", "hit"]


async def test_a_damaged_entry_is_drawn_again(serve: Serve, engine: Any, bundle: Make, tmp_path: Path) -> None:
    server = await serve(engine)
    whole = await ask(server, bundle())
    [file] = [path for path in (tmp_path / "state" / "cache").rglob("*") if path.is_file()]
    file.write_bytes(file.read_bytes()[:-1])
    again = await ask(server, bundle())
    assert again.headers["Sketchwire-Cache"] == "miss" and again.body == whole.body
    assert (await health(server))["cache"]["corrupt"] == 1


async def test_a_state_folder_that_cannot_be_is_no_reason_to_stop(
    serve: Serve, engine: Any, bundle: Make, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"")
    server = await serve(engine, state_dir=str(tmp_path / "file"))
    assert (await ask(server, bundle())).status == 200
    assert (await health(server))["cache"] is None


async def test_a_failing_engine_gives_a_labelled_preview_that_is_not_cached(
    serve: Serve, engine: Any, bundle: Make
) -> None:
    server = await serve(engine)
    engine.error = lambda tasks: RuntimeError("the device fell off the bus")
    answers = [await ask(server, bundle(), Accept="image/png") for _ in range(2)]
    for answer in answers:
        assert answer.status == 200 and answer.headers["Sketchwire-Cache"] == "miss"
        assert answer.headers["Sketchwire-Engine"].startswith("preview@")
        assert answer.headers["Sketchwire-Fallback"] == "engine-failed"
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(answer.body))), render(unpack(bundle())))
    engine.error = lambda tasks: None
    assert (await ask(server, bundle())).headers["Sketchwire-Engine"] == "fake@01234567"
    state = await health(server)
    assert (state["served"], state["fallbacks"]) == (3, 2)


async def test_a_picture_of_the_wrong_size_never_leaves(serve: Serve, engine: Any, bundle: Make) -> None:
    engine.change = lambda image: image[:, :-1]
    answer = await ask(await serve(engine), bundle())
    assert answer.headers["Sketchwire-Fallback"] == "wrong-output"
    assert Image.open(io.BytesIO(answer.body)).size == (64, 48)


@pytest.mark.parametrize(("together", "batches"), [(None, [1, 4, 4]), (3, [1, 3, 3, 2]), (1, [1] * 9), (9, [1, 4, 4])])
async def test_batches_form_under_load(
    serve: Serve, new_engine: Any, bundle: Make, together: int | None, batches: list[int]
) -> None:
    engine = new_engine(together=together)
    server = await serve(engine, batch_size=4)
    engine.gate.clear()
    requests = [asyncio.create_task(ask(server, bundle(seed=0)))]
    await entered(engine)
    requests += [asyncio.create_task(ask(server, bundle(seed=seed))) for seed in range(1, 9)]
    await until(lambda: server.service.workshop.state()["queue"] == 8)
    engine.gate.set()
    answers = await asyncio.gather(*requests)
    assert [answer.status for answer in answers] == [200] * 9
    assert [len(batch) for batch in engine.batches] == batches
    assert len(engine.threads) == 1


async def test_a_full_queue_answers_at_once(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine, queue_size=2)
    engine.gate.clear()
    requests = [asyncio.create_task(ask(server, bundle(seed=0)))]
    await entered(engine)
    requests += [asyncio.create_task(ask(server, bundle(seed=seed))) for seed in (1, 2)]
    await until(lambda: server.service.workshop.state()["queue"] == 2)
    refused = await ask(server, bundle(seed=3))
    assert refused.status == 503 and int(refused.headers["Retry-After"]) >= 1 and "full" in trouble(refused)
    engine.gate.set()
    assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 3


async def test_cached_pictures_are_served_while_the_queue_is_full(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine, queue_size=1)
    await ask(server, bundle(seed=9))
    await entered(engine)
    engine.gate.clear()
    requests = [asyncio.create_task(ask(server, bundle(seed=0)))]
    await entered(engine)
    requests.append(asyncio.create_task(ask(server, bundle(seed=1))))
    await until(lambda: server.service.workshop.state()["queue"] == 1)
    assert (await ask(server, bundle(seed=9))).headers["Sketchwire-Cache"] == "hit"
    engine.gate.set()
    await asyncio.gather(*requests)


async def test_a_passed_deadline_is_told_in_time_and_waiting_work_is_dropped(
    serve: Serve, engine: Any, bundle: Make
) -> None:
    server = await serve(engine)
    engine.gate.clear()
    working = asyncio.create_task(ask(server, bundle(seed=1), Sketchwire_Deadline_Ms="100"))
    await entered(engine)
    waiting = asyncio.create_task(ask(server, bundle(seed=2), Sketchwire_Deadline_Ms="50"))
    for late in await asyncio.gather(working, waiting):
        assert late.status == 504 and "deadline" in trouble(late)
    engine.gate.set()
    assert (await ask(server, bundle(seed=3))).status == 200
    assert engine.drawn_seeds == [1, 3]
    assert (await health(server))["late"] == 2


async def test_what_was_finished_too_late_is_there_for_the_next(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    engine.gate.clear()
    late = asyncio.create_task(ask(server, bundle(), Sketchwire_Deadline_Ms="30"))
    await entered(engine)
    assert (await late).status == 504
    engine.gate.set()
    await until(lambda: server.service.workshop.state()["cache"]["entries"] == 1)
    assert (await ask(server, bundle())).headers["Sketchwire-Cache"] == "hit"


async def test_a_deadline_of_nothing_is_late(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    assert (await ask(server, bundle(), Sketchwire_Deadline_Ms="0")).status == 504
    assert engine.batches == []


async def test_a_body_that_never_ends_is_bound_by_the_deadline(serve: Serve, engine: Any) -> None:
    server = await serve(engine)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\nSketchwire-Deadline-Ms: 50\r\n\r\nab"
    )
    async with asyncio.timeout(PATIENCE_S):
        assert b" 504 " in await reader.readline()
    writer.close()


async def test_the_service_answers_while_the_engine_works(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    engine.gate.clear()
    request = asyncio.create_task(ask(server, bundle()))
    await entered(engine)
    assert (await health(server))["status"] == "ok"
    engine.gate.set()
    assert (await request).status == 200


async def test_a_client_that_leaves_the_queue_is_not_drawn(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine, queue_size=1)
    engine.gate.clear()
    first = asyncio.create_task(ask(server, bundle(seed=1)))
    await entered(engine)
    leaver = asyncio.create_task(ask(server, bundle(seed=2)))
    await until(lambda: server.service.workshop.state()["queue"] == 1)
    leaver.cancel()
    await until(lambda: server.service.workshop.state()["queue"] == 0)
    third = asyncio.create_task(ask(server, bundle(seed=3)))
    await until(lambda: server.service.workshop.state()["queue"] == 1)
    engine.gate.set()
    assert [(await first).status, (await third).status] == [200, 200]
    assert engine.drawn_seeds == [1, 3]
    assert (await health(server))["gone"] == 1


@pytest.mark.parametrize("sent", ["nothing", "half a head", "half a body", "all"])
async def test_a_killed_connection_harms_nobody(serve: Serve, engine: Any, bundle: Make, sent: str) -> None:
    server = await serve(engine)
    data = bundle(seed=1)
    head = b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(data)
    whole = {"nothing": b"", "half a head": head[:30], "half a body": head + data[:20], "all": head + data}[sent]
    engine.gate.clear()
    killed = socket.create_connection(("127.0.0.1", server.port))
    killed.sendall(whole)
    if sent == "all":
        await entered(engine)
    killed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    killed.close()  # a reset, not a polite end
    engine.gate.set()
    assert (await ask(server, bundle(seed=2))).status == 200
    assert (await health(server))["failures"] == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"", 400),
        (b"GIF89a", 400),
        (pack(Bundle(8, 8))[:-1], 400),
        (pack(Bundle(8, 8)).replace(b"\xf5SW\x01", b"\xf5SW\x02"), 422),
    ],
    ids=["empty", "gif", "cut", "version 2"],
)
async def test_bad_bundles(serve: Serve, engine: Any, data: bytes, status: int) -> None:
    answer = await ask(await serve(engine), data)
    assert answer.status == status and trouble(answer)
    assert engine.batches == []


async def test_a_bundle_that_only_fails_to_decode_is_bad_too(serve: Serve, engine: Any, bundle: Make) -> None:
    engine.error = lambda tasks: BundleError("the thumbnail does not decode")
    answer = await ask(await serve(engine), bundle())
    assert answer.status == 400 and "thumbnail" in trouble(answer)


async def test_words_alone_need_an_engine_that_draws_from_words(serve: Serve) -> None:
    answer = await ask(await serve(PreviewEngine()), pack(Bundle(64, 48, prompt=Prompt("a cat"))))
    assert answer.status == 422 and "words" in trouble(answer)


async def test_sizes_over_the_limit(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine, max_bundle_bytes=2048, max_pixels=10_000)
    assert (await ask(server, bundle(100, 100))).status == 200
    assert (await ask(server, bundle(101, 100))).status == 413
    for data in (b"x" * 2049, b"x" * 3_000_000):
        answer = await ask(server, data)
        assert answer.status == 413 and "2048" in trouble(answer)


async def test_crops_may_not_add_up_to_more_than_a_picture(serve: Serve, engine: Any, bundle: Make) -> None:
    small = unpack(bundle(8, 6)).thumbnail
    assert small is not None
    salient = Salient((Rectangle(0, 0, 8, 6),) * 100, 8, small)
    with pytest.raises(BundleError, match="crops"):
        from client_runtime.service.work import check_size

        check_size(Bundle(8, 6, salient=salient), max_pixels=4799)
    check_size(Bundle(8, 6, salient=salient), max_pixels=4800)


async def test_a_told_length_over_the_limit_is_refused_before_the_body_comes(serve: Serve, engine: Any) -> None:
    server = await serve(engine, max_bundle_bytes=2048)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\n\r\n")
    async with asyncio.timeout(PATIENCE_S):
        assert b" 413 " in await reader.readline()
    writer.close()


async def test_a_body_that_breaks_the_rules_of_http_ends_by_the_deadline(serve: Serve, engine: Any) -> None:
    server = await serve(engine)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        b"POST /v1/reconstruct HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nSketchwire-Deadline-Ms: 200\r\n\r\n"
    )
    writer.write(head + b"5\r\nabcde\r\n")
    await until(lambda: server.service.in_flight == 1)
    writer.write(b"zz\r\n")
    async with asyncio.timeout(PATIENCE_S):
        status = (await reader.readline()).split()[1]
    assert status in (b"400", b"504")
    writer.close()
    assert (await health(server))["failures"] == 0


async def test_a_body_of_untold_length_is_cut_at_the_limit(serve: Serve, engine: Any) -> None:
    server = await serve(engine, max_bundle_bytes=2048)
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        while True:
            sent += 1024
            yield b"x" * 1024

    try:
        async with server.session.post("/v1/reconstruct", data=endless()) as answer:
            assert answer.status == 413
    except aiohttp.ClientError:
        pass  # the answer was lost because the server hung up on us, as it may
    assert sent < 64 * 1024 * 1024
    assert engine.batches == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content_Encoding": "gzip"}, 415),
        ({"Origin": "https://example.org"}, 403),
        ({"Accept": "text/html"}, 406),
        ({"Sketchwire_Deadline_Ms": "soon"}, 400),
        ({"Sketchwire_Prompt": "%ff"}, 400),
    ],
    ids=str,
)
async def test_bad_requests(serve: Serve, engine: Any, bundle: Make, headers: dict[str, str], status: int) -> None:
    answer = await ask(await serve(engine), bundle(), **headers)
    assert answer.status == status and trouble(answer)


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("GET", "/v1/reconstruct", 405)])
async def test_other_paths_get_json_too(serve: Serve, engine: Any, method: str, path: str, status: int) -> None:
    server = await serve(engine)
    async with server.session.request(method, path) as answer:
        assert answer.status == status and "error" in await answer.json()


async def test_capabilities(serve: Serve, engine: Any) -> None:
    server = await serve(engine)
    async with server.session.get("/v1/capabilities") as answer:
        told = await answer.json()
    assert (told["engine"], told["fingerprint"], told["modes"]) == ("fake", "0123456789abcdef", ["thumbnail"])
    assert told["fallback"].startswith("preview@") and told["version"]


async def test_the_preview_has_nothing_to_fall_back_to(serve: Serve) -> None:
    server = await serve(PreviewEngine())
    async with server.session.get("/v1/capabilities") as answer:
        assert (await answer.json())["fallback"] is None


async def test_a_defect_in_the_service_is_told_without_details(
    serve: Serve, engine: Any, bundle: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(engine)

    async def broken(*arguments: Any) -> Any:
        raise KeyError("secret")

    monkeypatch.setattr(server.service.workshop, "make", broken)
    answer = await ask(server, bundle())
    assert answer.status == 500 and "secret" not in trouble(answer)
    assert (await health(server))["failures"] == 1


async def test_health_tells_what_happened(serve: Serve, engine: Any, bundle: Make) -> None:
    server = await serve(engine)
    await ask(server, bundle())
    await ask(server, bundle())
    await ask(server, b"nonsense")
    state = await health(server)
    assert (state["served"], state["hits"], state["bad"], state["queue"]) == (2, 1, 1, 0)
    assert state["engine"] == "fake@01234567" and state["uptime_s"] > 0 and state["rss_bytes"] > 1_000_000
