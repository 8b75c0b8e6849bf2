"""What Terraform fetches providers and modules by: the provider network mirror protocol, and ``modules.v1``.

Lists and versions are asked for with a token (``credentials`` of Terraform's configuration); archives lie at signed
addresses that hold for a while, for Terraform fetches them without it. The same paths take what is published: PUT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uwu.domains.iac.actions import FETCH, PACKAGE_ADDRESS, PUBLISH_MODULE, PUBLISH_PROVIDER
from uwu.domains.iac.registry import store
from uwu.kernel import codec
from uwu.kernel.authorize import PLATFORM, Target
from uwu.kernel.errors import BadInput, NotFound
from uwu.kernel.wire import Asked, Reply, Route, Wire

if TYPE_CHECKING:
    from uwu.domains.iac.registry.store import Package
    from uwu.kernel.runtime import Kernel

MODULES = "/iac/modules/v1/"
_PROVIDER = "/{host}/{namespace}/{type}"
_MODULE = "/{namespace}/{name}/{system}"


def providers(kernel: Kernel) -> Wire:
    """The wire of the provider mirror."""
    return Wire(kernel, PROVIDERS)


def modules(kernel: Kernel) -> Wire:
    """The wire of the module registry."""
    return Wire(kernel, MODULE_ROUTES)


def archives(kernel: Kernel) -> Wire:
    """The wire of archives."""
    return Wire(kernel, (Route(("GET",), "/{id}/{file}", archive, PACKAGE_ADDRESS, _given_out),))


# ---- the provider network mirror protocol


def _source(asked: Asked) -> str:
    return "/".join(asked.params[part] for part in ("host", "namespace", "type")).lower()


def provider(asked: Asked) -> Reply:
    """``index.json``: the versions; ``VERSION.json``: its archives, with their hashes."""
    file = asked.params["file"]
    found = store.offered(asked.kernel, "provider", _source(asked))
    if file == "index.json":
        return Reply(200, codec.encode({"versions": {each.version: {} for each in found}}))
    version = file.removesuffix(".json")
    mine = [each for each in found if each.version == version]
    if not file.endswith(".json") or not mine:
        raise NotFound(f"there is no {file[:80]} of it here", code="package-unknown", hint="uwu iac provider list")
    held = {
        each.platform: {
            "url": asked.base_url + store.address(asked.kernel, each),
            "hashes": [each.h1, f"zh:{each.sha256}"],
        }
        for each in mine
    }
    return Reply(200, codec.encode({"archives": held}))


def push_provider(asked: Asked) -> Reply:
    """Publishes ``terraform-provider-TYPE_VERSION_OS_ARCH.zip``, which names the version and the platform."""
    file, type_ = asked.params["file"], asked.params["type"].lower()
    parts = file.removeprefix(f"terraform-provider-{type_}_").removesuffix(".zip").split("_")
    if len(parts) != 3 or not file.endswith(".zip"):
        raise BadInput(
            "this is no name of a provider's archive",
            code="package-name",
            place=file[:200],
            hint=f"terraform-provider-{type_}_VERSION_OS_ARCH.zip",
        )
    digest = asked.headers.get("x-uwu-sha256", "")
    version, platform = parts[0], f"{parts[1]}_{parts[2]}"
    made = store.publish_provider(
        asked.kernel, asked.principal, _source(asked), version, platform, asked.body, sha256=digest
    )
    return _published(made)


def _published(made: Package) -> Reply:
    return Reply(201, codec.encode(made))


# ---- modules.v1


def _module(asked: Asked) -> str:
    return "/".join(asked.params[part] for part in ("namespace", "name", "system"))


def versions(asked: Asked) -> Reply:
    """The versions of a module."""
    source = _module(asked)
    found = store.offered(asked.kernel, "module", source)
    held: list[Any] = [{"version": each.version} for each in found]
    return Reply(200, codec.encode({"modules": [{"source": source, "versions": held}]}))


def download(asked: Asked) -> Reply:
    """Where the archive of a version lies: in a header."""
    version = asked.params["version"]
    for each in store.offered(asked.kernel, "module", _module(asked)):
        if each.version == version:
            where = asked.base_url + store.address(asked.kernel, each)
            return Reply(204, b"", headers={"X-Terraform-Get": where})
    raise NotFound("there is no such version here", code="package-unknown", hint="uwu iac module list")


def push_module(asked: Asked) -> Reply:
    """Publishes a version of a module: a tar.gz of its folder."""
    digest = asked.headers.get("x-uwu-sha256", "")
    made = store.publish_module(
        asked.kernel, asked.principal, _module(asked), asked.params["version"], asked.body, sha256=digest
    )
    return _published(made)


# ---- archives


def _given_out(asked: Asked) -> Target:
    store.opened(asked.kernel, asked.params["id"], *_proof(asked))
    return PLATFORM


def _proof(asked: Asked) -> tuple[str, str]:
    return asked.query.get("expires", ""), asked.query.get("signature", "")


def archive(asked: Asked) -> Reply:
    """An archive, piece by piece."""
    package, pieces = store.opened(asked.kernel, asked.params["id"], *_proof(asked))
    kind = "application/zip" if package.kind == "provider" else "application/gzip"
    return Reply(200, pieces, kind, {"Content-Length": str(package.bytes)})


def most(kernel: Kernel) -> int:
    """The largest archive that is taken."""
    return kernel.settings.iac.max_package_mb * 1_048_576


PROVIDERS = (
    Route(("GET",), f"{_PROVIDER}/{{file}}", provider, FETCH),
    Route(("PUT",), f"{_PROVIDER}/{{file}}", push_provider, PUBLISH_PROVIDER, None, most),
)
MODULE_ROUTES = (
    Route(("GET",), f"{_MODULE}/versions", versions, FETCH),
    Route(("GET",), f"{_MODULE}/{{version}}/download", download, FETCH),
    Route(("PUT",), f"{_MODULE}/{{version}}", push_module, PUBLISH_MODULE, None, most),
)
