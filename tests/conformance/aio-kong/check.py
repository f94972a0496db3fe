"""aio-kong, a client of Kong's Admin API that others wrote, does its round with a node: create, read, list, change, delete.

Usage: check.py URL CERTIFICATE KEY. Ends with 0 if all of it worked. Must not know: anything of Postern.
"""

import asyncio
import sys
from pathlib import Path

from kong.client import Kong, KongResponseError


async def refused(status, awaitable):
    try:
        answer = await awaitable
    except KongResponseError as error:
        assert error.status == status, f"{status} expected: {error}"
        assert isinstance(error.message.get("message"), str), error
        return error
    raise AssertionError(f"{status} expected, got {answer}")


async def services_and_routes(kong):
    service = await kong.services.create(name="first", host="127.0.0.1", port=8080, tags=["a"])
    assert (service.name, service.host, service["retries"]) == ("first", "127.0.0.1", 5), service
    assert await kong.services.has("first") and not await kong.services.has("none")
    assert (await kong.services.get("first")).id == (await kong.services.get(service.id)).id
    changed = await kong.services.update("first", port=8081, path="/base")
    assert (changed["port"], changed["path"], changed.host) == (8081, "/base", "127.0.0.1"), changed
    await refused(409, kong.services.create(name="first", host="h"))
    await refused(400, kong.services.create(name="wrong", host="h", nonsense=1))
    await refused(404, kong.services.get("none"))

    route = await service.routes.create(name="r", paths=["/x"], methods=["GET"])
    assert route["service"]["id"] == service.id, route
    assert [found.id for found in await service.routes.get_full_list()] == [route.id]
    assert (await kong.routes.update("r", paths=["/y"]))["paths"] == ["/y"]
    await refused(400, service.routes.create(name="empty"))

    # More than fit a page; a page of two leads to the next.
    for number in range(5):
        await kong.services.create(name=f"s{number}", host="h")
    pages = [found.name async for found in kong.services.paginate(size=2)]
    assert sorted(pages) == ["first"] + [f"s{number}" for number in range(5)], pages
    assert [found.name for found in await kong.services.get_list(tags="a")] == ["first"]
    for number in range(5):
        await kong.services.update(f"s{number}", tags=["many"])
    tagged = await kong.services.get_full_list(size=2, tags="many")
    assert len({found.id for found in tagged}) == 5, tagged

    plugin = await service.plugins.create(name="rate-limiting", config={"minute": 5})
    assert (plugin["config"]["minute"], plugin["config"]["hour"]) == (5, None), plugin
    changed = await kong.plugins.update(plugin.id, config={"hour": 100})
    assert (changed["config"]["minute"], changed["config"]["hour"]) == (5, 100), changed
    await refused(400, kong.plugins.create(name="no-such-plugin"))
    await refused(409, service.plugins.create(name="rate-limiting", config={"minute": 5}))
    # It deletes what hangs on a service first.
    assert await kong.services.delete("first")
    assert not await kong.plugins.has(plugin.id) and not await kong.routes.has("r")


async def consumers(kong):
    alice = await kong.consumers.create(username="alice", custom_id="7")
    assert (alice.username, alice["custom_id"]) == ("alice", "7"), alice
    key = await alice.keyauths.create()
    assert len(key["key"]) == 32, "one is made up"
    assert (await alice.keyauths.get_or_create()).id == key.id
    basic = await alice.basicauths.create_credentials(data={"username": "alice", "password": "secret"})
    assert basic["password"] != "secret", "it is kept as a hash"
    changed = await alice.basicauths.create_or_update_credentials({"username": "alice", "password": "other"})
    assert changed.id == basic.id and changed["password"] != basic["password"], changed
    jwt = await alice.jwts.create(algorithm="HS256")
    assert jwt["key"] and jwt["secret"], jwt
    acl = await alice.acls.create(group="admins")
    assert [found["group"] for found in await alice.acls.get_list()] == ["admins"]
    assert acl["consumer"]["id"] == alice.id
    plugin = await alice.plugins.create(name="rate-limiting", config={"second": 1})
    assert plugin["consumer"]["id"] == alice.id, plugin
    assert await alice.keyauths.delete(key.id)
    assert await alice.keyauths.get_list() == []
    assert await kong.consumers.delete("alice")
    assert await kong.acls.get_list() == [], "what is a consumer's goes with it"


async def certificates(kong, cert, key):
    certificate = await kong.certificates.create(cert=cert, key=key)
    sni = await certificate.snis.create(name="a.example")
    assert sni["certificate"]["id"] == certificate.id, sni
    assert (await kong.certificates.get(certificate.id))["snis"] == ["a.example"]
    assert (await kong.snis.get("a.example")).id == sni.id
    await refused(400, kong.certificates.create(cert=cert, key="no key"))
    assert await kong.snis.delete("a.example")
    assert await kong.certificates.delete(certificate.id)


async def upstreams(kong):
    """It has no words of its own for these, but a way to say them."""
    url = f"{kong.url}/upstreams"
    upstream = await kong.execute(url, "post", json={"name": "up.example"})
    target = await kong.execute(f"{url}/up.example/targets", "post", json={"target": "127.0.0.1:80"})
    assert (target["upstream"]["id"], target["weight"]) == (upstream["id"], 100), target
    targets = await kong.execute(f"{url}/{upstream['id']}/targets")
    assert [found["id"] for found in targets["data"]] == [target["id"]], targets
    health = await kong.execute(f"{url}/up.example/health")
    assert "data" in health, health
    assert await kong.execute(f"{url}/up.example/targets/127.0.0.1:80", "delete")
    assert await kong.execute(f"{url}/up.example", "delete")


async def files(kong):
    """What it makes of its own configuration files, twice: the second time is a change of nothing."""
    wanted = {
        "services": [
            {
                "name": "by-file",
                # It sends `"host": null` beside it.
                "url": "http://example.com:8080/base",
                "routes": [{"name": "by-file", "paths": "/f", "plugins": [{"name": "key-auth"}]}],
                "plugins": [{"name": "request-transformer", "config": {"add": {"headers": ["x-a:1"]}}}],
            }
        ],
        "consumers": [
            {
                "username": "bob",
                "groups": ["users"],
                "auths": [{"type": "key-auth", "config": {"key": "the-key-of-bob"}}],
            }
        ],
        "plugins": [{"name": "rate-limiting", "config": {"minute": 5}}],
    }
    for _ in range(2):
        done = await kong.apply_json(wanted, clear=True)
        service = await kong.services.get("by-file")
        assert (service.host, service["port"], service["path"]) == ("example.com", 8080, "/base"), service
        assert done["services"][0]["routes"][0]["plugins"][0]["name"] == "key-auth", done
        bob = await kong.consumers.get("bob")
        assert [found["key"] for found in await bob.keyauths.get_list()] == ["the-key-of-bob"]
        assert [found["group"] for found in await bob.acls.get_list()] == ["users"]
    assert len(await kong.plugins.get_full_list()) == 3


async def main(url, cert, key):
    async with Kong(url=url) as kong:
        await services_and_routes(kong)
        await consumers(kong)
        await certificates(kong, Path(cert).read_text(), Path(key).read_text())
        await upstreams(kong)
        await kong.delete_all()
        await files(kong)
        await kong.plugins.delete_all()
        await kong.delete_all()
        for collection in (kong.services, kong.routes, kong.plugins, kong.consumers, kong.certificates, kong.snis):
            left = await collection.get_full_list()
            assert left == [], f"{collection}: {left}"


asyncio.run(main(*sys.argv[1:]))
