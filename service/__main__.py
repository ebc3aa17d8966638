"""The command line: serve, evaluate, policy check, policy test, policy build."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvicorn
from pydantic import ValidationError

from service import log
from service.app.call_commands import app as calls
from service.app.case_commands import app as cases
from service.app.compose import create_app
from service.app.members import app as members
from service.app.parts import build_rules, policy_roots, structure_check
from service.app.reviewers import add_demo_accounts
from service.app.reviewers import app as reviewers
from service.cases.run import Bench, read_cases, run_cases
from service.catalog.registry import HOME, check_folders
from service.determine.request import Receipt
from service.errors import InvalidPolicy, ServiceError
from service.fhir.json import encode
from service.fhir.outcome import operation_outcome
from service.pas.request import parse
from service.policy.case import Authorization, MemberId
from service.policy.dates import DatePeriod
from service.policy.determination import as_json
from service.ports import SystemClock
from service.settings import Settings
from service.wire import read_json

_log = logging.getLogger("service.serve")
app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True, help="Payer-side prior authorization."
)
policy = typer.Typer(no_args_is_help=True, help="Check, test and translate policies.")
app.add_typer(policy, name="policy")
app.add_typer(members, name="members")
app.add_typer(cases, name="case")
app.add_typer(calls, name="call")
app.add_typer(reviewers, name="reviewer")


def _settings_help() -> str:
    lines = [
        f"PA_{name.upper()}: {field.description} (default: {field.default!r})\n"
        for name, field in Settings.model_fields.items()
        if name != "demo"
    ]
    return "Settings, from the environment:\n\n" + "\n".join(lines)


@app.command(epilog=_settings_help())
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    data: Annotated[Path, typer.Option(help="Folder of the SQLite file.")] = Path(".data"),
    demo: Annotated[bool, typer.Option(help="Demo EHR, made-up patients and access without a token.")] = False,
) -> None:
    """Start the service."""
    # SIGTERM drains and ends with 0: uvicorn hands the signal back to this after it has drained.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if demo and not _is_loopback(host):
        _stop("--demo gives access without a token, so it listens on loopback only. Leave --host out.")
    log.set_up()
    listening = _listen(host, port)
    settings = _settings(host, listening.getsockname()[1], demo)
    if settings.demo and not _is_loopback(host):
        _stop("PA_DEMO gives access without a token, so it listens on loopback only. Leave --host out.")
    _require_tls(settings, host)
    try:
        service = create_app(settings, data)
    except InvalidPolicy as error:
        _stop(error.text)
    config = uvicorn.Config(
        service,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=20,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )
    _load(config)
    _log.info("listening", extra={"port": listening.getsockname()[1]})
    if demo:
        _announce_demo(settings, add_demo_accounts(settings, data))
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    """The listening socket, opened first: a port in use is said before anything is loaded."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        _stop(f"{host} port {port} cannot be listened on: {error.strerror}.")


def _settings(host: str, port: int, demo: bool) -> Settings:
    settings = Settings()
    changes: dict[str, object] = {"demo": demo or settings.demo}
    if "public_url" not in settings.model_fields_set:
        scheme = "https" if settings.tls_certificate else "http"
        changes["public_url"] = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
    return settings.model_copy(update=changes)


def _require_tls(settings: Settings, host: str) -> None:
    """Other machines reach us by TLS only, ended here or by a proxy (CRD 2.2.1 sec-2)."""
    if (settings.tls_certificate is None) != (settings.tls_key is None):
        _stop("PA_TLS_CERTIFICATE and PA_TLS_KEY go together: set both, or none.")
    if not _is_loopback(host) and not settings.base_url.startswith("https://"):
        _stop(
            "Patient data travels by TLS only. Set PA_TLS_CERTIFICATE and PA_TLS_KEY, or PA_PUBLIC_URL to the https "
            "address of the proxy that ends TLS."
        )


def _load(config: uvicorn.Config) -> None:
    try:
        config.load()
    except OSError:
        _stop("PA_TLS_CERTIFICATE and PA_TLS_KEY name no certificate and key that go together.")
    if config.ssl:
        # What Python's default is today (CRD 2.2.1 sec-3, by HRex).
        config.ssl.minimum_version = ssl.TLSVersion.TLSv1_2


