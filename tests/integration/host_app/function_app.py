"""A small app that shows what a Functions host does to an app. Its callers order what it does."""

import asyncio
import json
import logging
import os
import sys
import threading
import time

import azure.functions as func

app = func.FunctionApp()
log = logging.getLogger("app.talk")
gate = threading.Event()
meeting = threading.Condition()
guests: list[func.HttpRequest] = []
log.error("logged while the app was loaded")


def _reply(document: object) -> func.HttpResponse:
    return func.HttpResponse(json.dumps(document), mimetype="application/json")


@app.route(route="echo/{name?}", auth_level=func.AuthLevel.ANONYMOUS)
def echo(req: func.HttpRequest, context: func.Context) -> func.HttpResponse:
    """Answer with the request."""
    return _reply(
        {
            "method": req.method,
            "url": req.url,
            "headers": dict(req.headers),
            "query": dict(req.params),
            "route": dict(req.route_params),
            "body": req.get_body().hex(),
            "traceparent": context.trace_context.trace_parent,
            "invocation": context.invocation_id,
        }
    )


@app.route(route="aside", auth_level=func.AuthLevel.ANONYMOUS)
def aside(req: func.HttpRequest) -> func.HttpResponse:
    """Log in a thread of the app."""
    thread = threading.Thread(target=log.error, args=("logged in a thread of the app's own",))
    thread.start()
    thread.join()
    log.error("logged in the invocation")
    return _reply({})


@app.route(route="items/{id:int}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def item(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with a number of the path."""
    return _reply({"item": req.route_params["id"]})


@app.route(route="items/{word:alpha}", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def word(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with a word of the path."""
    return _reply({"word": req.route_params["word"]})


@app.route(route="items/special", methods=["GET"], auth_level=func.AuthLevel.ANONYMOUS)
def special(req: func.HttpRequest) -> func.HttpResponse:
    """Answer on a literal path."""
    return _reply({"special": True})


@app.route(route="files/{*path}", auth_level=func.AuthLevel.ANONYMOUS)
def files(req: func.HttpRequest) -> func.HttpResponse:
    """Answer on each path below."""
    return _reply({"path": req.route_params.get("path", "")})


@app.route(route="locked", methods=["GET"])
def locked(req: func.HttpRequest) -> str:
    """Require the level `function`, and answer with plain text."""
    return "open"


@app.route(route="admin-only", auth_level=func.AuthLevel.ADMIN)
def admin_only(req: func.HttpRequest) -> str:
    """Require the level `admin`."""
    return "open"


@app.route(route="respond", methods=["POST"], auth_level=func.AuthLevel.ANONYMOUS)
def respond(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the status and headers that the body names."""
    order = req.get_json()
    response = func.HttpResponse(order.get("body"), status_code=order.get("status", 200))
    for name, value in order.get("headers", []):
        response.headers.add(name, value)
    return response


@app.generic_trigger(arg_name="req", type="httpTrigger", route="nothing", auth_level="anonymous")
def nothing(req: func.HttpRequest) -> None:
    """Return nothing, because there is no output binding."""


@app.route(route="fail", auth_level=func.AuthLevel.ANONYMOUS)
def fail(req: func.HttpRequest) -> str:
    """Raise."""
    raise RuntimeError("on purpose")


@app.route(route="talk", auth_level=func.AuthLevel.ANONYMOUS)
async def talk(req: func.HttpRequest, context: func.Context) -> str:
    """Log, print, and answer with the invocation's id."""
    await asyncio.sleep(0)
    log.debug("a detail")
    log.warning("a warning for %s", "everyone")
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        log.exception("a failure")
    print("printed")  # noqa: T201 - what becomes of it is the point
    print("complained", file=sys.stderr)  # noqa: T201 - as above
    return context.invocation_id


@app.route(route="environment", auth_level=func.AuthLevel.ANONYMOUS)
def environment(req: func.HttpRequest) -> func.HttpResponse:
    """Answer with the app's environment and working folder."""
    return _reply({"environment": dict(os.environ), "path": sys.path, "pid": os.getpid()})


@app.route(route="wait", auth_level=func.AuthLevel.ANONYMOUS)
def wait(req: func.HttpRequest) -> str:
    """Wait until `release` is called."""
    log.info("waiting")
    gate.wait(timeout=20)
    return "released"


@app.route(route="nap/{seconds}", auth_level=func.AuthLevel.ANONYMOUS)
def nap(req: func.HttpRequest) -> str:
    """Sleep for the ordered time."""
    time.sleep(float(req.route_params["seconds"]))
    return "rested"


@app.route(route="release", auth_level=func.AuthLevel.ANONYMOUS)
async def release(req: func.HttpRequest) -> str:
    """End all waits."""
    gate.set()
    return "ok"


@app.route(route="meet", auth_level=func.AuthLevel.ANONYMOUS)
def meet(req: func.HttpRequest) -> str:
    """Answer when as many requests run at once as the caller orders."""
    with meeting:
        guests.append(req)
        meeting.notify_all()
        met = meeting.wait_for(lambda: len(guests) >= int(req.params["of"]), timeout=15)
    return "met" if met else "alone"


@app.queue_trigger(arg_name="msg", queue_name="%WORK_QUEUE%", connection="AzureWebJobsStorage")
def work(msg: func.QueueMessage) -> None:
    """Log the message as an event, then do as it orders: succeed, fail, wait or exit."""
    text = msg.get_body().decode()
    event = {
        "queue": "work",
        "body": text,
        "id": msg.id,
        "dequeue_count": msg.dequeue_count,
        "inserted": str(msg.insertion_time),
        "expires": str(msg.expiration_time),
        "next_visible": str(msg.time_next_visible),
        "pop_receipt": bool(msg.pop_receipt),
        "started": time.time(),
    }
    logging.getLogger("app.event").info(json.dumps(event))
    _obey(text)


@app.queue_trigger(
    arg_name="msg", queue_name="%WORK_QUEUE%-poison", connection="AzureWebJobsStorage"
)
def poisoned(msg: func.QueueMessage) -> None:
    """Log the poison message as an event, then do as it orders."""
    text = msg.get_body().decode()
    event = {"queue": "poison", "body": text, "dequeue_count": msg.dequeue_count, "id": msg.id}
    logging.getLogger("app.event").info(json.dumps(event))
    if "fail as poison" in text:
        raise RuntimeError("on purpose")


def _obey(text: str) -> None:
    if text.startswith("fail"):
        raise RuntimeError("on purpose")
    if text.startswith("sleep "):
        time.sleep(float(text.split()[1]))
    if text.startswith("wait"):
        gate.wait(timeout=20)