def _announce_demo(settings: Settings, passwords: Mapping[str, str]) -> None:
    base = settings.base_url
    accounts = "".join(f"    {login:<16}{password}\n" for login, password in passwords.items())
    print(
        f"\n  DEVELOPMENT ACCESS IS ON: callers on this machine need no token, and the coverage that a request\n"
        f"  presents is believed. Never use --demo with real patients.\n\n"
        f"  Start here      {base}/\n"
        f"  Demo EHR        {base}/demo\n"
        f"  CDS Hooks       {base}/cds-services\n"
        f"  FHIR (newest)   {base}/fhir/metadata\n"
        f"  FHIR (2.0.1)    {base}/2.0.1/fhir/metadata\n"
        f"  Review          {base}/review, with these accounts and passwords, new at each start:\n{accounts}",
        flush=True,
    )


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="A PAS request Bundle.", metavar="BUNDLE.json")],
    renewal_of: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], metavar="END", help="Assume an authorization on file that ends then."),
    ] = None,
) -> None:
    """Print the determination of a request as JSON; store nothing. The presented coverage is believed."""
    settings = Settings()
    try:
        rules = build_rules(settings, trusts_coverage=True)
        request = parse(read_json(bundle.read_bytes(), settings), rules.check, member_system=settings.member_system)
        end = renewal_of.date() if renewal_of else None
        receipt = Receipt(SystemClock().now())

        async def on_file(policy_id: str) -> Sequence[Authorization]:
            return _on_file(policy_id, end)

        determination = asyncio.run(rules.determiner.determine(request, receipt, on_file))
        rules.engine.close()
    except InvalidPolicy as error:
        _stop(error.text)
    except OSError:
        _stop(f"{bundle} cannot be read.")
    except ServiceError as error:
        print(encode(operation_outcome(error)).decode(), file=sys.stderr)
        raise typer.Exit(1) from None
    print(encode(as_json(determination)).decode())


def _on_file(policy_id: str, end: date | None) -> Sequence[Authorization]:
    if end is None:
        return ()
    return (Authorization("ON-FILE", policy_id, MemberId("any"), DatePeriod(date(end.year - 1, 1, 1), end)),)


@policy.command("check")
def policy_check() -> None:
    """Cross-check every policy; list every fault with file and place."""
    roots = policy_roots(Settings())
    try:
        faults = check_folders(roots, structure_check())
    except InvalidPolicy as error:
        _stop(error.text)
    for root, fault in faults:
        print(f"{root / fault.file}: {fault.place + ': ' if fault.place else ''}{fault.problem}")
    if faults:
        raise typer.Exit(1)
    print(f"No faults in {len(roots)} policy folder{'s' if len(roots) > 1 else ''}.")


@policy.command("test")
def policy_test(
    folder: Annotated[Path, typer.Argument(help="A policy folder.", metavar="DIR")] = HOME,
) -> None:
    """Run the policy cases of a folder; exit 1 if one is not as wanted."""
    settings = Settings()
    try:
        rules = build_rules(settings, trusts_coverage=True, roots=[folder.resolve()])
        bench = Bench(rules.registry, rules.determiner, rules.check, settings)
        results = asyncio.run(run_cases(bench, read_cases(folder)))
        rules.engine.close()
    except InvalidPolicy as error:
        _stop(error.text)
    failed = [result for result in results if result.failures]
    for result in failed:
        print(f"FAILED {result.file}: {result.note}")
        for failure in result.failures:
            print(f"    {failure}")
    print(f"{len(results) - len(failed)} as wanted, {len(failed)} not.")
    if failed or not results:
        raise typer.Exit(1)


@policy.command("build")
def policy_build(folder: Annotated[Path, typer.Argument(help="A policy folder.", metavar="DIR")]) -> None:
    """Translate a policy folder's CQL to ELM (needs Node)."""
    command = [str(HOME / "tools" / "with-node.sh"), "node", "tools/translate.mjs", "--policy", str(folder.resolve())]
    raise typer.Exit(subprocess.run(command, cwd=HOME, check=False).returncode)  # noqa: S603 our own script


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _stop(text: str) -> NoReturn:
    print(text, file=sys.stderr)
    raise typer.Exit(1)


def main() -> None:
    """The command line; a setting that does not fit ends any command, named and without what was written in it."""
    try:
        app()
    except ValidationError as error:
        if error.title != Settings.__name__:
            raise
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        print("\n".join(f"PA_{str(fault['loc'][0]).upper()}: {fault['msg']}." for fault in faults), file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
